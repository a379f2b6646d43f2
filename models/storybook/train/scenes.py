"""Procedural storybook scenes: a random scene, its caption, and its picture.

A scene is a dict of attributes (subject, colour, place, time, weather, extra). `draw` paints
it with Skia; `caption` words it. Attributes that the caption leaves out stay random, so the
model learns that they are free.
"""
import math
import zlib

import numpy as np
import skia

SIZE = 256

COLOURS = {
    'red': '#c8372d', 'blue': '#2f6fb5', 'yellow': '#e9b92f', 'green': '#3f9a55', 'white': '#f3efe6',
    'purple': '#7d4fa6', 'orange': '#e3782b', 'pink': '#e58aa8',
}
SUBJECTS = ['lighthouse', 'cottage', 'castle', 'windmill', 'sailboat', 'hot air balloon', 'tent', 'barn',
            'pine tree', 'oak tree', 'snowman', 'rocket', 'tower', 'church']
COLOURED = {'lighthouse', 'cottage', 'castle', 'windmill', 'sailboat', 'hot air balloon', 'tent', 'barn', 'rocket',
            'tower', 'church'}
PLACES = ['sea', 'mountains', 'desert', 'forest', 'meadow', 'hill', 'lake', 'beach', 'island', 'cliff']
TIMES = ['dawn', 'day', 'sunset', 'dusk', 'night']
WEATHERS = ['clear', 'cloudy', 'snowy', 'rainy', 'foggy']
EXTRAS = ['none', 'birds', 'rainbow', 'flowers', 'full moon', 'crescent moon', 'stars', 'big sun']

SKY = {  # top, middle, horizon
    'dawn': ('#6f87bf', '#f0b8b4', '#ffe3b8'), 'day': ('#3f8fd6', '#86c1ea', '#d8eef7'),
    'sunset': ('#4b3a78', '#e0654f', '#ffc45e'), 'dusk': ('#23264f', '#5c4a86', '#b8799a'),
    'night': ('#070b20', '#101a3f', '#25356a'),
}
LIGHT = {'dawn': (.92, .84, .86), 'day': (1, 1, 1), 'sunset': (.92, .70, .62), 'dusk': (.58, .52, .72),
         'night': (.30, .34, .55)}
GRASS, SAND, ROCK, WATER, SNOW = '#6fae4f', '#e6c884', '#7f8794', '#2f7fb0', '#eef3f8'


ATTRIBUTES = ('subject', 'colour', 'place', 'time', 'weather', 'extra')
HELD_OUT_OF = 20  # one combination in so many is the judge's alone


def held_out(s):
    """Whether this combination of attributes is kept from training, so that the judge asks for what was never shown."""
    return zlib.crc32('|'.join(str(s[k]) for k in ATTRIBUTES).encode()) % HELD_OUT_OF == 0


def sample(rng, judged=False):
    """A scene for training, or with `judged` one of those that training never draws."""
    while True:
        s = anything(rng)
        if held_out(s) == judged: return s


def anything(rng):
    place = rng.choice(PLACES)
    subject = rng.choice(SUBJECTS)
    if subject == 'sailboat':
        place = rng.choice(['sea', 'lake', 'beach', 'island'])
    elif place == 'sea':
        subject = rng.choice(['sailboat', 'hot air balloon', 'lighthouse', 'rocket'])
    elif place == 'cliff' and subject in ('tent', 'snowman'):
        subject = 'lighthouse'
    weather = rng.choices(WEATHERS, [5, 3, 2, 2, 2])[0]
    time = rng.choice(TIMES)
    extra = rng.choice(EXTRAS)
    if time in ('night', 'dusk') and extra in ('rainbow', 'big sun'):
        extra = rng.choice(['stars', 'full moon', 'crescent moon'])
    if time in ('day', 'dawn', 'sunset') and extra in ('stars', 'full moon', 'crescent moon'):
        extra = rng.choice(['birds', 'none', 'big sun' if time != 'day' else 'rainbow'])
    if extra == 'flowers' and place in ('sea', 'cliff', 'island', 'beach'):
        extra = 'none'
    if weather != 'clear' and extra in ('big sun', 'stars'):
        weather = 'clear'
    return dict(subject=subject, colour=rng.choice(list(COLOURS)) if subject in COLOURED else None, place=place,
                time=time, weather=weather, extra=extra)


PLACE_WORDS = {
    'sea': ['at sea', 'on the sea', 'on the ocean', 'over the sea'], 'mountains': ['in the mountains', 'among mountains', 'below the mountains'],
    'desert': ['in the desert', 'among the dunes'], 'forest': ['in a forest', 'in the woods'],
    'meadow': ['in a meadow', 'in a field'], 'hill': ['on a hill', 'on a green hill', 'on top of a hill'],
    'lake': ['by a lake', 'at the lake'], 'beach': ['on a beach', 'on the shore'], 'island': ['on an island', 'on a small island'],
    'cliff': ['on a cliff', 'on a cliff above the sea'],
}
TIME_WORDS = {'dawn': ['at dawn', 'at sunrise', 'early in the morning'], 'day': ['in daylight', 'on a bright day', 'at noon'],
              'sunset': ['at sunset', 'in the evening sun'], 'dusk': ['at dusk', 'at twilight'],
              'night': ['at night', 'in the night', 'at midnight']}
WEATHER_WORDS = {'clear': ['clear sky', 'under a clear sky'], 'cloudy': ['cloudy sky', 'with clouds'],
                 'snowy': ['in the snow', 'snowing', 'in winter'], 'rainy': ['in the rain', 'raining'],
                 'foggy': ['in the fog', 'misty', 'foggy']}
EXTRA_WORDS = {'birds': ['with birds', 'birds in the sky'], 'rainbow': ['with a rainbow', 'under a rainbow'],
               'flowers': ['with flowers', 'surrounded by flowers'], 'full moon': ['under a full moon', 'with a full moon'],
               'crescent moon': ['under a crescent moon', 'with a crescent moon'],
               'stars': ['under the stars', 'with a starry sky', 'starry night'], 'big sun': ['with a big sun', 'with the sun']}
STYLE_WORDS = ['storybook illustration', "children's book illustration", 'illustration', 'a painting of', 'a picture of']


def caption(s, rng, drop=0.25):
    keep = lambda: rng.random() > drop
    noun = s['subject']
    if s['colour'] and rng.random() > 0.15:
        noun = f"{s['colour']} {noun}"
    head = f"{'an' if noun[0] in 'aeio' else 'a'} {noun}" if rng.random() > 0.1 else noun
    tail = []
    if keep(): tail.append(rng.choice(PLACE_WORDS[s['place']]))
    if keep(): tail.append(rng.choice(TIME_WORDS[s['time']]))
    if (s['weather'] != 'clear' and rng.random() > .12) or (s['weather'] == 'clear' and rng.random() > .8):
        tail.append(rng.choice(WEATHER_WORDS[s['weather']]))
    if s['extra'] != 'none' and rng.random() > .12: tail.append(rng.choice(EXTRA_WORDS[s['extra']]))
    if rng.random() < .25: rng.shuffle(tail)
    comma = rng.random() < .5
    text = head
    for i, t in enumerate(tail):
        text += (', ' if comma and i > 0 else ' ') + t
    r = rng.random()
    if r < .1: text = f'{STYLE_WORDS[3]} {text}'
    elif r < .2: text = f'{STYLE_WORDS[4]} {text}'
    elif r < .3: text = f'{text}, {rng.choice(STYLE_WORDS[:3])}'
    return text


# ---------------------------------------------------------------- painting
def rgb(h):
    return tuple(int(h[i:i + 2], 16) / 255 for i in (1, 3, 5))


def col(c, light=(1, 1, 1), a=1.0, k=1.0):
    c = rgb(c) if isinstance(c, str) else c
    return skia.Color4f(*(min(1, max(0, v * l * k)) for v, l in zip(c, light)), a)


def mix(a, b, t):
    a = rgb(a) if isinstance(a, str) else a
    b = rgb(b) if isinstance(b, str) else b
    return tuple(x * (1 - t) + y * t for x, y in zip(a, b))


class Painter:
    def __init__(self, s, rng, size=SIZE):
        self.s, self.rng = s, rng
        self.light = LIGHT[s['time']]
        if s['weather'] in ('rainy', 'cloudy', 'foggy'):
            g = sum(self.light) / 3
            self.light = tuple(l * .55 + g * .40 for l in self.light)
        self.surf = skia.Surface(size, size)
        self.c = self.surf.getCanvas()
        self.c.scale(size / SIZE, size / SIZE)  # scenes are laid out on a SIZE x SIZE canvas whatever their resolution
        self.horizon = rng.uniform(142, 168)
        self.snow = s['weather'] == 'snowy'
        self.lit = s['time'] in ('night', 'dusk')

    def paint(self, c, a=1.0, k=1.0, light=True, **kw):
        return skia.Paint(Color4f=col(c, self.light if light else (1, 1, 1), a, k), AntiAlias=True, **kw)

    def poly(self, pts, paint):
        p = skia.Path()
        p.moveTo(*pts[0])
        for q in pts[1:]: p.lineTo(*q)
        p.close()
        self.c.drawPath(p, paint)

    def ridge(self, base, amp, n, c, rough=1.0, k=1.0, bottom=SIZE):
        r = self.rng
        ph, f = r.uniform(0, 6.28), r.uniform(.7, 1.4)
        p = skia.Path()
        p.moveTo(-4, bottom + 4)
        for i in range(n + 1):
            x = SIZE * i / n
            y = base - amp * (.5 + .5 * math.sin(ph + f * x / 40)) - rough * r.uniform(0, amp * .4)
            p.lineTo(x, y)
        p.lineTo(SIZE + 4, bottom + 4)
        p.close()
        self.c.drawPath(p, self.paint(c, k=k))

    def hill(self, base, peak, cx, c, k=1.0):
        p = skia.Path()
        p.moveTo(-4, SIZE + 4)
        p.lineTo(-4, base)
        p.quadTo(cx * .5, peak, cx, peak)
        p.quadTo(cx + (SIZE - cx) * .5, peak, SIZE + 4, base)
        p.lineTo(SIZE + 4, SIZE + 4)
        p.close()
        self.c.drawPath(p, self.paint(c, k=k))

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
        if s['weather'] in ('cloudy', 'rainy', 'snowy') or (s['weather'] == 'clear' and r.random() < .15):
            n = {'cloudy': 5, 'rainy': 6, 'snowy': 3}.get(s['weather'], 1)
            tone = {'rainy': '#8b93a3'}.get(s['weather'], '#f4f4f2')
            for _ in range(n):
                x, y, w = r.uniform(-10, 256), r.uniform(14, 92), r.uniform(26, 52)
                p = self.paint(tone, .9, k=1.05 if s['time'] != 'night' else 1.2)
                self.c.drawRoundRect(skia.Rect.MakeXYWH(x - w, y, 2 * w, w * .34), w * .17, w * .17, p)
                for dx, rr in ((-.45, .30), (0, .42), (.42, .28)):
                    self.c.drawCircle(x + dx * w, y + 2, rr * w, p)
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

    # -- subjects
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

    # -- in front
    def front(self):
        s, r = self.s, self.rng
        if s['extra'] == 'flowers':
            for _ in range(46):
                y = r.uniform(206, 252); x = r.uniform(0, SIZE); rr = r.uniform(2, 3.6)
                self.c.drawCircle(x, y, rr, self.paint(r.choice(['#e94f64', '#f5c542', '#f7f2ea', '#b45fc4']))); self.c.drawCircle(x, y, rr * .4, self.paint('#fbe58a'))
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


def draw(s, rng, size=SIZE, with_mask=False):
    """Paint scene `s`; returns uint8 [size, size, 3], and with `with_mask` a bool [size, size] of where the subject is."""
    pixels = lambda: np.array(p.surf.makeImageSnapshot().toarray(colorType=skia.kRGBA_8888_ColorType))[..., :3]
    p = Painter(s, rng, size)
    p.sky()
    x, y = p.ground()
    before = pixels() if with_mask else None
    p.light = tuple(.62 * l + .38 for l in p.light)  # the subject stands out, at night too
    p.subject(x, y)
    mask = (np.abs(pixels().astype(np.int16) - before).max(2) > 8) if with_mask else None
    p.light = LIGHT[s['time']]
    p.front()
    return (pixels(), mask) if with_mask else pixels()
