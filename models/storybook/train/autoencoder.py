"""Train the image autoencoder (AutoencoderTiny, f8, 4 channels) on random crops of freshly drawn scenes.

It begins as a patch-mean codec whose first three channels carry RGB through every layer (`carry_colour`), which brings
the L1 error from 0.20 to 0.08 at once. `scaling_factor` in the saved config brings latents to unit deviation. A decoder can be trained further alone, for the size
that pictures have and on latents as coarse as those that a UNet draws; the UNet need not follow (`decoder_only`).
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
ENCODER_BLOCKS, DECODER_BLOCKS = (1, 1, 2, 2), (8, 6, 3, 1)  # of each level; small maps are cheap, and what a thing is is decided there
LATENT_NOISE = 0.06  # so that the decoder forgives what a diffusion model gets slightly wrong
DRAWN_LATENT_NOISE = 0.25  # with `decoder_only`: up to this much, which is what a UNet gets wrong after little training
DETAIL_WEIGHT, SUBJECT_WEIGHT = 6.0, 2.0  # added; stars and birds are few pixels, which L1 alone paints over


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


def convolutions(layers: torch.nn.Sequential) -> list[torch.nn.Conv2d]:
    return [layer for layer in layers if isinstance(layer, torch.nn.Conv2d)]


def by_level(layers: torch.nn.Sequential) -> list[list[torch.nn.Module]]:
    """The blocks between one convolution and the next, outermost first in an encoder, innermost first in a decoder."""
    levels: list[list[torch.nn.Module]] = []
    for layer in layers:
        if isinstance(layer, torch.nn.Conv2d):
            levels.append([])
        elif hasattr(layer, 'fuse'):
            levels[-1].append(layer)
    return levels


@torch.no_grad()
def deepen(vae: AutoencoderTiny) -> AutoencoderTiny:
    """The same function with ENCODER_BLOCKS and DECODER_BLOCKS: blocks that are new do nothing yet."""
    config = vae.config
    deep = AutoencoderTiny(
        encoder_block_out_channels=config.encoder_block_out_channels, decoder_block_out_channels=config.decoder_block_out_channels,
        num_encoder_blocks=ENCODER_BLOCKS, num_decoder_blocks=DECODER_BLOCKS, latent_channels=config.latent_channels)
    deep.register_to_config(scaling_factor=config.scaling_factor)
    for net, old in ((deep.encoder, vae.encoder), (deep.decoder, vae.decoder)):
        for ours, theirs in zip(convolutions(net.layers), convolutions(old.layers)):
            ours.load_state_dict(theirs.state_dict())
        for level, known in zip(by_level(net.layers), by_level(old.layers)):
            for i, block in enumerate(level):
                if i < len(known):
                    block.load_state_dict(known[i].state_dict())
                else:
                    block.conv[-1].weight.zero_()
                    block.conv[-1].bias.zero_()
    return deep


def gradients(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return x[..., 1:, :] - x[..., :-1, :], x[..., :, 1:] - x[..., :, :-1]


def loss_of(y: torch.Tensor, x: torch.Tensor, z: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """L1 of pixels, each with its `weight` [n, 1, h, w], of edges and of cells, and a light pull of the latents towards zero."""
    edges = sum(((p - q).abs() * w).mean() for p, q, w in zip(gradients(y), gradients(x), (weight[..., 1:, :], weight[..., 1:])))
    cells = (F.avg_pool2d(y, 8) - F.avg_pool2d(x, 8)).abs().mean()
    return ((y - x).abs() * weight).mean() + 0.5 * edges + 0.3 * cells + 2e-3 * (z**2).mean()


class Crops:
    """Random crops of a few hundred scenes of `size` pixels, some of which are replaced for every batch."""

    def __init__(self, rng: random.Random, count: int, crop: int, size: int):
        self.rng, self.crop, self.size = rng, crop, size
        self.drawn = [self.scene() for _ in range(count)]

    def scene(self) -> tuple[np.ndarray, np.ndarray]:
        picture, subject, details = scenes.draw(scenes.sample(self.rng), self.rng, self.size, with_mask=True)
        return picture, (1 + SUBJECT_WEIGHT * subject + DETAIL_WEIGHT * details).astype(np.float16)

    def batch(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Pictures float [count, 3, crop, crop] in -1..1 and what their pixels count, float [count, 1, crop, crop]."""
        for _ in range(2):
            self.drawn[self.rng.randrange(len(self.drawn))] = self.scene()
        pictures, weights = [], []
        for _ in range(count):
            picture, weight = self.rng.choice(self.drawn)
            y, x = self.rng.randint(0, self.size - self.crop), self.rng.randint(0, self.size - self.crop)
            pictures.append(picture[y : y + self.crop, x : x + self.crop])
            weights.append(weight[y : y + self.crop, x : x + self.crop])
        return to_signed(np.stack(pictures)), torch.from_numpy(np.stack(weights)).float()[:, None]


def measure(vae: AutoencoderTiny, device: torch.device, size: int, sheet: str | None, keep_scale: bool) -> None:
    """Report the PSNR of 8 unseen scenes; unless `keep_scale`, set the scaling factor from 64."""
    rng = random.Random(99)
    x = to_signed(np.stack([scenes.draw(scenes.sample(rng), rng, size) for _ in range(64)])).to(device)
    with torch.no_grad():
        z = torch.cat([vae.encode(x[i : i + 8]).latents for i in range(0, 64, 8)])
        if not keep_scale:
            vae.register_to_config(scaling_factor=round(1 / z.std().item(), 5))
        y = vae.decode(z[:8]).sample.clamp(-1, 1)
    psnr = -10 * math.log10(((y - x[:8]) ** 2).mean().item() / 4)
    say(f'autoencoder: PSNR {psnr:.1f} dB on unseen scenes of {size} pixels, scaling factor {vae.config.scaling_factor}')
    if sheet:
        both = torch.cat([x[:8], y]).add(1).mul(127.5).byte().permute(0, 2, 3, 1).cpu().numpy()
        Image.fromarray(np.vstack([np.hstack(both[:8]), np.hstack(both[8:])])).save(sheet)


def new_autoencoder() -> AutoencoderTiny:
    vae = AutoencoderTiny(encoder_block_out_channels=(WIDTH,) * 4, decoder_block_out_channels=(WIDTH,) * 4,
                          num_encoder_blocks=ENCODER_BLOCKS, num_decoder_blocks=DECODER_BLOCKS, latent_channels=4)
    with torch.no_grad():
        carry_colour(vae)
    return vae


def train(out: str, minutes: float, device: torch.device, *, base: str | None = None, lr: float = 1.5e-3, size: int = scenes.SIZE, crop: int = 64,
          batch: int = 12, sheet: str | None = None) -> None:
    """Train to `out`, from nothing, or with `base` the decoder of that folder alone, deepened, on whole scenes of `size` pixels."""
    torch.manual_seed(0)
    decoder_only = base is not None
    if decoder_only:
        vae, crop = deepen(AutoencoderTiny.from_pretrained(base)), size
        vae.encoder.requires_grad_(False)
    else:
        vae = new_autoencoder()
    vae = vae.to(device, memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW([p for p in vae.parameters() if p.requires_grad], lr=lr, betas=(0.9, 0.98), weight_decay=1e-4, fused=True)
    crops = Crops(random.Random(1), 600, crop, size)
    ema = {k: v.detach().clone() for k, v in vae.state_dict().items()}
    began, step, log = time.time(), 0, []
    while (done := (time.time() - began) / (minutes * 60)) < 1:
        for group in optimiser.param_groups:
            group['lr'] = lr * min(1, (step + 1) / 200) * (0.5 + 0.5 * math.cos(math.pi * done)) + 1e-5
        x, weight = (part.to(device) for part in crops.batch(batch))
        x = x.contiguous(memory_format=torch.channels_last)
        with autocast(device):
            with torch.set_grad_enabled(not decoder_only):
                z = vae.encode(x).latents
            noise = DRAWN_LATENT_NOISE * torch.rand(len(z), 1, 1, 1, device=device) if decoder_only else LATENT_NOISE
            y = vae.decode(z + noise * torch.randn_like(z)).sample
        loss = loss_of(y.float(), x, z.float(), weight)
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
    measure(vae.eval(), device, size, sheet, keep_scale=decoder_only)
    vae.save_pretrained(out)
