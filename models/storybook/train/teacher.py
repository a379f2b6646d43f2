"""Train text encoder + UNet (v-prediction, zero terminal SNR) on freshly drawn scenes.

What helped, measured: fewer samples near t = 0, where v is nothing but noise; a soft min-SNR weight (Hang et al. 2023,
arXiv:2303.09556); EMA; 20 % of captions that name only the subject, and cells of the subject that count more, because
light, weather and places are learnt long before subjects are.
"""
import os
import random

import numpy as np
import torch
from transformers import CLIPTokenizer

from . import scenes
from .device import autocast
from .latents import Pool, cell_of, own_pictures
from .networks import fast, ids, load_text_encoder, load_unet, new_scheduler, new_text_encoder, new_unet

SHEET_PROMPTS = [
    'a lighthouse on a cliff at sunset', 'a red castle in the mountains in the snow', 'a yellow hot air balloon over the sea, with birds',
    'a cottage in a forest at night under a full moon', 'a blue sailboat on a lake at dawn, foggy', 'an orange tent in the desert at dusk under the stars',
    'a pink windmill in a meadow with flowers on a bright day', 'a rocket on a hill in the rain',
]
GUIDANCE = 4.0
SUBJECT_WEIGHT_UNTIL = 0.7  # of the time: the extra weight biases what the model believes about doubtful cells, so it goes


def training_caption(scene: dict, rng: random.Random) -> str:
    """Usually the full caption; one time in five only the subject and perhaps its place; one in ten nothing (for guidance)."""
    r = rng.random()
    if r < 0.1:
        return ''
    if 'text' in scene:
        return scene['text']
    if r < 0.3:
        noun = f"{scene['colour']} {scene['subject']}" if scene['colour'] and rng.random() < 0.8 else scene['subject']
        place = ' ' + rng.choice(scenes.PLACE_WORDS[scene['place']]) if rng.random() < 0.5 else ''
        return f"{'an' if noun[0] in 'aeio' else 'a'} {noun}{place}"
    return scenes.caption(scene, rng)


def spread_times(rows: int, repeat: int, device: torch.device) -> torch.Tensor:
    """int64 [rows * repeat] timesteps: stratified over the batch, a picture's noise levels far apart, fewer near t = 0."""
    batch = rows * repeat
    part = torch.arange(batch).view(repeat, rows).t().reshape(-1)
    u = (part + torch.rand(batch)) / batch
    return (1000 * (0.06 * u + 0.94 * u**0.7)).long().clamp(0, 999).to(device)


def velocity(alphas: torch.Tensor, t: torch.Tensor, latents: torch.Tensor, noise: torch.Tensor):
    """Noisy latents and their velocity, both [n, 4, h, w] (Salimans & Ho 2022, arXiv:2202.00512, eq. 12)."""
    a = alphas[t].view(-1, 1, 1, 1)
    return a.sqrt() * latents + (1 - a).sqrt() * noise, a.sqrt() * noise - (1 - a).sqrt() * latents


def snr_weight(alphas: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Soft min-SNR weight of the velocity's error, [n]."""
    snr = alphas[t] / (1 - alphas[t]).clamp(min=1e-8)
    return 1.5 / (1 + snr / 2)


class Teacher:
    """The task of `train teacher`. `model` is a folder in diffusers layout; without a UNet in it, networks begin from nothing.

    With `pictures`, a folder of pictures and their captions (`own_pictures`) takes the place of drawn scenes.
    """

    def __init__(self, model: str, size: int, device: torch.device, *, batch: int = 64, repeat: int = 2, first: int = 4096, fresh: int = 2,
                 capacity: int = 32_768, subject: float = 1.5, seed: int = 1, workers: int = 0,
                 pictures: str | None = None):
        self.device, self.size, self.rows, self.repeat, self.fresh, self.subject = device, size, batch // repeat, repeat, fresh, subject
        self.cells = size // cell_of(f'{model}/vae')
        self.tokenizer = CLIPTokenizer.from_pretrained(f'{model}/tokenizer')
        self.scheduler = new_scheduler()
        self.alphas = self.scheduler.alphas_cumprod.to(device)
        torch.manual_seed(seed)
        known = os.path.exists(f'{model}/unet/config.json')
        text = load_text_encoder(f'{model}/text_encoder') if known else new_text_encoder(self.tokenizer)
        unet = load_unet(f'{model}/unet', self.cells) if known else new_unet(self.cells)
        self.modules = torch.nn.ModuleDict({'unet': fast(unet), 'te': text}).to(device)
        self.pool = own_pictures(pictures, f'{model}/vae', size, device) if pictures else Pool(f'{model}/vae', size, capacity, seed, device, workers)
        if pictures:
            first, self.fresh = 0, 0
        self.first, self.steps = first, 0

    def fill(self) -> None:
        """Before the first step: enough scenes that the first minutes do not learn few of them by heart."""
        while len(self.pool.attributes) < min(self.first, self.pool.capacity):
            self.pool.add(16)

    def encode_text(self, captions: list[str]) -> torch.Tensor:
        """[n, 77, 192]"""
        return self.modules['te'](ids(self.tokenizer, captions).to(self.device)).last_hidden_state

    def step(self, rng: random.Random, done: float):
        self.fill()
        self.steps += 1
        if self.fresh and self.steps % 8 == 0:
            self.pool.add(self.fresh * 8)
        latents, cover, attributes = self.pool.pick(self.rows, rng)
        latents = latents.repeat_interleave(self.repeat, 0)
        t = spread_times(self.rows, self.repeat, self.device)
        noisy, target = velocity(self.alphas, t, latents, torch.randn_like(latents))
        with autocast(self.device):
            text = self.encode_text([training_caption(a, rng) for a in attributes])
            guess = self.modules['unet'](noisy.contiguous(memory_format=torch.channels_last), t, text, return_dict=False)[0]
        error = (guess.float() - target).pow(2).mean(1)
        weight = snr_weight(self.alphas, t)
        plain = (error.detach().mean((1, 2)) * weight).mean().item()
        extra = 1 + self.subject * max(0.0, 1 - done / SUBJECT_WEIGHT_UNTIL) * cover.repeat_interleave(self.repeat, 0)
        return ((error * extra).mean((1, 2)) * weight).mean(), plain, len(t)

    @torch.no_grad()
    def sheet(self, steps: int = 20) -> np.ndarray:
        cells, count = self.cells, len(SHEET_PROMPTS)
        scheduler = new_scheduler()
        scheduler.set_timesteps(steps)
        x = torch.randn(count, 4, cells, cells, generator=torch.Generator().manual_seed(0)).to(self.device)
        with autocast(self.device):
            text = self.encode_text([''] * count + SHEET_PROMPTS)
        for t in scheduler.timesteps:
            with autocast(self.device):
                plain, guided = self.modules['unet'](torch.cat([x, x]), t.to(self.device), text, return_dict=False)[0].float().chunk(2)
            x = scheduler.step(plain + GUIDANCE * (guided - plain), t, x).prev_sample
        pictures = self.pool.decode(x)
        return np.vstack([np.hstack(pictures[:4]), np.hstack(pictures[4:])])

    def state(self) -> dict:
        return {'pool': self.pool.state(), 'steps': self.steps}

    def load(self, state: dict) -> None:
        self.pool.load(state['pool'])
        self.steps = state['steps']

    def save(self, folder: str) -> None:
        self.modules['unet'].save_pretrained(f'{folder}/unet')
        self.modules['te'].save_pretrained(f'{folder}/text_encoder')
