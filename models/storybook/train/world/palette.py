"""The colours of the world: pigments, skies by the time of day, and how light falls."""
import skia

SIZE = 256  # scenes are laid out on a square of so many units, whatever their resolution

COLOURS = {
    'red': '#c8372d', 'blue': '#2f6fb5', 'yellow': '#e9b92f', 'green': '#3f9a55', 'white': '#f3efe6',
    'purple': '#7d4fa6', 'orange': '#e3782b', 'pink': '#e58aa8',
}

SKY = {  # top, middle, horizon
    'dawn': ('#6f87bf', '#f0b8b4', '#ffe3b8'), 'day': ('#3f8fd6', '#86c1ea', '#d8eef7'),
    'sunset': ('#4b3a78', '#e0654f', '#ffc45e'), 'dusk': ('#23264f', '#5c4a86', '#b8799a'),
    'night': ('#070b20', '#101a3f', '#25356a'),
}
LIGHT = {'dawn': (.92, .84, .86), 'day': (1, 1, 1), 'sunset': (.92, .70, .62), 'dusk': (.58, .52, .72),
         'night': (.30, .34, .55)}
GRASS, SAND, ROCK, WATER, SNOW = '#6fae4f', '#e6c884', '#7f8794', '#2f7fb0', '#eef3f8'


def rgb(h):
    return tuple(int(h[i:i + 2], 16) / 255 for i in (1, 3, 5))


def col(c, light=(1, 1, 1), a=1.0, k=1.0):
    c = rgb(c) if isinstance(c, str) else c
    return skia.Color4f(*(min(1, max(0, v * l * k)) for v, l in zip(c, light)), a)


def mix(a, b, t):
    a = rgb(a) if isinstance(a, str) else a
    b = rgb(b) if isinstance(b, str) else b
    return tuple(x * (1 - t) + y * t for x, y in zip(a, b))
