"""A student that draws in one to four steps what the teacher draws in twenty: progressive distillation with guidance baked in.

The guided teacher draws pictures from pure noise, and what it has reached at each of the student's few times is kept in a
bank. Between two of those times the student learns the one velocity that gets there at once (Salimans & Ho 2022,
arXiv:2202.00512, appendix G; guidance as in Meng et al. 2023, arXiv:2210.03142). It needs no empty caption at use: guidance
1, half the work of a step. A way from the bank serves several times, since the teacher's part is three quarters of the work.
"""
import random

import numpy as np
import torch

from . import scenes
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


class Bank:
    """Ways of the teacher from noise to pictures; the newest replace the oldest."""

    def __init__(self, capacity: int, stops: int, cells: int):
        self.ways = np.zeros((capacity, stops, 4, cells, cells), np.float16)
        self.captions: list[str] = []
        self.head = 0

    def put(self, ways: np.ndarray, captions: list[str]) -> None:
        """`ways` [n, stops, 4, cells, cells]"""
        for way, caption in zip(ways, captions):
            if len(self.captions) < len(self.ways):
                self.ways[len(self.captions)] = way
                self.captions.append(caption)
            else:
                self.ways[self.head], self.captions[self.head] = way, caption
                self.head = (self.head + 1) % len(self.ways)

    def pick(self, count: int, rng: random.Random):
        """Where a way is [count, 4, n, n], where it gets next, the number of the stop [count], and captions."""
        index = [rng.randrange(len(self.captions)) for _ in range(count)]
        stop = [rng.randrange(self.ways.shape[1] - 1) for _ in range(count)]
        here, there = self.ways[index, stop], self.ways[index, [k + 1 for k in stop]]
        return torch.from_numpy(here).float(), torch.from_numpy(there).float(), torch.tensor(stop), [self.captions[i] for i in index]


class Student(Teacher):
    """The task of `train student`; `model` is the teacher, in diffusers layout."""

    def __init__(self, model: str, size: int, device: torch.device, *, steps: int = 4, substeps: int = 3, guidance: float = GUIDANCE, batch: int = 64,
                 first: int = 1024, every: int = 16, capacity: int = 8192, seed: int = 1, **options):
        super().__init__(model, size, device, batch=batch, repeat=1, first=0, fresh=0, capacity=16, seed=seed, **{**options, 'workers': 0})
        self.text = self.modules['te'].eval().requires_grad_(False)
        self.teacher = fast(load_unet(f'{model}/unet', self.cells)).to(device, torch.bfloat16).eval().requires_grad_(False)
        self.modules = torch.nn.ModuleDict({'unet': self.modules['unet']})
        self.guidance, self.student_steps, self.substeps = guidance, steps, substeps
        self.times = torch.tensor([*trailing_times(steps), -1], device=device)
        final = new_scheduler().final_alpha_cumprod.to(device)
        self.alpha_at = lambda t: torch.where(t >= 0, self.alphas[t.clamp(min=0)], final).view(-1, 1, 1, 1)
        self.bank, self.first_ways, self.every = Bank(capacity, steps + 1, self.cells), first, every

    def encode_text(self, captions: list[str]) -> torch.Tensor:
        return self.text(ids(self.tokenizer, captions).to(self.device)).last_hidden_state

    @torch.no_grad()
    def teach(self, x, t, t_next, text, empty):
        """Where the guided teacher gets from `x` at `t` [n] to `t_next` [n] in `substeps` DDIM steps."""
        words = torch.cat([empty, text]).to(torch.bfloat16)
        for i in range(self.substeps):
            here = t + torch.div((t_next - t) * i, self.substeps, rounding_mode='floor')
            there = t_next if i == self.substeps - 1 else t + torch.div((t_next - t) * (i + 1), self.substeps, rounding_mode='floor')
            given = torch.cat([x, x]).to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
            v = self.teacher(given, torch.cat([here, here]), words, return_dict=False)[0]
            plain, guided = v.float().chunk(2)
            a = self.alpha_at(here)
            x0 = a.sqrt() * x - (1 - a).sqrt() * (plain + self.guidance * (guided - plain))
            x = ddim_move(x, x0, a, self.alpha_at(there))
        return x

    @torch.no_grad()
    def lead(self, rng: random.Random) -> None:
        """One batch of ways, from noise to pictures, into the bank."""
        captions = [training_caption(scenes.sample(rng), rng) or 'a picture' for _ in range(self.rows)]
        with autocast(self.device):
            text, empty = self.encode_text(captions), self.encode_text([''] * self.rows)
        x = torch.randn(self.rows, 4, self.cells, self.cells, device=self.device)
        stops = [x]
        for t, t_next in zip(self.times, self.times[1:]):
            x = self.teach(x, t.expand(self.rows), t_next.expand(self.rows), text, empty)
            stops.append(x)
        self.bank.put(torch.stack(stops, 1).half().cpu().numpy(), captions)

    def step(self, rng: random.Random, done: float):
        while len(self.bank.captions) < self.first_ways:
            self.lead(rng)
        self.steps += 1
        if self.steps % self.every == 0:
            self.lead(rng)
        x, goal, which, captions = self.bank.pick(self.rows, rng)
        x, goal, which = x.to(self.device), goal.to(self.device), which.to(self.device)
        t, t_next = self.times[which], self.times[which + 1]
        target = velocity_to(x, goal, self.alpha_at(t), self.alpha_at(t_next))
        with torch.no_grad(), autocast(self.device):
            text = self.encode_text(captions)
        with autocast(self.device):
            guess = self.modules['unet'](x.contiguous(memory_format=torch.channels_last), t, text, return_dict=False)[0]
        error = (guess.float() - target).pow(2).mean((1, 2, 3))
        return error.mean(), error.detach().mean().item(), self.rows

    @torch.no_grad()
    def sheet(self, steps: int = 0) -> np.ndarray:
        cells, count = self.cells, len(SHEET_PROMPTS)
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

    def state(self) -> dict:
        n = len(self.bank.captions)
        return {'ways': torch.from_numpy(self.bank.ways[:n].copy()), 'captions': list(self.bank.captions), 'head': self.bank.head, 'steps': self.steps}

    def load(self, state: dict) -> None:
        n = min(len(state['captions']), len(self.bank.ways))
        self.bank.ways[:n], self.bank.captions, self.bank.head = state['ways'].numpy()[:n], state['captions'][:n], state['head'] % len(self.bank.ways)
        self.steps = state['steps']

    def save(self, folder: str) -> None:
        self.modules['unet'].save_pretrained(f'{folder}/unet')
        self.text.save_pretrained(f'{folder}/text_encoder')
