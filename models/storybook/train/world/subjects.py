"""The one thing that a scene is about."""
import math

import skia

from .landscape import Landscape
from .palette import COLOURS, SIZE, SNOW, mix


class Painter(Landscape):
    """`sky()`, `ground()`, `subject(x, y)`, `front()`, in this order, paint a scene."""

    def window(self, x, y, w, h):
        glow = '#ffd76a' if self.lit else '#4d6378'
        self.c.drawRect(skia.Rect.MakeXYWH(x, y, w, h), self.paint(glow, light=not self.lit))

    def subject(self, x, y):
        s, r = self.s, self.rng
        k = r.uniform(.92, 1.12)
        main = COLOURS[s['colour']] if s['colour'] else None
        P = self.paint
        box = lambda l, t, w, h, c, kk=1.0: self.c.drawRect(skia.Rect.MakeXYWH(l, t, w, h), P(c, k=kk))
        n = s['subject']
        dark = lambda c: mix(c, (.1, .08, .12), .35)
        cap = (lambda pts: self.poly(pts, P(SNOW))) if self.snow else (lambda pts: None)
        if n == 'lighthouse':
            h, w = 96 * k, 15 * k
            self.poly([(x - w, y), (x + w, y), (x + w * .62, y - h), (x - w * .62, y - h)], P('#f3efe6' if s['colour'] != 'white' else '#f6f3ea'))
            band = main if s['colour'] != 'white' else '#c9c6bd'
            for i in (0, 2):
                t0, t1 = .12 + i * .22, .34 + i * .22
                wa, wb = w * (1 - .38 * t0), w * (1 - .38 * t1)
                self.poly([(x - wa, y - h * t0), (x + wa, y - h * t0), (x + wb, y - h * t1), (x - wb, y - h * t1)], P(band))
            self.poly([(x + w * .3, y), (x + w, y), (x + w * .62, y - h), (x + w * .2, y - h)], P('#000000', .13))
            box(x - w * .8, y - h - 3, w * 1.6, 4, '#3a3f4a')
            self.c.drawRect(skia.Rect.MakeXYWH(x - w * .45, y - h - 16, w * .9, 13), P('#ffe9a0', light=False))
            self.poly([(x - w * .65, y - h - 15), (x + w * .65, y - h - 15), (x, y - h - 28)], P(band))
            if self.lit:
                beam = P('#fff1b8', .38, light=False)
                d = r.choice([-1, 1]); self.poly([(x, y - h - 10), (x + d * 150, y - h - 34), (x + d * 150, y - h + 12)], beam)
        elif n in ('cottage', 'barn'):
            w, h = (34 * k, 36 * k) if n == 'cottage' else (40 * k, 40 * k)
            wall = '#efe3c8' if n == 'cottage' else main
            roof = main if n == 'cottage' else '#5b4a44'
            box(x - w, y - h, 2 * w, h, wall)
            if n == 'cottage':
                box(x + w * .45, y - h * 1.85, w * .24, h * .7, '#8c5d4c')
                self.poly([(x - w * 1.18, y - h), (x + w * 1.18, y - h), (x + w * .7, y - h * 1.75), (x - w * .7, y - h * 1.75)], P(roof))
                cap([(x - w * .95, y - h * 1.35), (x + w * .95, y - h * 1.35), (x + w * .7, y - h * 1.75), (x - w * .7, y - h * 1.75)])
                box(x - w * .18, y - h * .62, w * .36, h * .62, '#6b4a32')
                self.window(x - w * .75, y - h * .72, w * .36, h * .34); self.window(x + w * .4, y - h * .72, w * .36, h * .34)
            else:
                pts = [(x - w * 1.08, y - h), (x + w * 1.08, y - h), (x + w * .62, y - h * 1.5), (x, y - h * 1.78), (x - w * .62, y - h * 1.5)]
                self.poly(pts, P(main)); self.c.drawPath(self._outline(pts[1:] + pts[:1]), P(roof if not self.snow else SNOW, Style=skia.Paint.kStroke_Style, StrokeWidth=4.5))
                box(x - w * .42, y - h * .8, w * .84, h * .8, '#f2ece0'); box(x - w * .36, y - h * .74, w * .72, h * .74, dark(main))
                pp = P('#f2ece0', Style=skia.Paint.kStroke_Style, StrokeWidth=2.6)
                self.c.drawLine(x - w * .36, y, x + w * .36, y - h * .74, pp); self.c.drawLine(x + w * .36, y, x - w * .36, y - h * .74, pp)
        elif n == 'castle':
            w, h = 42 * k, 46 * k
            st = main
            for dx, ww, hh in ((-1, .30, 1.55), (1, .30, 1.55), (0, .36, 2.05)):
                cx = x + dx * w
                box(cx - ww * w, y - hh * h, 2 * ww * w, hh * h, st, 1 if dx else .93)
                self.poly([(cx - ww * w * 1.25, y - hh * h), (cx + ww * w * 1.25, y - hh * h), (cx, y - hh * h - h * .62)], P(dark(st)))
                cap([(cx - ww * w * .6, y - hh * h - h * .32), (cx + ww * w * .6, y - hh * h - h * .32), (cx, y - hh * h - h * .62)])
                self.window(cx - 3, y - hh * h + 10, 6, 10)
            box(x - w, y - h, 2 * w, h, st)
            for i in range(7): box(x - w + i * (2 * w / 7), y - h - 6, 2 * w / 13, 7, st)
            g = skia.Path(); g.addRRect(skia.RRect.MakeRectXY(skia.Rect.MakeXYWH(x - 10, y - 26, 20, 36), 10, 10))
            self.c.save(); self.c.clipRect(skia.Rect.MakeLTRB(0, 0, SIZE, y)); self.c.drawPath(g, P('#3b2f2c')); self.c.restore()
        elif n == 'windmill':
            h, w = 66 * k, 20 * k
            self.poly([(x - w, y), (x + w, y), (x + w * .6, y - h), (x - w * .6, y - h)], P(main))
            self.poly([(x + w * .25, y), (x + w, y), (x + w * .6, y - h), (x + w * .15, y - h)], P('#000000', .13))
            self.poly([(x - w * .8, y - h), (x + w * .8, y - h), (x, y - h - 20)], P(dark(main))); cap([(x - w * .5, y - h - 8), (x + w * .5, y - h - 8), (x, y - h - 20)])
            box(x - 6, y - 20, 12, 20, '#6b4a32'); self.window(x - 4, y - h * .62, 8, 10)
            a0 = r.uniform(0, 1.57); cy = y - h - 4
            for i in range(4):
                a = a0 + i * math.pi / 2; ux, uy = math.cos(a), math.sin(a); L = 46 * k
                self.poly([(x + ux * 6 - uy * 1, cy + uy * 6 + ux * 1), (x + ux * L - uy * 1, cy + uy * L + ux * 1), (x + ux * L - uy * 9, cy + uy * L + ux * 9), (x + ux * 10 - uy * 9, cy + uy * 10 + ux * 9)], P('#f6efdf'))
                self.c.drawLine(x, cy, x + ux * L, cy + uy * L, P('#5a4436', Style=skia.Paint.kStroke_Style, StrokeWidth=2.4))
            self.c.drawCircle(x, cy, 3.6, P('#5a4436'))
        elif n == 'sailboat':
            w = 36 * k
            self.poly([(x - w, y - 13), (x + w, y - 13), (x + w * .68, y + 4), (x - w * .72, y + 4)], P('#7a4a2e'))
            box(x - w, y - 15, 2 * w, 3.4, '#f1e7d3')
            self.c.drawLine(x, y - 13, x, y - 92 * k, P('#4a3526', Style=skia.Paint.kStroke_Style, StrokeWidth=3))
            self.poly([(x + 3, y - 90 * k), (x + 3, y - 20), (x + w * .95, y - 20)], P(main)); self.poly([(x - 3, y - 82 * k), (x - 3, y - 20), (x - w * .72, y - 20)], P(mix(main, '#ffffff', .3)))
        elif n == 'hot air balloon':
            cy, R = r.uniform(66, 92), 38 * k
            p = skia.Path(); p.moveTo(x - R, cy); p.cubicTo(x - R, cy - R * 1.35, x + R, cy - R * 1.35, x + R, cy); p.cubicTo(x + R, cy + R * .62, x + R * .3, cy + R * 1.05, x + 8, cy + R * 1.28); p.lineTo(x - 8, cy + R * 1.28); p.cubicTo(x - R * .3, cy + R * 1.05, x - R, cy + R * .62, x - R, cy); p.close()
            self.c.drawPath(p, P(main)); self.c.save(); self.c.clipPath(p, skia.ClipOp.kIntersect, True)
            for dx in (-.62, .62):
                o = skia.Rect.MakeXYWH(x + dx * R - R * .17, cy - R * 1.2, R * .34, R * 2.6); self.c.drawOval(o, P(mix(main, '#ffffff', .55)))
            self.c.restore()
            for d in (-1, 1): self.c.drawLine(x + d * 8, cy + R * 1.28, x + d * 7, cy + R * 1.28 + 14, P('#4a3526', Style=skia.Paint.kStroke_Style, StrokeWidth=1.6))
            self.c.drawRoundRect(skia.Rect.MakeXYWH(x - 9, cy + R * 1.28 + 13, 18, 13), 3, 3, P('#8a5a36'))
        elif n == 'tent':
            w, h = 42 * k, 50 * k
            self.poly([(x - w, y), (x + w, y), (x, y - h)], P(main)); self.poly([(x, y - h), (x + w, y), (x + w * .35, y)], P('#000000', .15))
            self.poly([(x - w * .26, y), (x + w * .2, y), (x, y - h * .74)], P('#ffd27a' if self.lit else dark(main), light=not self.lit)); cap([(x - w * .3, y - h * .7), (x + w * .3, y - h * .7), (x, y - h)])
        elif n == 'pine tree':
            self.pine(x, y, 112 * k)
        elif n == 'oak tree':
            h = 92 * k
            self.poly([(x - 9, y), (x + 9, y), (x + 5, y - h * .55), (x - 5, y - h * .55)], P('#6b4a32'))
            leaf = '#5a9a45' if not self.snow else '#cfdbd8'
            for dx, dy, rr in ((-.30, .56, .27), (.30, .56, .27), (0, .70, .34), (-.17, .84, .22), (.18, .84, .22)):
                self.c.drawCircle(x + dx * h, y - dy * h, rr * h, P(leaf, k=.9 + .2 * dy))
        elif n == 'snowman':
            for rr, dy in ((23, 21), (17, 54), (12, 78)): self.c.drawCircle(x, y - dy * k, rr * k, P('#f7fafc', k=1.03 if self.s['time'] != 'night' else 1.3))
            for dx in (-4, 4): self.c.drawCircle(x + dx * k, y - 81 * k, 1.9 * k, P('#20242c'))
            self.poly([(x, y - 79 * k), (x, y - 75 * k), (x + 13 * k, y - 76 * k)], P('#e8872e'))
            box(x - 13 * k, y - 91 * k, 26 * k, 3.6 * k, '#22252d'); box(x - 8.5 * k, y - 106 * k, 17 * k, 16 * k, '#22252d'); box(x - 12 * k, y - 69 * k, 24 * k, 5 * k, '#c8372d')
            for d in (-1, 1): self.c.drawLine(x + d * 15 * k, y - 56 * k, x + d * 38 * k, y - 70 * k, P('#5a4436', Style=skia.Paint.kStroke_Style, StrokeWidth=2.6))
        elif n == 'rocket':
            h, w = 84 * k, 15 * k; up = r.uniform(10, 46); yy = y - up
            if self.s['place'] == 'sea': yy -= 30
            self.poly([(x - w * .7, yy + 2), (x + w * .7, yy + 2), (x, yy + 34)], P('#ffb03a', light=False)); self.poly([(x - w * .35, yy + 2), (x + w * .35, yy + 2), (x, yy + 20)], P('#fff0b0', light=False))
            for d in (-1, 1): self.poly([(x + d * w * .8, yy - h * .34), (x + d * w * 2, yy + 4), (x + d * w * .7, yy)], P(dark(main)))
            p = skia.Path(); p.moveTo(x - w, yy); p.cubicTo(x - w * 1.4, yy - h * .6, x - w * .5, yy - h * .95, x, yy - h * 1.12); p.cubicTo(x + w * .5, yy - h * .95, x + w * 1.4, yy - h * .6, x + w, yy); p.close()
            self.c.drawPath(p, P(main)); self.c.drawCircle(x, yy - h * .58, w * .52, P('#f3efe6')); self.c.drawCircle(x, yy - h * .58, w * .36, P('#7fc4e8'))
        elif n == 'tower':
            h, w = 92 * k, 17 * k
            box(x - w, y - h, 2 * w, h, main); self.c.drawRect(skia.Rect.MakeXYWH(x + w * .3, y - h, w * .7, h), P('#000000', .13))
            box(x - w * 1.25, y - h - 9, w * 2.5, 11, main, .9)
            for i in range(4): box(x - w * 1.25 + i * w * .72, y - h - 15, w * .36, 8, main, .9)
            for t in (.28, .52, .76): self.window(x - 4, y - h * t - 8, 8, 13)
            box(x - 6, y - 18, 12, 18, '#4a3526'); cap([(x - w * 1.25, y - h - 9), (x + w * 1.25, y - h - 9), (x + w * 1.2, y - h - 5), (x - w * 1.2, y - h - 5)])
        elif n == 'church':
            w, h = 26 * k, 38 * k
            box(x - w * .4, y - h, 2 * w, h, '#f0e9da'); self.poly([(x - w * .5, y - h), (x + w * 1.75, y - h), (x + w * 1.4, y - h * 1.55), (x - w * .3, y - h * 1.55)], P(main))
            box(x - w * 1.3, y - h * 1.7, w, h * 1.7, '#f0e9da', .96); self.poly([(x - w * 1.45, y - h * 1.7), (x - w * .15, y - h * 1.7), (x - w * .8, y - h * 2.75)], P(main)); cap([(x - w * 1.1, y - h * 2.3), (x - w * .5, y - h * 2.3), (x - w * .8, y - h * 2.75)])
            c = P('#3a3f4a', Style=skia.Paint.kStroke_Style, StrokeWidth=2.4); cx = x - w * .8; self.c.drawLine(cx, y - h * 2.72, cx, y - h * 3.05, c); self.c.drawLine(cx - 5, y - h * 2.93, cx + 5, y - h * 2.93, c)
            box(cx - 6, y - 18, 12, 18, '#5a4030')
            for i in range(3): self.window(x - w * .1 + i * w * .58, y - h * .72, 7, 15)

    def _outline(self, pts):
        p = skia.Path(); p.moveTo(*pts[0])
        for q in pts[1:]: p.lineTo(*q)
        return p
