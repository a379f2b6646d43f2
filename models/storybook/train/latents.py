"""Freshly drawn scenes as latents: the ever-refreshed training set.

A pool grows by freshly drawn scenes until it holds `capacity`, then replaces the oldest. An entry is a float16 latent
(already multiplied by the scaling factor), a uint8 map of how much of each latent cell is about the subject or the extra,
and the scene's attributes. On a CPU a scene costs about as much to encode as a picture costs to train on, so each is used
several times, with other noise and other captions; a mirrored copy would have to be encoded too, so a fresh scene is
drawn instead. With `workers`, other processes draw while this one trains (worth it beside a GPU).
"""
import json
import os
import random
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import torch
from diffusers import AutoencoderTiny
from PIL import Image, ImageOps

from . import scenes
from .device import autocast

DETAIL_GAIN = 6  # a cell with one star in it is mostly sky, and yet it is about the star
DRAWN_TOGETHER = 16  # larger batches are slower on a CPU


def draw_many(seed: int, count: int, size: int):
    """`count` scenes from one seed: attributes, pictures uint8 [count, size, size, 3], masks of subject and extra bool [count, size, size]."""
    rng = random.Random(seed)
    attributes = [scenes.sample(rng) for _ in range(count)]
    drawn = [scenes.draw(a, rng, size, with_mask=True) for a in attributes]
    return attributes, np.stack([d[0] for d in drawn]), np.stack([d[1] for d in drawn]), np.stack([d[2] for d in drawn])


def to_signed(pictures: np.ndarray) -> torch.Tensor:
    """uint8 [n, h, w, 3] to float [n, 3, h, w] in -1..1."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def cell_of(vae_dir: str) -> int:
    """Pixels of a latent cell, each way: the autoencoder halves once less than it has levels."""
    with open(os.path.join(vae_dir, 'config.json'), encoding='utf-8') as file:
        return 2 ** (len(json.load(file)['encoder_block_out_channels']) - 1)


class Pool:
    """Latents of `size`-pixel scenes. `seed` fixes the whole sequence of scenes."""

    def __init__(self, vae_dir: str, size: int, capacity: int, seed: int, device: torch.device, workers: int = 0):
        self.device = device
        self.vae = AutoencoderTiny.from_pretrained(vae_dir, torch_dtype=torch.float32).eval().requires_grad_(False)
        self.vae = self.vae.to(device, memory_format=torch.channels_last)
        self.size, self.capacity, self.seed = size, capacity, seed
        self.cell = cell_of(vae_dir)
        cells = size // self.cell
        self.latents = np.zeros((capacity, 4, cells, cells), np.float16)
        self.cover = np.zeros((capacity, cells, cells), np.uint8)
        self.attributes: list[dict] = []
        self.head, self.drawn = 0, 0
        self._workers = ProcessPoolExecutor(workers) if workers else None
        self._waiting: list = []

    @torch.no_grad()
    def encode(self, pictures: np.ndarray) -> torch.Tensor:
        """Scaled latents, float32 [n, 4, size/cell, size/cell] on the device."""
        x = to_signed(pictures).to(self.device).contiguous(memory_format=torch.channels_last)
        with autocast(self.device):
            return self.vae.encode(x).latents.float() * self.vae.config.scaling_factor

    def _next(self):
        """One drawn batch; with workers, several are under way so that drawing overlaps training."""
        seed = self.seed * 1_000_003 + self.drawn
        if self._workers is None:
            return draw_many(seed, DRAWN_TOGETHER, self.size)
        while len(self._waiting) < 2 * self._workers._max_workers:
            self._waiting.append(self._workers.submit(draw_many, seed + len(self._waiting) * DRAWN_TOGETHER, DRAWN_TOGETHER, self.size))
        return self._waiting.pop(0).result()

    def add(self, count: int) -> None:
        """Draw and encode `count` scenes (rounded up to whole batches)."""
        for _ in range(-(-count // DRAWN_TOGETHER)):
            attributes, pictures, masks, details = self._next()
            latents = self.encode(pictures).cpu().numpy()
            index = [self._place(a) for a in attributes]
            self.latents[index] = latents
            self.cover[index] = np.minimum(1, self.share(masks) + DETAIL_GAIN * self.share(details)) * 255
            self.keep_more(index, pictures, masks)
            self.drawn += len(attributes)

    def share(self, masks: np.ndarray) -> np.ndarray:
        """How much of each cell bool masks [n, size, size] cover, 0..1 [n, cells, cells]."""
        n, cells = len(masks), self.size // self.cell
        return masks.reshape(n, cells, self.cell, cells, self.cell).mean((2, 4))

    def _place(self, attributes: dict) -> int:
        """The entry that a new scene takes: the next free one, else the oldest."""
        if len(self.attributes) < self.capacity:
            self.attributes.append(attributes)
            return len(self.attributes) - 1
        i, self.head = self.head, (self.head + 1) % self.capacity
        self.attributes[i] = attributes
        return i

    def keep_more(self, index: list[int], pictures: np.ndarray, masks: np.ndarray) -> None:
        """For pools whose entries have more to them."""

    def pick(self, count: int, rng: random.Random):
        """Latents [count, 4, n, n], cover 0..1 [count, n, n] (both on the device) and the attributes of `count` random scenes."""
        index = [rng.randrange(len(self.attributes)) for _ in range(count)]
        latents = torch.from_numpy(self.latents[index]).float().to(self.device)
        cover = torch.from_numpy(self.cover[index]).float().to(self.device) / 255
        return latents, cover, [self.attributes[i] for i in index]

    @torch.no_grad()
    def decode(self, latents: torch.Tensor) -> np.ndarray:
        """uint8 [n, h, w, 3] of scaled latents."""
        y = self.vae.decode(latents / self.vae.config.scaling_factor).sample
        return y.clamp(-1, 1).add(1).mul(127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()

    def state(self) -> dict:
        n = len(self.attributes)
        return {'latents': torch.from_numpy(self.latents[:n].copy()), 'cover': torch.from_numpy(self.cover[:n].copy()),
                'attributes': list(self.attributes), 'head': self.head, 'drawn': self.drawn}

    def load(self, state: dict) -> None:
        n = min(len(state['attributes']), self.capacity)
        self.latents[:n], self.cover[:n] = state['latents'].numpy()[:n], state['cover'].numpy()[:n]
        self.attributes = state['attributes'][:n]
        self.head, self.drawn = state['head'] % self.capacity, state['drawn']


def own_pictures(folder: str, vae_dir: str, size: int, device: torch.device) -> Pool:
    """A pool of one's own pictures: `metadata.jsonl` in the folder has a line {"file_name": ..., "text": ...} for each.

    Pictures are cropped to a square around their middle. Their subject is not known, so no cell counts more than another.
    """
    with open(os.path.join(folder, 'metadata.jsonl'), encoding='utf-8') as file:
        entries = [json.loads(line) for line in file if line.strip()]
    if not entries:
        raise SystemExit(f'train: {folder}/metadata.jsonl names no picture.')
    pool = Pool(vae_dir, size, len(entries), 0, device)
    for i, entry in enumerate(entries):
        with Image.open(os.path.join(folder, entry['file_name'])) as picture:
            square = ImageOps.fit(picture.convert('RGB'), (size, size), Image.Resampling.LANCZOS)
        pool.latents[i] = pool.encode(np.array(square)[None]).cpu().numpy()[0]
        pool.attributes.append({'text': entry['text']})
    return pool
