"""Round trained weights to float16 and write torch/ (diffusers), onnx/ (what the node-agent loads) and golden/ (expected pictures).

--weights  folder with unet/ and text_encoder/ (as train_unet.py leaves them in CKPT/final)
--model    diffusers folder whose tokenizer, vae and scheduler are taken unchanged
--out      receives torch/, onnx/, golden/

onnx/ has the diffusers/optimum layout; weights are stored as float16 and cast to float32 when loaded, so the
arithmetic is float32 everywhere. golden/ holds final latents and pictures computed by diffusers in float32 from exactly
those rounded weights; the export ends by replaying the text-to-image cases with ONNX Runtime and reports the largest
difference (it fails above 1e-3).

Run:  python export.py --weights ../ckpt/final --model ../torch --out ../out [--threads 2] [--no-img2img]
"""
import argparse
import json
import os
import random
import shutil

import numpy as np
import onnx
import onnxruntime
import torch
from diffusers import (AutoencoderTiny, DDIMScheduler, DPMSolverMultistepScheduler, StableDiffusionImg2ImgPipeline,
                       StableDiffusionPipeline, UNet2DConditionModel)
from diffusers.models.attention_processor import AttnProcessor
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from transformers import CLIPTextModel, CLIPTokenizer

import scenes

CASES = [  # prompt, seed, steps, scheduler (None: the model's own)
    ('a red castle in the mountains in the snow', 5, 20, None), ('a lighthouse on a cliff at sunset', 1, 20, None),
    ('a cottage in a forest at night under a full moon', 0, 12, 'dpmpp_2m'), ('a yellow hot air balloon over the sea', 7, 20, None),
    ('an orange tent in the desert at dusk', 42, 8, None)]
IMG2IMG = ('a blue sailboat on a lake at sunset', 17, 20, .6)  # prompt, seed, steps, strength
GUIDANCE = 4.


class Text(torch.nn.Module):
    def __init__(s, te): super().__init__(); s.te = te
    def forward(s, input_ids): o = s.te(input_ids=input_ids); return o.last_hidden_state, o.pooler_output


class UNet(torch.nn.Module):
    def __init__(s, u): super().__init__(); s.u = u
    def forward(s, sample, timestep, encoder_hidden_states): return s.u(sample, timestep, encoder_hidden_states, return_dict=False)[0]


class Enc(torch.nn.Module):
    def __init__(s, v): super().__init__(); s.v = v
    def forward(s, sample): return s.v.encode(sample).latents


class Dec(torch.nn.Module):
    def __init__(s, v): super().__init__(); s.v = v
    def forward(s, latent_sample): return s.v.decode(latent_sample).sample


def to_onnx(mod, args, folder, ins, outs, dyn):
    os.makedirs(folder, exist_ok=True); path = f'{folder}/model.onnx'
    torch.onnx.export(mod.eval(), args, path, input_names=ins, output_names=outs, dynamic_axes=dyn, opset_version=18, dynamo=False)
    m = onnx.load(path); casts = []
    for t in list(m.graph.initializer):
        x = numpy_helper.to_array(t)
        if x.dtype == np.float32 and x.size >= 256:
            h = numpy_helper.from_array(x.astype(np.float16), t.name + '.f16'); m.graph.initializer.remove(t); m.graph.initializer.append(h)
            casts.append(helper.make_node('Cast', [h.name], [t.name], name=f'cast.{t.name}', to=TensorProto.FLOAT))
    for n in reversed(casts): m.graph.node.insert(0, n)
    onnx.checker.check_model(m); onnx.save(m, path); print(f'{os.path.basename(folder)}: {os.path.getsize(path) // 1024} KiB', flush=True)


def tidy(folder, tokenizer, dtype):
    """The same files whoever exported them: the tokenizer's byte for byte, no local paths in configs, the true dtype."""
    shutil.rmtree(f'{folder}/tokenizer'); shutil.copytree(tokenizer, f'{folder}/tokenizer', copy_function=shutil.copyfile)
    for part in os.listdir(folder):
        f = f'{folder}/{part}/config.json'
        if os.path.exists(f):
            c = json.load(open(f)); c.pop('_name_or_path', None)
            if 'dtype' in c: c['dtype'] = dtype
            open(f, 'w').write(json.dumps(c, indent=2, sort_keys=True) + '\n')


def export(pipe, out):
    shutil.rmtree(out, ignore_errors=True)
    pipe.save_config(out); pipe.tokenizer.save_pretrained(f'{out}/tokenizer'); pipe.scheduler.save_pretrained(f'{out}/scheduler')
    te, unet, vae = pipe.text_encoder.eval(), pipe.unet.eval(), pipe.vae.eval(); d = unet.config.cross_attention_dim
    ids = pipe.tokenizer(['a castle', 'a boat'], padding='max_length', max_length=77, return_tensors='pt').input_ids
    b = {0: 'batch'}; hw = {0: 'batch', 2: 'height', 3: 'width'}; seq = {0: 'batch', 1: 'sequence'}
    with torch.no_grad():
        to_onnx(Text(te), (ids,), f'{out}/text_encoder', ['input_ids'], ['last_hidden_state', 'pooler_output'], {'input_ids': seq, 'last_hidden_state': seq, 'pooler_output': b})
        to_onnx(UNet(unet), (torch.randn(2, 4, 32, 32), torch.tensor(5.), torch.randn(2, 77, d)), f'{out}/unet', ['sample', 'timestep', 'encoder_hidden_states'], ['out_sample'], {'sample': hw, 'encoder_hidden_states': seq, 'out_sample': hw})
        to_onnx(Enc(vae), (torch.randn(2, 3, 256, 256),), f'{out}/vae_encoder', ['sample'], ['latent_sample'], {'sample': hw, 'latent_sample': hw})
        to_onnx(Dec(vae), (torch.randn(2, 4, 32, 32),), f'{out}/vae_decoder', ['latent_sample'], ['sample'], {'latent_sample': hw, 'sample': hw})
    te.config.save_pretrained(f'{out}/text_encoder'); unet.save_config(f'{out}/unet')
    for n in ('vae_encoder', 'vae_decoder'): vae.save_config(f'{out}/{n}')


def golden(pipe, out, img2img):
    shutil.rmtree(out, ignore_errors=True); os.makedirs(out); own, size, cases = pipe.scheduler, pipe.unet.config.sample_size * 8, []

    def record(id, p, scheduler, **args):
        new = lambda: (DPMSolverMultistepScheduler if scheduler else DDIMScheduler).from_config(own.config)
        seed = args.pop('seed'); run = lambda kind: (setattr(p, 'scheduler', new()), p(**args, guidance_scale=GUIDANCE, generator=torch.Generator().manual_seed(seed), output_type=kind).images)[1]
        lat, im = run('latent'), run('pil')[0]
        lat.numpy().astype('<f4').tofile(f'{out}/{id}.latents.f32'); im.save(f'{out}/{id}.png'); return list(lat.shape)

    for i, (q, seed, n, s) in enumerate(CASES):
        shape = record(f'story-{i}', pipe, s, prompt=q, num_inference_steps=n, width=size, height=size, seed=seed)
        cases.append({'id': f'story-{i}', 'model': 'onnx', 'task': 'txt2img', 'prompt': q, 'negativePrompt': None, 'seed': seed, 'steps': n, 'guidance': 4, 'width': size, 'height': size, **({'scheduler': s} if s else {}), 'latentsShape': shape})
    if img2img:
        r = random.Random(8); q, seed, n, strength = IMG2IMG
        init = Image.fromarray(scenes.draw(dict(subject='sailboat', colour='red', place='lake', time='day', weather='clear', extra='none'), r, size)); init.save(f'{out}/init.png')
        p = StableDiffusionImg2ImgPipeline(**pipe.components, requires_safety_checker=False); p.set_progress_bar_config(disable=True)
        shape = record('story-img2img', p, None, prompt=q, num_inference_steps=n, image=init, strength=strength, seed=seed)
        cases.append({'id': 'story-img2img', 'model': 'onnx', 'task': 'img2img', 'prompt': q, 'negativePrompt': None, 'seed': seed, 'steps': n, 'guidance': 4, 'width': size, 'height': size, 'initImage': 'init.png', 'strength': strength, 'latentsShape': shape})
    open(f'{out}/cases.json', 'w').write('[\n' + ',\n'.join(map(json.dumps, cases)) + '\n]\n')
    pipe.scheduler = own


def replay(out, threads):
    """The golden cases again with ONNX Runtime; returns the largest difference of the final latents."""
    o = onnxruntime.SessionOptions(); o.intra_op_num_threads = threads
    net = {n: onnxruntime.InferenceSession(f'{out}/onnx/{n}/model.onnx', o, providers=['CPUExecutionProvider']) for n in ('text_encoder', 'unet', 'vae_encoder', 'vae_decoder')}
    tok = CLIPTokenizer.from_pretrained(f'{out}/onnx/tokenizer'); own = DDIMScheduler.from_pretrained(f'{out}/onnx/scheduler')
    scale = json.load(open(f'{out}/onnx/vae_encoder/config.json'))['scaling_factor']; worst = 0.
    for c in json.load(open(f'{out}/golden/cases.json')):
        s = (DPMSolverMultistepScheduler if c.get('scheduler') else DDIMScheduler).from_config(own.config); s.set_timesteps(c['steps']); times = s.timesteps
        x = torch.randn(c['latentsShape'], generator=torch.Generator().manual_seed(c['seed']))
        if c['task'] == 'img2img':
            times = times[c['steps'] - int(c['steps'] * c['strength']):]
            im = np.asarray(Image.open(f"{out}/golden/{c['initImage']}").convert('RGB'), np.float32).transpose(2, 0, 1)[None] / 255 * 2 - 1
            x = s.add_noise(torch.from_numpy(net['vae_encoder'].run(None, {'sample': im})[0]) * scale, x, times[:1])
        else: x = x * s.init_noise_sigma
        h = net['text_encoder'].run(None, {'input_ids': tok(['', c['prompt']], padding='max_length', max_length=77, return_tensors='np').input_ids.astype(np.int64)})[0]
        for t in times:
            v = net['unet'].run(None, {'sample': torch.cat([x, x]).numpy(), 'timestep': np.array(float(t), np.float32), 'encoder_hidden_states': h})[0]
            x = s.step(torch.from_numpy(v[:1] + c['guidance'] * (v[1:] - v[:1])), t, x).prev_sample
        want = np.fromfile(f"{out}/golden/{c['id']}.latents.f32", '<f4').reshape(c['latentsShape']); d = float(np.abs(x.numpy() - want).max())
        y = net['vae_decoder'].run(None, {'latent_sample': (x / scale).numpy()})[0][0]
        y = np.round((y / 2 + .5).clip(0, 1) * 255).transpose(1, 2, 0); px = np.abs(y - np.asarray(Image.open(f"{out}/golden/{c['id']}.png"), np.float32)).max()
        print(f"ONNX Runtime {c['id']}: latents differ by at most {d:.1e}, pixels by {px:.0f}/255"); worst = max(worst, d)
    return worst


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('--weights', required=True); a.add_argument('--model', required=True); a.add_argument('--out', required=True)
    a.add_argument('--threads', type=int, default=2); a.add_argument('--no-img2img', action='store_true'); a = a.parse_args(); torch.set_num_threads(a.threads)
    half = dict(torch_dtype=torch.float16, low_cpu_mem_usage=False)
    pipe = StableDiffusionPipeline(
        vae=AutoencoderTiny.from_pretrained(f'{a.model}/vae', **half), unet=UNet2DConditionModel.from_pretrained(f'{a.weights}/unet', **half),
        text_encoder=CLIPTextModel.from_pretrained(f'{a.weights}/text_encoder', dtype=torch.float16, attn_implementation='eager'),
        tokenizer=CLIPTokenizer.from_pretrained(f'{a.model}/tokenizer'), scheduler=DDIMScheduler.from_pretrained(f'{a.model}/scheduler'),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True); shutil.rmtree(f'{a.out}/torch', ignore_errors=True); pipe.save_pretrained(f'{a.out}/torch')
    tidy(f'{a.out}/torch', f'{a.model}/tokenizer', 'float16')
    pipe = pipe.to(dtype=torch.float32)
    golden(pipe, f'{a.out}/golden', not a.no_img2img)
    export(pipe, f'{a.out}/onnx')
    tidy(f'{a.out}/onnx', f'{a.model}/tokenizer', 'float32')
    worst = replay(a.out, a.threads); print(f'largest difference of the golden latents: {worst:.1e}')
    if worst > 1e-3: raise SystemExit('the ONNX export disagrees with diffusers')


if __name__ == '__main__':
    main()
