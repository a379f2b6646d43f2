"""Sky, ground, and what stands or falls before the subject."""
import math

import skia

from .canvas import Canvas
from .palette import GRASS, ROCK, SAND, SIZE, SKY, SNOW, WATER, col, mix, rgb


class Landscape(Canvas):
    # -- sky
    def sky(self):
        s, r = self.s, self.rng
        tops = [rgb(x) for x in SKY[s['time']]]
        if s['weather'] in ('rainy', 'cloudy', 'foggy', 'snowy'):
            grey = {'rainy': .62, 'cloudy': .38, 'foggy': .5, 'snowy': .35}[s['weather']]
            tops = [mix(t, (sum(t) / 3 * .92,) * 3, grey) for t in tops]
        colors = [skia.Color4f(*t, 1).toColor() for t in tops]
        sh = skia.GradientShader.MakeLinear([(0, 0), (0, self.horizon + 10)], colors, [0, .55, 1])
        self.c.drawPaint(skia.Paint(Shader=sh))
        with self.detail():
            self.lights()
        if s['weather'] in ('cloudy', 'rainy', 'snowy') or (s['weather'] == 'clear' and r.random() < .15):
            n = {'cloudy': 5, 'rainy': 6, 'snowy': 3}.get(s['weather'], 1)
            tone = {'rainy': '#8b93a3'}.get(s['weather'], '#f4f4f2')
            for _ in range(n):
                x, y, w = r.uniform(-10, 256), r.uniform(14, 92), r.uniform(26, 52)
                p = self.paint(tone, .9, k=1.05 if s['time'] != 'night' else 1.2)
                self.c.drawRoundRect(skia.Rect.MakeXYWH(x - w, y, 2 * w, w * .34), w * .17, w * .17, p)
                for dx, rr in ((-.45, .30), (0, .42), (.42, .28)):
                    self.c.drawCircle(x + dx * w, y + 2, rr * w, p)
        with self.detail():
            self.birds()

    def lights(self):
        s, r = self.s, self.rng
        sx = r.uniform(40, 216)
        if s['extra'] == 'stars' or (s['time'] == 'night' and s['weather'] == 'clear' and r.random() < .35):
            for _ in range(r.randint(45, 80)):
                self.c.drawCircle(r.uniform(0, SIZE), r.uniform(0, self.horizon - 10), r.uniform(.6, 1.8),
                                  self.paint('#fff6d8', r.uniform(.6, 1), light=False))
        if s['extra'] == 'big sun' or (s['time'] in ('dawn', 'sunset') and s['weather'] == 'clear' and r.random() < .5):
            low = s['time'] in ('dawn', 'sunset')
            y, rad = (self.horizon - r.uniform(0, 34), r.uniform(22, 30)) if low else (r.uniform(40, 70), r.uniform(20, 26))
            if s['extra'] != 'big sun': rad *= .55
            glow = self.paint('#ffd98a', .45, light=False, MaskFilter=skia.MaskFilter.MakeBlur(skia.kNormal_BlurStyle, 14))
            self.c.drawCircle(sx, y, rad * 1.5, glow)
            self.c.drawCircle(sx, y, rad, self.paint('#fff0b0' if s['time'] != 'sunset' else '#ffdf7a', light=False))
        if s['extra'] in ('full moon', 'crescent moon'):
            y, rad = r.uniform(36, 76), r.uniform(17, 23)
            glow = self.paint('#dfe6ff', .35, light=False, MaskFilter=skia.MaskFilter.MakeBlur(skia.kNormal_BlurStyle, 12))
            self.c.drawCircle(sx, y, rad * 1.5, glow)
            moon = skia.Path(); moon.addCircle(sx, y, rad)
            if s['extra'] == 'crescent moon':
                cut = skia.Path(); cut.addCircle(sx + rad * .5, y - rad * .25, rad * .92)
                moon = skia.Op(moon, cut, skia.kDifference_PathOp)
            self.c.drawPath(moon, self.paint('#fbf6dc', light=False))
        if s['extra'] == 'rainbow':
            cx, rad = r.uniform(90, 166), r.uniform(92, 112)
            for i, c in enumerate(['#d8433a', '#ee9332', '#f4d84a', '#5fb45a', '#4a86cf', '#7a58b0']):
                self.c.drawCircle(cx, self.horizon + 8, rad - i * 5,
                                  self.paint(c, .72, light=False, Style=skia.Paint.kStroke_Style, StrokeWidth=5.4))

    def birds(self):
        s, r = self.s, self.rng
        if s['extra'] == 'birds':
            for _ in range(r.randint(4, 8)):
                x, y, w = r.uniform(20, 236), r.uniform(24, 96), r.uniform(6, 11)
                p = skia.Path(); p.moveTo(x - w, y - w * .35); p.quadTo(x - w * .4, y - w * .7, x, y); p.quadTo(x + w * .4, y - w * .7, x + w, y - w * .35)
                self.c.drawPath(p, self.paint('#2a2a33' if s['time'] != 'night' else '#c9cfe2', light=False,
                                              Style=skia.Paint.kStroke_Style, StrokeWidth=2.1))

    # -- ground; returns (x, y) where the subject stands
    def water(self, y, bottom=SIZE):
        sky_h = rgb(SKY[self.s['time']][2])
        top, low = mix(WATER, sky_h, .45), mix(WATER, (.05, .12, .25), .35)
        c = [col(top, self.light).toColor(), col(low, self.light).toColor()]
        sh = skia.GradientShader.MakeLinear([(0, y), (0, bottom)], c)
        self.c.drawRect(skia.Rect.MakeLTRB(0, y, SIZE, bottom), skia.Paint(Shader=sh, AntiAlias=True))
        for _ in range(26):
            yy = self.rng.uniform(y + 4, bottom); w = self.rng.uniform(6, 22) * (yy - y + 20) / 90
            x = self.rng.uniform(0, SIZE)
            self.c.drawRoundRect(skia.Rect.MakeXYWH(x, yy, w, 1.6), 1, 1, self.paint('#dff1f7', .5))

    def pines(self, y, n, k):
        for _ in range(n):
            self.pine(self.rng.uniform(0, SIZE), y + self.rng.uniform(-3, 8), self.rng.uniform(26, 50), k)

    def pine(self, x, y, h, k=1.0):
        self.c.drawRect(skia.Rect.MakeXYWH(x - h * .04, y - h * .16, h * .08, h * .17), self.paint('#6b4a32', k=k))
        for i in range(3):
            t = y - h * (.12 + .26 * i); w = h * (.30 - .07 * i)
            self.poly([(x - w, t), (x + w, t), (x, t - h * .40)], self.paint('#2f6b48', k=k * (1 + .07 * i)))
            if self.snow: self.poly([(x - w * .45, t - h * .22), (x + w * .45, t - h * .22), (x, t - h * .40)], self.paint(SNOW, k=k))

    def ground(self):
        s, r, h = self.s, self.rng, self.horizon
        grass = SNOW if self.snow else GRASS
        sand = mix(SAND, SNOW, .75) if self.snow else SAND
        x = r.uniform(92, 164)
        p = s['place']
        if p == 'sea':
            self.water(h); return x, r.uniform(200, 216)
        if p in ('mountains', 'lake', 'meadow') or (p == 'forest' and r.random() < .3):
            peaks = 5 if p == 'mountains' else 3
            if p == 'mountains' or r.random() < .3:
                for i in range(peaks):
                    cx, w, top = r.uniform(0, SIZE), r.uniform(46, 84), h - r.uniform(46, 92) * (1 if p == 'mountains' else .5)
                    k = r.uniform(.8, 1.1)
                    self.poly([(cx - w, h + 8), (cx + w, h + 8), (cx, top)], self.paint(ROCK, k=k))
                    self.poly([(cx, top), (cx + w, h + 8), (cx + w * .2, h + 8)], self.paint(ROCK, k=k * .82))
                    d = (h + 8 - top) * .3
                    self.poly([(cx, top), (cx - w * .3, top + d), (cx - w * .08, top + d * .75), (cx + w * .08, top + d * 1.05), (cx + w * .3, top + d)], self.paint(SNOW))
        if p == 'mountains':
            self.ridge(h + 14, 10, 12, mix(grass, ROCK, .2)); self.ridge(214, 6, 8, grass, k=.94); return x, 216
        if p == 'desert':
            self.ridge(h + 6, 22, 10, sand, .15, .88); self.ridge(h + 34, 18, 8, sand, .1, .98); self.ridge(226, 14, 6, sand, .1, 1.06)
            for _ in range(r.randint(1, 3)): self.cactus(r.choice([r.uniform(14, 60), r.uniform(196, 242)]), r.uniform(202, 226), r.uniform(26, 40))
            return x, 214
        if p == 'forest':
            self.pines(h + 16, 16, .72); self.ridge(h + 30, 5, 8, grass, k=.86); self.pines(h + 40, 9, .88)
            self.ridge(206, 5, 8, grass); self.pine(r.uniform(4, 34), 232, r.uniform(80, 110)); self.pine(r.uniform(222, 252), 232, r.uniform(80, 110))
            return x, 216
        if p == 'meadow':
            self.ridge(h + 8, 14, 10, grass, .1, .86); self.ridge(h + 34, 8, 8, grass, .1, .97); self.ridge(228, 5, 8, grass, .1, 1.04); return x, 212
        if p == 'hill':
            self.ridge(h + 14, 12, 10, grass, .1, .8); peak = r.uniform(170, 182); self.hill(238, peak, x, grass); return x, peak + 5
        if p == 'lake':
            self.ridge(h + 10, 14, 10, grass, .2, .84); self.pines(h + 12, 7, .82); self.water(h + 16, 222)
            self.hill(246, 206, x, grass); return x, (212 if s['subject'] != 'sailboat' else 202)
        if p == 'beach':
            self.water(h, 216); self.hill(208, 200, x, sand, 1.02); return x, (212 if s['subject'] != 'sailboat' else 192)
        if p == 'island':
            self.water(h); self.island(x if s['subject'] != 'sailboat' else (x + 80) % 200 + 20, 206, r.uniform(62, 82), sand, grass)
            return x, (200 if s['subject'] != 'sailboat' else 222)
        # cliff
        self.water(h)
        side = 1 if x > 128 else -1
        edge = x - side * r.uniform(38, 50); far = SIZE + 6 if side > 0 else -6; top = r.uniform(164, 176)
        self.poly([(far, top - 8), (edge, top), (edge + side * 8, top + 30), (edge - side * 6, top + 58), (edge + side * 4, SIZE + 4), (far, SIZE + 4)], self.paint(mix(ROCK, '#8a6a4c', .35)))
        self.poly([(far, top + 20), (edge + side * 34, top + 26), (edge + side * 22, top + 60), (edge + side * 40, SIZE + 4), (far, SIZE + 4)], self.paint(mix(ROCK, '#8a6a4c', .35), k=.86))
        self.poly([(far, top - 10), (edge - side * 3, top - 2), (edge + side * 2, top + 9), (far, top + 7)], self.paint(grass))
        return x, top + 2

    def island(self, x, y, w, sand, grass):
        e = skia.Path(); e.addOval(skia.Rect.MakeXYWH(x - w, y - 12, 2 * w, 30)); self.c.drawPath(e, self.paint(sand))
        g = skia.Path(); g.addOval(skia.Rect.MakeXYWH(x - w * .74, y - 14, 1.48 * w, 22)); self.c.drawPath(g, self.paint(grass))

    def cactus(self, x, y, h):
        c = '#4c8a4f'
        p = self.paint(c, Style=skia.Paint.kStroke_Style, StrokeWidth=h * .22, StrokeCap=skia.Paint.kRound_Cap)
        self.c.drawLine(x, y, x, y - h, p)
        p.setStrokeWidth(h * .15)
        for d, t in ((-1, .45), (1, .6)):
            self.c.drawLine(x, y - h * t, x + d * h * .28, y - h * t, p); self.c.drawLine(x + d * h * .28, y - h * t, x + d * h * .28, y - h * (t + .28), p)

    def flowers(self):
        s, r = self.s, self.rng
        if s['extra'] == 'flowers':
            for _ in range(46):
                y = r.uniform(206, 252); x = r.uniform(0, SIZE); rr = r.uniform(2, 3.6)
                self.c.drawCircle(x, y, rr, self.paint(r.choice(['#e94f64', '#f5c542', '#f7f2ea', '#b45fc4']))); self.c.drawCircle(x, y, rr * .4, self.paint('#fbe58a'))

    # -- in front
    def front(self):
        s, r = self.s, self.rng
        with self.detail():
            self.flowers()
        if s['weather'] == 'foggy':
            fog = mix(rgb(SKY[s['time']][2]), (.85, .87, .9), .4); fog = tuple(v * (.45 if s['time'] == 'night' else .7 if s['time'] == 'dusk' else 1) for v in fog)
            sh = skia.GradientShader.MakeLinear([(0, 60), (0, 256)], [skia.Color4f(*fog, .12).toColor(), skia.Color4f(*fog, .72).toColor(), skia.Color4f(*fog, .35).toColor()], [0, .7, 1])
            self.c.drawPaint(skia.Paint(Shader=sh))
        if s['weather'] == 'rainy':
            p = self.paint('#dfe8f4', .5, light=False, Style=skia.Paint.kStroke_Style, StrokeWidth=1.5)
            for _ in range(110):
                x, y, L = r.uniform(-10, SIZE), r.uniform(-10, SIZE), r.uniform(9, 16); self.c.drawLine(x, y, x - L * .28, y + L, p)
        if s['weather'] == 'snowy':
            for _ in range(95): self.c.drawCircle(r.uniform(0, SIZE), r.uniform(0, SIZE), r.uniform(1.1, 2.7), self.paint('#ffffff', .92, light=False))
