"""Draw scenes and encode them to latents; `Pool` is the ever-refreshed training set of train_unet.py.

A pool starts with `first` scenes, grows by freshly drawn ones until it holds `capacity`, then replaces the oldest.
Each entry is a float16 latent (already multiplied by the scaling factor), a uint8 map of how much of each latent cell
the subject covers, and the scene's attributes. A scene costs about as much to encode as a training picture, so it is
used several times (with other noise and other captions); a mirrored copy would have to be encoded as well, so a fresh
scene is always drawn instead.

Run (optional, to look at speed):  python encode.py --model ../torch --scenes 256 --size 128
"""
import argparse
import random
import time

import numpy as np
import torch
from diffusers import AutoencoderTiny

import scenes


class Pool:
    def __init__(self, vae_dir, size, capacity, seed):
        self.vae = AutoencoderTiny.from_pretrained(vae_dir, torch_dtype=torch.float32).eval().to(memory_format=torch.channels_last)
        self.size, self.capacity, self.rng = size, capacity, random.Random(seed)
        n = size // 8
        self.lat = np.zeros((capacity, 4, n, n), np.float16)
        self.mask = np.zeros((capacity, n, n), np.uint8)
        self.meta, self.head, self.drawn = [], 0, 0

    @torch.no_grad()
    def add(self, count):  # 16 at a time: larger batches are slower on a CPU
        ms = [scenes.sample(self.rng) for _ in range(count)]
        drawn = [scenes.draw(m, self.rng, self.size, with_mask=True) for m in ms]
        x = torch.from_numpy(np.stack([d[0] for d in drawn])).permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.autocast('cpu', dtype=torch.bfloat16):
            z = self.vae.encode(x.contiguous(memory_format=torch.channels_last)).latents.float() * self.vae.config.scaling_factor
        n = self.size // 8
        for m, l, d in zip(ms, z.numpy(), drawn):
            if len(self.meta) < self.capacity: i = len(self.meta); self.meta.append(m)
            else: i = self.head; self.head = (i + 1) % self.capacity; self.meta[i] = m
            self.lat[i] = l
            self.mask[i] = d[1].reshape(n, 8, n, 8).mean((1, 3)) * 255
        self.drawn += count

    def pick(self, count, rng):
        ix = [rng.randrange(len(self.meta)) for _ in range(count)]
        return torch.from_numpy(self.lat[ix]).float(), torch.from_numpy(self.mask[ix]).float() / 255, [self.meta[i] for i in ix]

    def state(self):
        n = len(self.meta)
        return {'lat': torch.from_numpy(self.lat[:n].copy()), 'mask': torch.from_numpy(self.mask[:n].copy()), 'meta': list(self.meta), 'head': self.head, 'drawn': self.drawn, 'rng': self.rng.getstate()}

    def load(self, s):
        n = min(len(s['meta']), self.capacity)
        self.lat[:n] = s['lat'].numpy()[:n]; self.mask[:n] = s['mask'].numpy()[:n]; self.meta = s['meta'][:n]
        self.head, self.drawn = s['head'] % self.capacity, s['drawn']; self.rng.setstate(s['rng'])


if __name__ == '__main__':
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('--model', required=True, help='folder in diffusers layout, with vae/'); a.add_argument('--scenes', type=int, default=256)
    a.add_argument('--size', type=int, default=128); a.add_argument('--threads', type=int, default=2); a = a.parse_args()
    torch.set_num_threads(a.threads)
    p = Pool(f'{a.model}/vae', a.size, a.scenes, 0); p.add(16); t = time.time()
    for _ in range(a.scenes // 16): p.add(16)
    print(f'{a.scenes // 16 * 16 / (time.time() - t):.0f} scenes a second; latents: mean {p.lat.mean((0, 2, 3), dtype=np.float64)}, std {p.lat.std(dtype=np.float64):.3f}; subject cover {p.mask.mean() / 255:.3f}')
