"""Train the image autoencoder (AutoencoderTiny, f8, 4 channels) on random crops of freshly drawn scenes.

It begins as a patch-mean codec whose first three channels carry RGB through every layer (`carry_colour`), which brings
the L1 error from 0.20 to 0.08 at once. `scaling_factor` in the saved config brings latents to unit deviation.
"""
import math
import random
import time

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderTiny
from PIL import Image

from . import scenes
from .device import autocast
from .latents import to_signed
from .loop import say

WIDTH = 48
LATENT_NOISE = 0.06  # so that the decoder forgives what a diffusion model gets slightly wrong


def carry_colour(vae: AutoencoderTiny) -> None:
    """Start as a patch-mean codec: three channels carry RGB through every layer, the others begin as small random features."""

    def plain(conv, taps, gain=1.0, bias=0.0):
        weight = conv.weight.data
        weight[:3] = 0
        for channel in range(3):
            for i, j in taps:
                weight[channel, channel, i, j] = gain / len(taps)
        if conv.bias is not None:
            conv.bias.data[:3] = bias

    middle = [(1, 1)]
    for net in (vae.encoder, vae.decoder):
        for layer in net.layers:
            if hasattr(layer, 'fuse'):
                layer.conv[-1].weight.data.mul_(0.05)
                layer.conv[-1].bias.data.zero_()
    first, *shrinking, last = [layer for layer in vae.encoder.layers if isinstance(layer, torch.nn.Conv2d)]
    plain(first, middle)
    for conv in shrinking:
        plain(conv, [(1, 1), (1, 2), (2, 1), (2, 2)])
    last.weight.data.mul_(0.3)
    plain(last, middle, gain=2.0, bias=-1.0)
    first, *rest = [layer for layer in vae.decoder.layers if isinstance(layer, torch.nn.Conv2d)]
    plain(first, middle, gain=0.5, bias=0.5)
    for conv in rest:
        plain(conv, middle)
    rest[-1].weight.data[:, 3:].mul_(0.1)


def gradients(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return x[..., 1:, :] - x[..., :-1, :], x[..., :, 1:] - x[..., :, :-1]


def loss_of(y: torch.Tensor, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """L1 of pixels, of edges and of cells, and a light pull of the latents towards zero."""
    edges = sum((p - q).abs().mean() for p, q in zip(gradients(y), gradients(x)))
    cells = (F.avg_pool2d(y, 8) - F.avg_pool2d(x, 8)).abs().mean()
    return (y - x).abs().mean() + 0.5 * edges + 0.3 * cells + 2e-3 * (z**2).mean()


class Crops:
    """Random crops of a few hundred scenes, some of which are replaced for every batch."""

    def __init__(self, rng: random.Random, count: int, crop: int):
        self.rng, self.crop = rng, crop
        self.pictures = [scenes.draw(scenes.sample(rng), rng) for _ in range(count)]

    def batch(self, size: int) -> torch.Tensor:
        """float [size, 3, crop, crop] in -1..1"""
        for _ in range(2):
            self.pictures[self.rng.randrange(len(self.pictures))] = scenes.draw(scenes.sample(self.rng), self.rng)
        out = []
        for _ in range(size):
            picture = self.rng.choice(self.pictures)
            y, x = self.rng.randint(0, scenes.SIZE - self.crop), self.rng.randint(0, scenes.SIZE - self.crop)
            out.append(picture[y : y + self.crop, x : x + self.crop])
        return to_signed(np.stack(out))


def measure(vae: AutoencoderTiny, device: torch.device, sheet: str | None) -> None:
    """Set the scaling factor from 64 unseen scenes and report the PSNR of 8."""
    rng = random.Random(99)
    x = to_signed(np.stack([scenes.draw(scenes.sample(rng), rng) for _ in range(64)])).to(device)
    with torch.no_grad():
        z = torch.cat([vae.encode(x[i : i + 8]).latents for i in range(0, 64, 8)])
        vae.register_to_config(scaling_factor=round(1 / z.std().item(), 5))
        y = vae.decode(z[:8]).sample.clamp(-1, 1)
    psnr = -10 * math.log10(((y - x[:8]) ** 2).mean().item() / 4)
    say(f'autoencoder: PSNR {psnr:.1f} dB on unseen scenes, scaling factor {vae.config.scaling_factor}')
    if sheet:
        both = torch.cat([x[:8], y]).add(1).mul(127.5).byte().permute(0, 2, 3, 1).cpu().numpy()
        Image.fromarray(np.vstack([np.hstack(both[:8]), np.hstack(both[8:])])).save(sheet)


def train(out: str, minutes: float, device: torch.device, *, lr: float = 1.5e-3, crop: int = 64, batch: int = 12, sheet: str | None = None) -> None:
    torch.manual_seed(0)
    vae = AutoencoderTiny(encoder_block_out_channels=(WIDTH,) * 4, decoder_block_out_channels=(WIDTH,) * 4, num_encoder_blocks=(1, 1, 2, 2),
                          num_decoder_blocks=(2, 2, 2, 1), latent_channels=4)
    with torch.no_grad():
        carry_colour(vae)
    vae = vae.to(device, memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(vae.parameters(), lr=lr, betas=(0.9, 0.98), weight_decay=1e-4)
    crops = Crops(random.Random(1), 600, crop)
    ema = {k: v.detach().clone() for k, v in vae.state_dict().items()}
    began, step, log = time.time(), 0, []
    while (done := (time.time() - began) / (minutes * 60)) < 1:
        for group in optimiser.param_groups:
            group['lr'] = lr * min(1, (step + 1) / 200) * (0.5 + 0.5 * math.cos(math.pi * done)) + 1e-5
        x = crops.batch(batch).to(device).contiguous(memory_format=torch.channels_last)
        with autocast(device):
            z = vae.encode(x).latents
            y = vae.decode(z + LATENT_NOISE * torch.randn_like(z)).sample
        loss = loss_of(y.float(), x, z.float())
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimiser.step()
        keep = min(0.999, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, value in vae.state_dict().items():
                ema[name].lerp_(value, 1 - keep)
        step += 1
        log.append((y.float() - x).abs().mean().item())
        if step % 250 == 0:
            say(f'autoencoder: step {step} L1 {np.mean(log[-250:]):.4f}, {100 * done:.0f} %')
    vae.load_state_dict(ema)
    measure(vae, device, sheet)
    vae.save_pretrained(out)
