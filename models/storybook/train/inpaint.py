"""A nine-channel inpainting model: noisy latents (4), mask (1), latents of the picture without what the mask covers (4).

The layout is Stable Diffusion inpainting's, so anything that runs that runs this. It begins as the teacher with five new
input channels at zero. Masks are what people draw: around the subject, boxes, ellipses, thick strokes, sometimes everything.
"""
import math
import random

import numpy as np
import torch
from PIL import Image, ImageDraw

from . import scenes
from .device import autocast
from .latents import Pool
from .networks import fast, new_scheduler, widen_input
from .teacher import GUIDANCE, Teacher, snr_weight, spread_times, training_caption, velocity

CHANNELS = 9
OUTSIDE_WEIGHT = 0.25  # cells that the mask leaves alone teach less: their answer is in the input


def around(subject: np.ndarray, rng: random.Random) -> tuple[int, int, int, int]:
    """The subject's box, grown by a random margin on each side; the middle of the picture when there is no subject to see."""
    size = subject.shape[0]
    rows, columns = np.where(subject.any(1))[0], np.where(subject.any(0))[0]
    if len(rows) == 0:
        return size // 4, size // 4, size * 3 // 4, size * 3 // 4
    grow = lambda: rng.randint(2, size // 8)
    return max(0, columns[0] - grow()), max(0, rows[0] - grow()), min(size, columns[-1] + grow()), min(size, rows[-1] + grow())


def random_mask(subject: np.ndarray, rng: random.Random) -> np.ndarray:
    """bool [h, w], True where the model is to draw."""
    size = subject.shape[0]
    image = Image.new('1', (size, size))
    draw = ImageDraw.Draw(image)
    kind = rng.random()
    if kind < 0.5:
        (draw.rectangle if rng.random() < 0.5 else draw.ellipse)(around(subject, rng), fill=1)
    elif kind < 0.75:
        w, h = rng.randint(size // 5, size * 4 // 5), rng.randint(size // 5, size * 4 // 5)
        x, y = rng.randint(-w // 4, size - w * 3 // 4), rng.randint(-h // 4, size - h * 3 // 4)
        (draw.rectangle if rng.random() < 0.5 else draw.ellipse)((x, y, x + w, y + h), fill=1)
    elif kind < 0.95:
        x, y, angle = rng.uniform(0, size), rng.uniform(0, size), rng.uniform(0, 2 * math.pi)
        for _ in range(rng.randint(2, 6)):
            angle += rng.uniform(-1, 1)
            nx, ny = x + math.cos(angle) * size / 4, y + math.sin(angle) * size / 4
            width = rng.randint(size // 12, size // 4)
            draw.line((x, y, nx, ny), fill=1, width=width)
            draw.ellipse((nx - width / 2, ny - width / 2, nx + width / 2, ny + width / 2), fill=1)
            x, y = nx, ny
    else:
        draw.rectangle((0, 0, size, size), fill=1)
    return np.asarray(image)


def cover_up(pictures: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Pictures whose masked pixels are mid grey: 0 after scaling to -1..1, as diffusers' inpainting pipeline makes them."""
    return np.where(masks[..., None], np.uint8(128), pictures)


class MaskedPool(Pool):
    """A pool whose entries also have a mask and the latents of what it leaves visible."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.masked = np.zeros_like(self.latents)
        self.masks = np.zeros_like(self.cover, dtype=bool)
        self._mask_rng = random.Random(self.seed + 7)

    def keep_more(self, index: list[int], pictures: np.ndarray, subjects: np.ndarray) -> None:
        masks = np.stack([random_mask(s, self._mask_rng) for s in subjects])
        hidden = self.encode(cover_up(pictures, masks)).cpu().numpy()
        self.masked[index] = hidden
        # diffusers shrinks masks to the latents' size by taking the nearest pixel
        self.masks[index] = masks[:, :: self.cell, :: self.cell]

    def pick_masked(self, count: int, rng: random.Random):
        """Latents, masked latents [n, 4, h, w], masks [n, 1, h, w] (1 = draw) on the device, and attributes."""
        index = [rng.randrange(len(self.attributes)) for _ in range(count)]
        move = lambda x: torch.from_numpy(x[index]).float().to(self.device)
        return move(self.latents), move(self.masked), move(self.masks)[:, None], [self.attributes[i] for i in index]

    def state(self) -> dict:
        n = len(self.attributes)
        return {**super().state(), 'masked': torch.from_numpy(self.masked[:n].copy()), 'masks': torch.from_numpy(self.masks[:n].copy())}

    def load(self, state: dict) -> None:
        super().load(state)
        n = len(self.attributes)
        self.masked[:n], self.masks[:n] = state['masked'].numpy()[:n], state['masks'].numpy()[:n]


class Inpaint(Teacher):
    """The task of `train inpaint`; `model` is the teacher, in diffusers layout."""

    def __init__(self, model: str, size: int, device: torch.device, *, capacity: int = 32_768, seed: int = 1, workers: int = 0, **options):
        super().__init__(model, size, device, capacity=16, seed=seed, **options)
        unet = self.modules['unet']
        if unet.config.in_channels != CHANNELS:
            self.modules['unet'] = fast(widen_input(unet, CHANNELS)).to(device)
            self.modules['unet'].register_to_config(sample_size=self.cells)
        self.pool = MaskedPool(f'{model}/vae', size, capacity, seed, device, workers)

    def step(self, rng: random.Random, done: float):
        self.fill()
        self.steps += 1
        if self.fresh and self.steps % 8 == 0:
            self.pool.add(self.fresh * 8)
        latents, hidden, mask, attributes = self.pool.pick_masked(self.rows, rng)
        latents, hidden, mask = (x.repeat_interleave(self.repeat, 0) for x in (latents, hidden, mask))
        t = spread_times(self.rows, self.repeat, self.device)
        noisy, target = velocity(self.alphas, t, latents, torch.randn_like(latents))
        with autocast(self.device):
            text = self.encode_text([training_caption(a, rng) for a in attributes])
            given = torch.cat([noisy, mask, hidden], 1).contiguous(memory_format=torch.channels_last)
            guess = self.modules['unet'](given, t, text, return_dict=False)[0]
        error = (guess.float() - target).pow(2).mean(1)
        weight = snr_weight(self.alphas, t)
        plain = (error.detach().mean((1, 2)) * weight).mean().item()
        where = OUTSIDE_WEIGHT + (1 - OUTSIDE_WEIGHT) * mask[:, 0]
        return ((error * where).mean((1, 2)) * weight).mean(), plain, len(t)

    @torch.no_grad()
    def sheet(self, steps: int = 20) -> np.ndarray:
        """Rows: scene, what the model sees, what it draws for another subject."""
        rng = random.Random(11)
        places = [scenes.sample(rng) for _ in range(8)]
        drawn = [scenes.draw(p, rng, self.size, with_mask=True) for p in places]
        pictures = np.stack([d[0] for d in drawn])
        masks = np.zeros(pictures.shape[:3], bool)
        for i, (_, subject, _) in enumerate(drawn):
            left, top, right, bottom = around(subject, rng)
            masks[i, top:bottom, left:right] = True
        hidden = self.pool.encode(cover_up(pictures, masks))
        mask = torch.from_numpy(masks[:, None, :: self.pool.cell, :: self.pool.cell]).float().to(self.device)
        wanted = ['a red rocket', 'a white lighthouse', 'an oak tree', 'a blue tent', 'a snowman', 'a yellow windmill', 'a church', 'a pink hot air balloon']
        x = torch.randn(hidden.shape, generator=torch.Generator().manual_seed(0)).to(self.device)
        scheduler = new_scheduler()
        scheduler.set_timesteps(steps)
        with autocast(self.device):
            text = self.encode_text([''] * 8 + wanted)
        for t in scheduler.timesteps:
            given = torch.cat([x, mask, hidden], 1)
            with autocast(self.device):
                plain, guided = self.modules['unet'](torch.cat([given, given]), t.to(self.device), text, return_dict=False)[0].float().chunk(2)
            x = scheduler.step(plain + GUIDANCE * (guided - plain), t, x).prev_sample
        return np.vstack([np.hstack(pictures), np.hstack(cover_up(pictures, masks)), np.hstack(self.pool.decode(x))])
