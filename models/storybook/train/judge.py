"""A judge of prompt adherence: a CNN trained on drawn scenes only (never on generated pictures), with seeds apart from the generator's.

Run:  python judge.py train --judge ../judge.pt --minutes 8        prints the accuracy on unseen drawn scenes as it goes
      python judge.py score --judge ../judge.pt --dir ../judged    scores a folder made by `sample_eval.py scenes`

One in eight of the training pictures passes through the autoencoder (--vae) where one is given, so that the judge knows its softness; others are blurred or made noisy.
Colour is scored on the subjects that have one.
"""
import argparse
import json
import math
import random
import time

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from PIL import Image

import scenes

HEADS = {'subject': scenes.SUBJECTS, 'colour': list(scenes.COLOURS) + [None], 'place': scenes.PLACES, 'time': scenes.TIMES, 'weather': scenes.WEATHERS, 'extra': scenes.EXTRAS}
SIZE = 128   # pixels of the drawn scenes, as generated ones
VIEW = 96    # pixels the network sees


class Judge(nn.Module):
    def __init__(s):
        super().__init__(); c = [3, 32, 64, 128, 192]
        s.body = nn.Sequential(*[m for i in range(4) for m in (nn.Conv2d(c[i], c[i + 1], 3, 2, 1), nn.BatchNorm2d(c[i + 1]), nn.ReLU(), nn.Conv2d(c[i + 1], c[i + 1], 3, 1, 1, groups=8), nn.BatchNorm2d(c[i + 1]), nn.ReLU())])
        s.heads = nn.ModuleDict({k: nn.Linear(192 * 2, len(v)) for k, v in HEADS.items()})

    def forward(s, x):
        h = s.body(x); h = torch.cat([h.mean((2, 3)), h.amax((2, 3))], 1); return {k: l(h) for k, l in s.heads.items()}


def prep(ims): return torch.from_numpy(np.stack([np.asarray(Image.fromarray(i).resize((VIEW, VIEW), Image.BOX)) for i in ims])).permute(0, 3, 1, 2)
def lab(ms): return {k: torch.tensor([v.index(m[k]) for m in ms]) for k, v in HEADS.items()}
def norm(x): return x.float() / 127.5 - 1


def rates(o, y):
    r = {k: o[k].argmax(1) == y[k] for k in HEADS}; has = y['colour'] < len(scenes.COLOURS); r['colour'] = r['colour'][has]
    return r


def train(a):
    vae = None
    if a.vae:
        from diffusers import AutoencoderTiny
        vae = AutoencoderTiny.from_pretrained(a.vae, torch_dtype=torch.float32).eval().to(memory_format=torch.channels_last)
    torch.manual_seed(0); r = random.Random(4242); t0 = time.time(); end = t0 + a.minutes * 60; X, M = [], []
    held, pool = 600, a.scenes

    @torch.no_grad()
    def soft(ims):
        x = (torch.from_numpy(np.stack(ims)).permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        with torch.autocast('cpu', dtype=torch.bfloat16): y = vae.decode(vae.encode(x).latents).sample.float()
        return list(y.clamp(-1, 1).add(1).mul(127.5).round().byte().permute(0, 2, 3, 1).contiguous().numpy())

    while len(M) < held + pool and (len(M) < held + 1000 or time.time() < t0 + a.minutes * 60 * .3):
        ms = [scenes.sample(r) for _ in range(16)]; ims = [scenes.draw(m, r, SIZE) for m in ms]
        if vae and len(M) >= held and len(M) // 16 % 8 == 0: ims = soft(ims)
        X.append(prep(ims)); M += ms
    X = torch.cat(X); Y = lab(M); print(f'{len(M)} scenes after {time.time() - t0:.0f} s', flush=True)
    m = Judge().to(memory_format=torch.channels_last); opt = torch.optim.AdamW(m.parameters(), 2e-3, weight_decay=1e-3); start = time.time(); told = start; step = 0

    def check():
        m.eval()
        with torch.no_grad(): o = m(norm(X[:held]))
        print(f'step {step} {time.time() - t0:.0f} s drawn scenes unseen:', {k: round(v.float().mean().item(), 3) for k, v in rates(o, {k: v[:held] for k, v in Y.items()}).items()}, flush=True); m.train()

    while time.time() < end:
        f = (time.time() - start) / (end - start)
        for g in opt.param_groups: g['lr'] = 3e-3 * min(1, (step + 1) / 100) * (.5 + .5 * math.cos(math.pi * min(1, f)))
        j = torch.randint(held, len(M), (64,)); x = norm(X[j])
        if random.random() < .5: x = x.flip(3)
        if random.random() < .4: x = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2, mode='bilinear')
        x = x + .05 * torch.randn_like(x)                                  # tolerate painterly texture
        with torch.autocast('cpu', dtype=torch.bfloat16): o = m(x.contiguous(memory_format=torch.channels_last))
        loss = sum(F.cross_entropy(o[k].float(), Y[k][j]) for k in HEADS); opt.zero_grad(); loss.backward(); opt.step(); step += 1
        if time.time() - told > 60: told = time.time(); check()
    check(); torch.save(m.state_dict(), a.judge)


def score(a):
    ms = json.load(open(f'{a.dir}/scenes.json')); m = Judge(); m.load_state_dict(torch.load(a.judge)); m.eval()
    with torch.no_grad(): o = m(norm(prep([np.asarray(Image.open(f'{a.dir}/{i}.png').convert('RGB')) for i in range(len(ms))])))
    r = rates(o, lab(ms))
    for k, v in r.items():
        n, p = len(v), v.float().mean().item(); z = 1.96; c = (p + z * z / 2 / n) / (1 + z * z / n); w = z * math.sqrt(p * (1 - p) / n + z * z / 4 / n / n) / (1 + z * z / n)
        print(f'{k:8s} {p:6.1%}  n={n}  95% interval {c - w:.1%} to {c + w:.1%}')
    print(f'mean     {np.mean([v.float().mean().item() for v in r.values()]):6.1%}')
    y = lab(ms)['subject']
    print('by subject:', ', '.join(f'{s} {int(r["subject"][y == i].sum())}/{int((y == i).sum())}' for i, s in enumerate(scenes.SUBJECTS)))


if __name__ == '__main__':
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('what', choices=['train', 'score']); a.add_argument('--judge', required=True); a.add_argument('--dir'); a.add_argument('--vae')
    a.add_argument('--minutes', type=float, default=8); a.add_argument('--scenes', type=int, default=12000); a.add_argument('--threads', type=int, default=2); a = a.parse_args()
    torch.set_num_threads(a.threads); random.seed(0); train(a) if a.what == 'train' else score(a)
