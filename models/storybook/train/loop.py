"""The training loop that teacher, student and inpainting share: learning rate, EMA, checkpoints, loss curve, sheets.

A `Task` says what one step is. The loop runs it until a moment, saves every `save_minutes` and on SIGTERM, and goes on
from its own checkpoint when it is started again.
"""
import csv
import math
import os
import random
import shutil
import signal
import time
from dataclasses import dataclass
from typing import Callable, Protocol

import numpy as np
import torch
from PIL import Image

SIGNAL_GRACE = (signal.SIGTERM, signal.SIGINT)


@dataclass
class Settings:
    out: str
    until: float
    """Unix time at which training ends and the learning rate has fallen to zero."""
    lr: float = 5e-4
    warmup_steps: int = 50
    hold: float = 0.5
    """Part of the time before the learning rate falls along a cosine."""
    ema: float = 0.999
    save_minutes: float = 10
    seed: int = 1


class Task(Protocol):
    modules: torch.nn.ModuleDict
    device: torch.device

    def step(self, rng: random.Random, done: float) -> tuple[torch.Tensor, float, int]:
        """One batch: the loss to descend, a loss that can be compared over time, and how many pictures it saw. `done` is 0..1."""

    def sheet(self) -> np.ndarray:
        """Samples of fixed prompts and seeds with the weights as they are, uint8 [h, w, 3]."""

    def state(self) -> dict: ...

    def load(self, state: dict) -> None: ...

    def save(self, folder: str) -> None:
        """The weights as they are, in diffusers layout."""


def say(*words) -> None:
    print(time.strftime('%H:%M:%S', time.gmtime()), *words, flush=True)


def learning_rate(settings: Settings, steps_since_start: int, done: float) -> float:
    """Warm-up after each start, level, then a cosine to zero at the end."""
    warm = min(1, (steps_since_start + 1) / settings.warmup_steps)
    fall = 1.0 if done < settings.hold else 0.5 + 0.5 * math.cos(math.pi * min(1, (done - settings.hold) / (1 - settings.hold)))
    return settings.lr * warm * fall


def draw_curve(rows: list[tuple[float, float]], path: str, width: int = 720, height: int = 360) -> None:
    """Loss over pictures seen, both axes linear, as a PNG; the light line is each report, the dark one their running mean."""
    from PIL import ImageDraw

    if len(rows) < 2:
        return
    x = np.array([r[0] for r in rows], float)
    y = np.array([r[1] for r in rows], float)
    window = max(1, len(y) // 20)
    smooth = np.convolve(np.pad(y, (window - 1, 0), mode='edge'), np.ones(window) / window, mode='valid')
    low, high = float(np.percentile(y, 0)), float(np.percentile(y, 98))
    left, top, right, bottom = 64, 16, width - 16, height - 36
    place = lambda xs, ys: [
        (left + (a - x[0]) / max(1e-9, x[-1] - x[0]) * (right - left), bottom - (min(b, high) - low) / max(1e-9, high - low) * (bottom - top))
        for a, b in zip(xs, ys)
    ]
    image = Image.new('RGB', (width, height), 'white')
    draw = ImageDraw.Draw(image)
    for i in range(5):
        value = low + (high - low) * i / 4
        at = bottom - (bottom - top) * i / 4
        draw.line([(left, at), (right, at)], fill='#e6e6e6')
        draw.text((8, at - 6), f'{value:.3f}', fill='#444444')
        draw.text((left + (right - left) * i / 4 - 20, bottom + 8), f'{(x[0] + (x[-1] - x[0]) * i / 4) / 1000:.0f}k', fill='#444444')
    draw.line(place(x, y), fill='#b9cbe6', width=1)
    draw.line(place(x, smooth), fill='#1f4e9c', width=2)
    image.save(path)


class Ema:
    """Exponential moving average of every float in the modules; what gets used in the end."""

    def __init__(self, modules: torch.nn.Module):
        self.modules = modules
        self.values = {k: v.detach().clone() for k, v in self._floats().items()}

    def _floats(self) -> dict[str, torch.Tensor]:
        return {k: v for k, v in self.modules.state_dict().items() if v.is_floating_point()}

    @torch.no_grad()
    def update(self, decay: float) -> None:
        now = self._floats()
        torch._foreach_lerp_(list(self.values.values()), [now[k] for k in self.values], 1 - decay)

    def within(self, use: Callable[[], object]):
        """`use()` with the averaged weights in place; the trained ones come back afterwards."""
        trained = {k: v.clone() for k, v in self._floats().items()}
        self.modules.load_state_dict(self.values, strict=False)
        self.modules.eval()
        try:
            return use()
        finally:
            self.modules.load_state_dict(trained, strict=False)
            self.modules.train()


class Loop:
    """One run; `Loop(task, settings).run()` returns False when it was stopped before its time."""

    def __init__(self, task: Task, settings: Settings):
        self.task, self.settings = task, settings
        os.makedirs(settings.out, exist_ok=True)
        self.parameters = [p for p in task.modules.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(self.parameters, lr=settings.lr, betas=(0.9, 0.99), weight_decay=1e-3, fused=True)
        self.ema = Ema(task.modules)
        self.steps, self.pictures, self.began = 0, 0, time.time()
        self.last = os.path.join(settings.out, 'last.pt')
        self.resume()

    def resume(self) -> None:
        if not os.path.exists(self.last):
            return
        c = torch.load(self.last, weights_only=False, map_location=self.task.device)
        self.task.modules.load_state_dict(c['modules'])
        self.optimiser.load_state_dict(c['optimiser'])
        self.ema.values = c['ema']
        self.steps, self.pictures, self.began = c['steps'], c['pictures'], c['began']
        self.task.load(c['task'])
        say(f'goes on from step {self.steps}, {self.pictures} pictures')

    def save(self) -> None:
        """Atomic: a run that is killed while it saves keeps its previous checkpoint."""
        state = {'modules': self.task.modules.state_dict(), 'optimiser': self.optimiser.state_dict(), 'ema': self.ema.values, 'steps': self.steps,
                 'pictures': self.pictures, 'began': self.began, 'task': self.task.state()}
        torch.save(state, self.last + '.tmp')
        os.replace(self.last + '.tmp', self.last)
        Image.fromarray(self.ema.within(self.task.sheet)).save(os.path.join(self.settings.out, f'sheet-{self.pictures:08d}.png'))
        draw_curve(self.curve(), os.path.join(self.settings.out, 'loss.png'))

    def curve(self) -> list[tuple[float, float]]:
        path = os.path.join(self.settings.out, 'loss.csv')
        if not os.path.exists(path):
            return []
        with open(path, newline='') as file:
            return [(float(a), float(b)) for a, b in csv.reader(file)]

    def report(self, losses: list[float], pictures: int, seconds: float, lr: float) -> None:
        loss = float(np.mean(losses))
        say(f'step {self.steps} pictures {self.pictures} {pictures / seconds:.1f}/s loss {loss:.4f} lr {lr:.1e}')
        with open(os.path.join(self.settings.out, 'loss.csv'), 'a', newline='') as file:
            csv.writer(file).writerow([self.pictures, f'{loss:.5f}'])

    def once(self, rng: random.Random, started: int) -> tuple[float, float, int]:
        done = min(1.0, (time.time() - self.began) / max(1.0, self.settings.until - self.began))
        lr = learning_rate(self.settings, self.steps - started, done)
        for group in self.optimiser.param_groups:
            group['lr'] = lr
        loss, plain, pictures = self.task.step(rng, done)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        self.ema.update(min(self.settings.ema, (1 + self.steps) / (20 + self.steps)))
        self.steps += 1
        self.pictures += pictures
        return plain, lr, pictures

    def run(self) -> bool:
        stop: list[int] = []
        for kind in SIGNAL_GRACE:
            signal.signal(kind, lambda number, _frame: stop.append(number))
        rng = random.Random(self.settings.seed * 1_000_003 + self.steps)
        torch.manual_seed(self.settings.seed * 1_000_003 + self.steps)
        self.task.modules.train()
        started, saved, told, seen, losses = self.steps, time.time(), time.time(), 0, []
        while time.time() < self.settings.until and not stop:
            plain, lr, pictures = self.once(rng, started)
            losses.append(plain)
            seen += pictures
            now = time.time()
            if now - told > 60:
                self.report(losses, seen, now - told, lr)
                told, seen, losses = now, 0, []
            if now - saved > self.settings.save_minutes * 60:
                saved = now
                self.save()
        self.save()
        if stop:
            say(f'stopped at step {self.steps}, {self.pictures} pictures; the same command goes on')
            return False
        final = os.path.join(self.settings.out, 'final')
        shutil.rmtree(final + '.tmp', ignore_errors=True)
        self.ema.within(lambda: self.task.save(final + '.tmp'))
        shutil.rmtree(final, ignore_errors=True)
        os.replace(final + '.tmp', final)
        say(f'done: step {self.steps}, {self.pictures} pictures; {final}')
        return True
