"""Pictures and final latents by diffusers in float32 from the exported weights, which `npm run test:reference` replays."""
import json
import os
import random
import shutil

import numpy as np
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, StableDiffusionImg2ImgPipeline
from PIL import Image

from . import engine, scenes
from .loop import say

GUIDANCE = 4
CASES = [  # prompt, seed, steps, scheduler (None: the model's own)
    ('a red castle in the mountains in the snow', 5, 20, None), ('a lighthouse on a cliff at sunset', 1, 20, None),
    ('a cottage in a forest at night under a full moon', 0, 12, 'dpmpp_2m'), ('a yellow hot air balloon over the sea', 7, 20, None),
    ('an orange tent in the desert at dusk', 42, 8, None)]
IMG2IMG = ('a blue sailboat on a lake at sunset', 17, 20, 0.6)  # prompt, seed, steps, strength
LARGEST_PIXEL_DIFFERENCE = 2


def write(pipe, out: str) -> None:
    """`pipe` in float32. Writes cases.json, and <id>.png, <id>.latents.f32 for each."""
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    own, size, cases = pipe.scheduler, pipe.unet.config.sample_size * 8, []

    def record(name: str, p, scheduler: str | None, seed: int, **arguments) -> list[int]:
        def run(kind: str):
            p.scheduler = (DPMSolverMultistepScheduler if scheduler else DDIMScheduler).from_config(own.config)
            return p(**arguments, guidance_scale=float(GUIDANCE), generator=torch.Generator().manual_seed(seed), output_type=kind).images

        latents, picture = run('latent'), run('pil')[0]
        latents.numpy().astype('<f4').tofile(f'{out}/{name}.latents.f32')
        picture.save(f'{out}/{name}.png')
        return list(latents.shape)

    common = {'model': 'onnx', 'negativePrompt': None, 'guidance': GUIDANCE, 'width': size, 'height': size}
    for i, (prompt, seed, steps, scheduler) in enumerate(CASES):
        shape = record(f'story-{i}', pipe, scheduler, seed, prompt=prompt, num_inference_steps=steps, width=size, height=size)
        cases.append({'id': f'story-{i}', 'task': 'txt2img', 'prompt': prompt, 'seed': seed, 'steps': steps, **common,
                      **({'scheduler': scheduler} if scheduler else {}), 'latentsShape': shape})
    prompt, seed, steps, strength = IMG2IMG
    boat = dict(subject='sailboat', colour='red', place='lake', time='day', weather='clear', extra='none')
    start = Image.fromarray(scenes.draw(boat, random.Random(8), size))
    start.save(f'{out}/init.png')
    p = StableDiffusionImg2ImgPipeline(**pipe.components, requires_safety_checker=False)
    p.set_progress_bar_config(disable=True)
    shape = record('story-img2img', p, None, seed, prompt=prompt, num_inference_steps=steps, image=start, strength=strength)
    cases.append({'id': 'story-img2img', 'task': 'img2img', 'prompt': prompt, 'seed': seed, 'steps': steps, **common, 'initImage': 'init.png',
                  'strength': strength, 'latentsShape': shape})
    with open(f'{out}/cases.json', 'w') as file:
        file.write('[\n' + ',\n'.join(map(json.dumps, cases)) + '\n]\n')
    pipe.scheduler = own


def replay(model: str, golden: str) -> int:
    """The text-to-image cases by the node-agent; the largest pixel difference, of 255."""
    with open(f'{golden}/cases.json') as file:
        cases = [c for c in json.load(file) if c['task'] == 'txt2img']
    jobs = [{k: v for k, v in c.items() if k not in ('id', 'model', 'latentsShape')} for c in cases]
    worst = 0
    for case, made in zip(cases, engine.draw(model, jobs)):
        want = np.asarray(Image.open(f'{golden}/{case["id"]}.png').convert('RGB')).astype(int)
        difference = int(np.abs(made.astype(int) - want).max())
        say(f'replay: {case["id"]} by the node-agent and by diffusers differ by at most {difference}/255')
        worst = max(worst, difference)
    return worst
