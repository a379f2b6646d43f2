"""An independent judge of how pictures follow their prompts: a small CNN that has seen drawn scenes only.

Its scenes come from seeds of their own; its prompts are combinations of attributes that training never draws
(`scenes.held_out`), in a wording that training never uses (a comma after the subject). Prompts and weights are frozen by
hash in `judge/frozen.json`: a score that was measured with others is not comparable and is refused. The judge never
selects pictures: the first picture of every prompt counts.
"""
import hashlib
import json
import math
import random
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderTiny
from PIL import Image
from torch import nn

from . import engine, scenes
from .device import autocast
from .latents import to_signed
from .loop import say

FOLDER = Path(__file__).parent / 'judge'
HEADS: dict[str, list] = {'subject': scenes.SUBJECTS, 'colour': [*scenes.COLOURS, None], 'place': scenes.PLACES, 'time': scenes.TIMES,
                          'weather': scenes.WEATHERS, 'extra': scenes.EXTRAS}
VIEW = 96  # pixels that the network sees
PROMPT_SEED, TRAIN_SEED, DRAWN_SEED = 31_337, 4_242, 777
PROMPTS = 400
HELD = 600  # drawn scenes on which the judge itself is measured
Z95 = 1.96


class Judge(nn.Module):
    """Four halvings, then the mean and the maximum over the picture, then one linear head for each attribute."""

    def __init__(self):
        super().__init__()
        widths = [3, 32, 64, 128, 192]
        layers: list[nn.Module] = []
        for before, after in zip(widths, widths[1:]):
            layers += [nn.Conv2d(before, after, 3, 2, 1), nn.BatchNorm2d(after), nn.ReLU(),
                       nn.Conv2d(after, after, 3, 1, 1, groups=8), nn.BatchNorm2d(after), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.heads = nn.ModuleDict({name: nn.Linear(2 * widths[-1], len(values)) for name, values in HEADS.items()})

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """`x` float [n, 3, 96, 96] in -1..1; logits [n, values] for each attribute."""
        h = self.body(x)
        h = torch.cat([h.mean((2, 3)), h.amax((2, 3))], 1)
        return {name: head(h) for name, head in self.heads.items()}


def view(pictures: list[np.ndarray]) -> torch.Tensor:
    """uint8 [n, 3, 96, 96] whatever the pictures' size."""
    small = [np.asarray(Image.fromarray(p).resize((VIEW, VIEW), Image.Resampling.BOX)) for p in pictures]
    return torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2).contiguous()


def labels(attributes: list[dict]) -> dict[str, torch.Tensor]:
    return {name: torch.tensor([values.index(a[name]) for a in attributes]) for name, values in HEADS.items()}


def hits(logits: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """For each attribute, bool [n]; colour counts only where the subject has one."""
    out = {name: logits[name].argmax(1) == wanted[name] for name in HEADS}
    out['colour'] = out['colour'][wanted['colour'] < len(scenes.COLOURS)]
    return out


def wilson(right: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a rate (Wilson 1927)."""
    p, z2 = right / n, Z95 * Z95
    middle, half = (p + z2 / 2 / n) / (1 + z2 / n), Z95 * math.sqrt(p * (1 - p) / n + z2 / 4 / n / n) / (1 + z2 / n)
    return middle - half, middle + half


def worded(scene: dict, rng: random.Random) -> str:
    """Every attribute, the subject followed by a comma: a wording that no training caption has."""
    noun = f"{scene['colour']} {scene['subject']}" if scene['colour'] else scene['subject']
    parts = [f"{'an' if noun[0] in 'aeio' else 'a'} {noun}", rng.choice(scenes.PLACE_WORDS[scene['place']]), rng.choice(scenes.TIME_WORDS[scene['time']])]
    if scene['weather'] != 'clear':
        parts.append(rng.choice(scenes.WEATHER_WORDS[scene['weather']]))
    if scene['extra'] != 'none':
        parts.append(rng.choice(scenes.EXTRA_WORDS[scene['extra']]))
    return ', '.join(parts)


def make_prompts() -> list[dict]:
    rng = random.Random(PROMPT_SEED)
    chosen = [scenes.sample(rng, judged=True) for _ in range(PROMPTS)]
    return [{'prompt': worded(s, rng), 'seed': i, 'scene': s} for i, s in enumerate(chosen)]


def drawn_scenes(count: int, size: int, seed: int = DRAWN_SEED) -> tuple[list[dict], list[np.ndarray]]:
    rng = random.Random(seed)
    attributes = [scenes.sample(rng, judged=True) for _ in range(count)]
    return attributes, [scenes.draw(a, rng, size) for a in attributes]


def blurred_by(vae: AutoencoderTiny, pictures: list[np.ndarray], device: torch.device) -> list[np.ndarray]:
    """Through the autoencoder and back: the judge must know its softness."""
    with torch.no_grad(), autocast(device):
        y = vae.decode(vae.encode(to_signed(np.stack(pictures)).to(device)).latents).sample.float()
    return list(y.clamp(-1, 1).add(1).mul(127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy())


def training_views(count: int, size: int, vae: AutoencoderTiny, device: torch.device) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """`count` scenes of any combination, one in eight of them through the autoencoder."""
    rng = random.Random(TRAIN_SEED)
    views, attributes = [], []
    for i in range(0, count, 16):
        batch = [scenes.anything(rng) for _ in range(16)]
        pictures = [scenes.draw(a, rng, size) for a in batch]
        views.append(view(blurred_by(vae, pictures, device) if i // 16 % 8 == 0 else pictures))
        attributes += batch
    return torch.cat(views), labels(attributes)


def accuracy(judge: Judge, views: torch.Tensor, wanted: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    judge.eval()
    with torch.no_grad():
        device = next(judge.parameters()).device
        logits = judge(views.to(device).float() / 127.5 - 1)
    return hits({k: v.cpu() for k, v in logits.items()}, wanted)


def train(vae_dir: str, minutes: float, size: int, device: torch.device, count: int = 24_000) -> None:
    """Train the judge and freeze it. Doing so again makes every earlier score incomparable."""
    torch.manual_seed(0)
    vae = AutoencoderTiny.from_pretrained(vae_dir, torch_dtype=torch.float32).eval().to(device)
    X, Y = training_views(count, size, vae, device)
    say(f'judge: {count} scenes drawn')
    attributes, pictures = drawn_scenes(HELD, size)
    held, wanted = view(pictures), labels(attributes)
    judge = Judge().to(device, memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(judge.parameters(), 3e-3, weight_decay=1e-3)
    began, told, step = time.time(), time.time(), 0
    while (done := (time.time() - began) / (minutes * 60)) < 1:
        for group in optimiser.param_groups:
            group['lr'] = 3e-3 * min(1, (step + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * done))
        pick = torch.randint(0, len(X), (64,))
        x = augment(X[pick].to(device).float() / 127.5 - 1)
        with autocast(device):
            logits = judge(x.contiguous(memory_format=torch.channels_last))
        loss = sum(F.cross_entropy(logits[k].float(), Y[k][pick].to(device)) for k in HEADS)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        step += 1
        if time.time() - told > 60:
            told = time.time()
            rates = accuracy(judge, held, wanted)
            judge.train()
            say(f'judge: step {step}, drawn scenes right:', ', '.join(f'{k} {v.float().mean().item():.1%}' for k, v in rates.items()))
    freeze(judge.to('cpu'))


def augment(x: torch.Tensor) -> torch.Tensor:
    """Mirrored, blurred and grainy: a painterly texture must not decide."""
    if torch.rand(()) < 0.5:
        x = x.flip(3)
    if torch.rand(()) < 0.4:
        x = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2, mode='bilinear')
    return x + 0.05 * torch.randn_like(x)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def freeze(judge: Judge) -> None:
    FOLDER.mkdir(exist_ok=True)
    torch.save({k: v.half() if v.is_floating_point() else v for k, v in judge.state_dict().items()}, FOLDER / 'judge.pt')
    (FOLDER / 'prompts.json').write_text('[\n' + ',\n'.join(json.dumps(p) for p in make_prompts()) + '\n]\n')
    (FOLDER / 'frozen.json').write_text(json.dumps({name: sha256(FOLDER / name) for name in ('judge.pt', 'prompts.json')}, indent=1) + '\n')
    say(f'judge: frozen in {FOLDER.name}/')


def load() -> tuple[Judge, list[dict]]:
    """The frozen judge and its prompts; refuses files that are not the frozen ones."""
    for name, want in json.loads((FOLDER / 'frozen.json').read_text()).items():
        if sha256(FOLDER / name) != want:
            raise SystemExit(f'train judge: {name} is not the frozen one; scores measured with it could not be compared.')
    judge = Judge()
    judge.load_state_dict(torch.load(FOLDER / 'judge.pt', weights_only=True))
    return judge.eval(), json.loads((FOLDER / 'prompts.json').read_text())


def table(rates: dict[str, torch.Tensor], drawn: dict[str, torch.Tensor]) -> list[dict]:
    rows = []
    for name, right in rates.items():
        low, high = wilson(int(right.sum()), len(right))
        rows.append({'attribute': name, 'rate': right.float().mean().item(), 'n': len(right), 'low': low, 'high': high, 'drawn': drawn[name].float().mean().item()})
    return rows


def score(model: str, pictures: int, show_prompts: bool = True) -> dict:
    """Judge the first `pictures` prompts as the node-agent draws them with the model's own defaults; prints and returns the table."""
    judge, prompts = load()
    if pictures > len(prompts):
        raise SystemExit(f'train judge: there are {len(prompts)} frozen prompts.')
    chosen, settings = prompts[:pictures], engine.defaults(model)
    made = engine.draw(model, [{'prompt': p['prompt'], 'seed': p['seed'], **settings} for p in chosen])
    rates = accuracy(judge, view(made), labels([p['scene'] for p in chosen]))
    attributes, drawn = drawn_scenes(HELD, settings['width'])
    rows = table(rates, accuracy(judge, view(drawn), labels(attributes)))
    if show_prompts:
        for p in chosen:
            print(f'  seed {p["seed"]}: {p["prompt"]}')
    print(f'{"":9s} {"pictures":>9s} {"n":>5s}  {"95 % interval":17s} {"drawn scenes":>12s}')
    for r in rows:
        print(f'{r["attribute"]:9s} {r["rate"]:9.1%} {r["n"]:5d}  {r["low"]:6.1%} to {r["high"]:6.1%}  {r["drawn"]:12.1%}')
    mean, mean_drawn = float(np.mean([r['rate'] for r in rows])), float(np.mean([r['drawn'] for r in rows]))
    print(f'{"mean":9s} {mean:9.1%} {"":5s}  {"":17s} {mean_drawn:12.1%}')
    return {'model': Path(model).name, 'pictures': pictures, **settings, 'rows': rows, 'mean': mean, 'meanDrawn': mean_drawn}
