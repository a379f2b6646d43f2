"""A canvas and what everything is painted with."""
import math
from contextlib import contextmanager

import numpy as np
import skia

from .palette import LIGHT, SIZE, col


class Canvas:
    def __init__(self, s, rng, size=SIZE):
        self.s, self.rng = s, rng
        self.light = LIGHT[s['time']]
        if s['weather'] in ('rainy', 'cloudy', 'foggy'):
            g = sum(self.light) / 3
            self.light = tuple(l * .55 + g * .40 for l in self.light)
        self.surf = skia.Surface(size, size)
        self.c = self.surf.getCanvas()
        self.c.scale(size / SIZE, size / SIZE)  # scenes are laid out on a SIZE x SIZE canvas whatever their resolution
        self.details: np.ndarray | None = None  # bool [size, size] of where the extra is, when it is asked for
        self.horizon = rng.uniform(142, 168)
        self.snow = s['weather'] == 'snowy'
        self.lit = s['time'] in ('night', 'dusk')

    def pixels(self):
        """uint8 [size, size, 3]"""
        return np.array(self.surf.makeImageSnapshot().toarray(colorType=skia.kRGBA_8888_ColorType))[..., :3]

    def changed(self, before):
        """bool [size, size] of what was painted since `before`"""
        return np.abs(self.pixels().astype(np.int16) - before).max(2) > 8

    @contextmanager
    def detail(self):
        """Remembers what is painted within as part of the scene's extra."""
        before = None if self.details is None else self.pixels()
        yield
        if before is not None:
            self.details |= self.changed(before)

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
