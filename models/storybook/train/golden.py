"""Pictures and final latents by diffusers in float32 from the exported weights, which `npm run test:reference` replays."""
import json
import os
import random
import shutil

import numpy as np
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline
from PIL import Image, ImageDraw

from . import engine, scenes
from .loop import say

TEXTS = [  # prompt, seed, steps of a model that takes twenty, scheduler (None: the model's own)
    ('a red castle in the mountains in the snow', 5, 20, None), ('a lighthouse on a cliff at sunset', 1, 20, None),
    ('a cottage in a forest at night under a full moon', 0, 12, 'dpmpp_2m'), ('a yellow hot air balloon over the sea', 7, 20, None),
    ('an orange tent in the desert at dusk', 42, 8, None)]
FROM_PICTURE = ('a blue sailboat on a lake at sunset', 17, 0.6)  # prompt, seed, strength
MASKED = [('a red rocket on a lake', 3, 1.0), ('a snowman on a lake', 11, 1.0), ('a white windmill on a lake', 8, 0.75)]
LARGEST_PIXEL_DIFFERENCE = 2


def inputs(out: str, size: int) -> tuple[Image.Image, Image.Image]:
    """init.png, a drawn scene, and mask.png, an ellipse where its subject stands."""
    boat = dict(subject='sailboat', colour='red', place='lake', time='day', weather='clear', extra='none')
    start, mask = Image.fromarray(scenes.draw(boat, random.Random(8), size)), Image.new('L', (size, size))
    ImageDraw.Draw(mask).ellipse((size // 4, size // 4, size * 3 // 4, size * 7 // 8), fill=255)
    start.save(f'{out}/init.png')
    mask.save(f'{out}/mask.png')
    return start, mask


def wanted(pipe, steps: int, guidance: float, start: Image.Image, mask: Image.Image) -> list[tuple]:
    """Of each picture: its case, the pipeline that draws it, and what only diffusers is told."""
    few, masked = steps < 20, pipe.unet.config.in_channels == 9
    case = lambda task, prompt, seed, steps, **more: {'task': task, 'prompt': prompt, 'negativePrompt': None, 'seed': seed, 'steps': steps, 'guidance': guidance, **more}
    parts = {'requires_safety_checker': False, **pipe.components}
    cases = []
    if not masked:
        size = dict(width=start.width, height=start.height)
        for prompt, seed, own, scheduler in TEXTS:
            case_of = case('txt2img', prompt, seed, steps if few else own, **({'scheduler': scheduler} if scheduler and not few else {}))
            cases.append((case_of, pipe, size))
        prompt, seed, strength = FROM_PICTURE
        cases.append((case('img2img', prompt, seed, steps, initImage='init.png', strength=strength), StableDiffusionImg2ImgPipeline(**parts),
                      dict(image=start, strength=strength)))
    repaint = StableDiffusionInpaintPipeline(**parts)
    for prompt, seed, strength in MASKED if masked else MASKED[-1:]:
        cases.append((case('inpaint', prompt, seed, steps, initImage='init.png', maskImage='mask.png', strength=strength), repaint,
                      dict(image=start, mask_image=mask, strength=strength, width=start.width, height=start.height)))
    return cases


def write(pipe, out: str, steps: int, guidance: float) -> None:
    """`pipe` in float32. Writes init.png, mask.png, cases.json, and <id>.png, <id>.latents.f32 for each."""
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    own, size, lines = pipe.scheduler, pipe.unet.config.sample_size * pipe.vae_scale_factor, []
    start, mask = inputs(out, size)
    for i, (case, p, arguments) in enumerate(wanted(pipe, steps, guidance, start, mask)):
        name = f'story-{i}'
        p.scheduler = (DPMSolverMultistepScheduler if 'scheduler' in case else DDIMScheduler).from_config(own.config)
        p.set_progress_bar_config(disable=True)
        latents = p(prompt=case['prompt'], num_inference_steps=case['steps'], guidance_scale=float(guidance), **arguments,
                    generator=torch.Generator().manual_seed(case['seed']), output_type='latent').images
        with torch.no_grad():
            decoded = p.vae.decode(latents / p.vae.config.scaling_factor).sample
        picture = p.image_processor.postprocess(decoded)[0]
        latents.numpy().astype('<f4').tofile(f'{out}/{name}.latents.f32')
        picture.save(f'{out}/{name}.png')
        lines.append(json.dumps({'id': name, 'model': 'onnx', **case, 'width': size, 'height': size, 'latentsShape': list(latents.shape)}))
    with open(f'{out}/cases.json', 'w') as file:
        file.write('[\n' + ',\n'.join(lines) + '\n]\n')
    pipe.scheduler = own


def replay(model: str, golden: str) -> int:
    """All cases by the node-agent; the largest pixel difference, of 255."""
    with open(f'{golden}/cases.json') as file:
        cases = json.load(file)
    files = ('initImage', 'maskImage')
    jobs = [{k: os.path.abspath(f'{golden}/{v}') if k in files else v for k, v in c.items() if k not in ('id', 'model', 'latentsShape')} for c in cases]
    worst = 0
    for case, made in zip(cases, engine.draw(model, jobs), strict=True):
        want = np.asarray(Image.open(f'{golden}/{case["id"]}.png').convert('RGB')).astype(int)
        difference = int(np.abs(made.astype(int) - want).max())
        say(f'replay: {case["id"]} ({case["task"]}) by the node-agent and by diffusers differ by at most {difference}/255')
        worst = max(worst, difference)
    return worst
