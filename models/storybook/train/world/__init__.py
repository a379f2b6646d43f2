"""How scenes look. `draw` paints one with Skia."""
import numpy as np

from .palette import COLOURS, LIGHT, SIZE
from .subjects import Painter

__all__ = ['COLOURS', 'SIZE', 'draw']


def draw(s, rng, size=SIZE, with_mask=False):
    """Paint scene `s`; returns uint8 [size, size, 3].

    With `with_mask` also two bool [size, size]: where the subject is, and where the extra (stars, birds, flowers …) is.
    """
    p = Painter(s, rng, size)
    if with_mask:
        p.details = np.zeros((size, size), bool)
    p.sky()
    x, y = p.ground()
    before = p.pixels() if with_mask else None
    p.light = tuple(.62 * l + .38 for l in p.light)  # the subject stands out, at night too
    p.subject(x, y)
    mask = p.changed(before) if with_mask else None
    p.light = LIGHT[s['time']]
    p.front()
    return (p.pixels(), mask, p.details & ~mask) if with_mask else p.pixels()
