"""Contact sheets: the first seed of each prompt, nothing picked."""
import random

import numpy as np
from PIL import Image

from . import engine, judge, scenes


def prompts(count: int) -> list[str]:
    """Prompts of combinations that training never drew; every subject comes up before any comes twice."""
    rng, out, waiting = random.Random(64), [], []
    while len(out) < count:
        if not waiting:
            waiting = list(scenes.SUBJECTS)
        scene = scenes.sample(rng, judged=True)
        if scene['subject'] in waiting:
            waiting.remove(scene['subject'])
            out.append(judge.worded(scene, rng))
    return out


def write(model: str, out: str, count: int = 64, columns: int = 8) -> None:
    settings = engine.defaults(model)
    texts = prompts(count)
    pictures = engine.draw(model, [{'prompt': text, 'seed': 0, **settings} for text in texts])
    rows = [np.hstack(pictures[i : i + columns]) for i in range(0, len(pictures), columns)]
    Image.fromarray(np.vstack(rows)).save(out, optimize=True)
    for i, text in enumerate(texts):
        print(f'{i // columns + 1}.{i % columns + 1} {text}')
