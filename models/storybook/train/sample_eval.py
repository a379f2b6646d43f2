"""Pictures from trained weights (diffusers, float32): a sheet to look at, or a folder of random scenes for judge.py.

Run:  python sample_eval.py sheet --model ../out/torch --out sample.png             8 prompts (columns of two rows) x 2 seeds
      python sample_eval.py scenes --model ../out/torch --out ../judged --count 112  writes <i>.png, scenes.json, captions.json

The first seeds are taken, nothing is picked. The prompts of `scenes` word every attribute, from seeds apart from training's.
"""
import argparse
import json
import os
import random

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from diffusers.utils import logging
from PIL import Image

import scenes

logging.disable_progress_bar()

PROMPTS = ['a lighthouse on a cliff at sunset', 'a red castle in the mountains in the snow', 'a yellow hot air balloon over the sea, with birds',
           'a cottage in a forest at night under a full moon', 'a blue sailboat on a lake at dawn, foggy', 'an orange tent in the desert at dusk under the stars',
           'a pink windmill in a meadow with flowers on a bright day', 'a rocket on a hill in the rain']


def worded(s, r):
    n = f"{s['colour']} {s['subject']}" if s['colour'] else s['subject']; t = [r.choice(scenes.PLACE_WORDS[s['place']]), r.choice(scenes.TIME_WORDS[s['time']])]
    if s['weather'] != 'clear': t.append(r.choice(scenes.WEATHER_WORDS[s['weather']]))
    if s['extra'] != 'none': t.append(r.choice(scenes.EXTRA_WORDS[s['extra']]))
    return f"{'an' if n[0] in 'aeio' else 'a'} {n} " + ', '.join(t)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('what', choices=['sheet', 'scenes']); a.add_argument('--model', required=True); a.add_argument('--out', required=True)
    a.add_argument('--count', type=int, default=112); a.add_argument('--steps', type=int, default=20); a.add_argument('--guidance', type=float, default=4.)
    a.add_argument('--seed', type=int, default=31337); a.add_argument('--threads', type=int, default=2); a = a.parse_args(); torch.set_num_threads(a.threads)
    p = StableDiffusionPipeline.from_pretrained(a.model, torch_dtype=torch.float32, low_cpu_mem_usage=False); p.set_progress_bar_config(disable=True); size = p.unet.config.sample_size * 8
    make = lambda caps, seeds: p(caps, num_inference_steps=a.steps, guidance_scale=a.guidance, height=size, width=size, generator=[torch.Generator().manual_seed(k) for k in seeds]).images
    if a.what == 'sheet':
        rows = []
        for i in (0, 4):
            for seed in (0, 1): rows.append(np.hstack([np.asarray(im) for im in make(PROMPTS[i:i + 4], [seed] * 4)]))
        Image.fromarray(np.vstack(rows)).save(a.out); return
    r = random.Random(a.seed); ms = [scenes.sample(r) for _ in range(a.count)]; caps = [worded(m, r) for m in ms]; os.makedirs(a.out, exist_ok=True)
    for i in range(0, a.count, 8):
        for j, im in enumerate(make(caps[i:i + 8], range(i, min(i + 8, a.count)))): im.save(f'{a.out}/{i + j}.png')
    json.dump(ms, open(f'{a.out}/scenes.json', 'w')); json.dump(caps, open(f'{a.out}/captions.json', 'w'))


if __name__ == '__main__':
    main()
