"""A student that draws in one to four steps what the teacher draws in twenty: progressive distillation with guidance baked in.

From a noisy latent at one of the student's few times the teacher goes to the next one in several guided DDIM steps; the
student learns the one velocity that gets there at once (Salimans & Ho 2022, arXiv:2202.00512, appendix G; guidance as in
Meng et al. 2023, arXiv:2210.03142). It needs no empty caption at use: guidance 1, half the work of a step.
"""
import random

import numpy as np
import torch

from .device import autocast
from .networks import fast, ids, load_unet, new_scheduler
from .teacher import GUIDANCE, SHEET_PROMPTS, Teacher, training_caption


def trailing_times(steps: int) -> list[int]:
    """The times that diffusers' DDIM visits with trailing spacing: 4 steps are 999, 749, 499, 249."""
    scheduler = new_scheduler()
    scheduler.set_timesteps(steps)
    return [int(t) for t in scheduler.timesteps]


def ddim_move(x, x0, alpha, alpha_next):
    """The deterministic DDIM step (arXiv:2010.02502, eq. 12 with sigma 0) between two cumulative alphas, all [n, 1, 1, 1] or [n, 4, h, w]."""
    noise = (x - alpha.sqrt() * x0) / (1 - alpha).sqrt()
    return alpha_next.sqrt() * x0 + (1 - alpha_next).sqrt() * noise


def velocity_to(x, goal, alpha, alpha_next):
    """The velocity at `x` whose single DDIM step to `alpha_next` is `goal`: ddim_move solved for x0, then turned into v."""
    ratio = (1 - alpha_next).sqrt() / (1 - alpha).sqrt()
    x0 = (goal - ratio * x) / (alpha_next.sqrt() - ratio * alpha.sqrt())
    return alpha.sqrt() * (x - alpha.sqrt() * x0) / (1 - alpha).sqrt() - (1 - alpha).sqrt() * x0


class Student(Teacher):
    """The task of `train student`; `model` is the teacher, in diffusers layout."""

    def __init__(self, model: str, size: int, device: torch.device, *, steps: int = 4, substeps: int = 4, guidance: float = GUIDANCE, batch: int = 16, **options):
        super().__init__(model, size, device, batch=batch, repeat=1, **options)
        self.text = self.modules['te'].eval().requires_grad_(False)
        self.teacher = fast(load_unet(f'{model}/unet', size)).to(device).eval().requires_grad_(False)
        self.modules = torch.nn.ModuleDict({'unet': self.modules['unet']})
        self.guidance, self.student_steps, self.substeps = guidance, steps, substeps
        self.times = torch.tensor([*trailing_times(steps), -1], device=device)
        final = new_scheduler().final_alpha_cumprod.to(device)
        self.alpha_at = lambda t: torch.where(t >= 0, self.alphas[t.clamp(min=0)], final).view(-1, 1, 1, 1)

    def encode_text(self, captions: list[str]) -> torch.Tensor:
        return self.text(ids(self.tokenizer, captions).to(self.device)).last_hidden_state

    @torch.no_grad()
    def teach(self, x, t, t_next, text, empty):
        """Where the guided teacher gets from `x` at `t` [n] to `t_next` [n] in `substeps` DDIM steps."""
        for i in range(self.substeps):
            here = t + torch.div((t_next - t) * i, self.substeps, rounding_mode='floor')
            there = t_next if i == self.substeps - 1 else t + torch.div((t_next - t) * (i + 1), self.substeps, rounding_mode='floor')
            with autocast(self.device):
                v = self.teacher(torch.cat([x, x]).contiguous(memory_format=torch.channels_last), torch.cat([here, here]), torch.cat([empty, text]), return_dict=False)[0]
            plain, guided = v.float().chunk(2)
            a = self.alpha_at(here)
            x0 = a.sqrt() * x - (1 - a).sqrt() * (plain + self.guidance * (guided - plain))
            x = ddim_move(x, x0, a, self.alpha_at(there))
        return x

    def step(self, rng: random.Random, done: float):
        self.fill()
        self.steps += 1
        if self.fresh and self.steps % 8 == 0:
            self.pool.add(self.fresh * 8)
        latents, _, attributes = self.pool.pick(self.rows, rng)
        which = torch.tensor([rng.randrange(self.student_steps) for _ in range(self.rows)], device=self.device)
        t, t_next = self.times[which], self.times[which + 1]
        a = self.alpha_at(t)
        x = a.sqrt() * latents + (1 - a).sqrt() * torch.randn_like(latents)
        captions = [training_caption(s, rng) or 'a picture' for s in attributes]
        with torch.no_grad(), autocast(self.device):
            text, empty = self.encode_text(captions), self.encode_text([''] * len(captions))
        target = velocity_to(x, self.teach(x, t, t_next, text, empty), a, self.alpha_at(t_next))
        with autocast(self.device):
            guess = self.modules['unet'](x.contiguous(memory_format=torch.channels_last), t, text, return_dict=False)[0]
        error = (guess.float() - target).pow(2).mean((1, 2, 3))
        return error.mean(), error.detach().mean().item(), self.rows

    @torch.no_grad()
    def sheet(self, steps: int = 0) -> np.ndarray:
        cells, count = self.size // 8, len(SHEET_PROMPTS)
        scheduler = new_scheduler()
        scheduler.set_timesteps(steps or self.student_steps)
        x = torch.randn(count, 4, cells, cells, generator=torch.Generator().manual_seed(0)).to(self.device)
        with autocast(self.device):
            text = self.encode_text(SHEET_PROMPTS)
        for t in scheduler.timesteps:
            with autocast(self.device):
                v = self.modules['unet'](x, t.to(self.device), text, return_dict=False)[0].float()
            x = scheduler.step(v, t, x).prev_sample
        pictures = self.pool.decode(x)
        return np.vstack([np.hstack(pictures[:4]), np.hstack(pictures[4:])])

    def save(self, folder: str) -> None:
        self.modules['unet'].save_pretrained(f'{folder}/unet')
        self.text.save_pretrained(f'{folder}/text_encoder')
