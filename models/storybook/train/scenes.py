"""Procedural storybook scenes: a random scene and its caption; `world/` paints it.

A scene is a dict of attributes (subject, colour, place, time, weather, extra). Attributes that the caption leaves out stay
random, so the model learns that they are free.
"""
import zlib

from .world import COLOURS, SIZE, draw

__all__ = ['SIZE', 'caption', 'draw', 'held_out', 'sample']

SUBJECTS = ['lighthouse', 'cottage', 'castle', 'windmill', 'sailboat', 'hot air balloon', 'tent', 'barn',
            'pine tree', 'oak tree', 'snowman', 'rocket', 'tower', 'church']
COLOURED = {'lighthouse', 'cottage', 'castle', 'windmill', 'sailboat', 'hot air balloon', 'tent', 'barn', 'rocket',
            'tower', 'church'}
PLACES = ['sea', 'mountains', 'desert', 'forest', 'meadow', 'hill', 'lake', 'beach', 'island', 'cliff']
TIMES = ['dawn', 'day', 'sunset', 'dusk', 'night']
WEATHERS = ['clear', 'cloudy', 'snowy', 'rainy', 'foggy']
EXTRAS = ['none', 'birds', 'rainbow', 'flowers', 'full moon', 'crescent moon', 'stars', 'big sun']


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
    if (s['weather'] != 'clear' and rng.random() > .04) or (s['weather'] == 'clear' and rng.random() > .8):
        tail.append(rng.choice(WEATHER_WORDS[s['weather']]))
    if s['extra'] != 'none' and rng.random() > .04: tail.append(rng.choice(EXTRA_WORDS[s['extra']]))
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
