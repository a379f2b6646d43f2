"""Train text encoder + UNet (v-prediction, zero terminal SNR) on freshly drawn scenes until a given moment.

Starts from the weights in --model (diffusers layout; tokenizer, vae and scheduler are taken from there unchanged),
or goes on from --ckpt/last.pt where that exists. The learning rate warms up, stays, and falls along a cosine to zero
at --until, so that the EMA, which is what gets used, is best at the end. Every --save minutes the model, the EMA, the
optimiser and the pool of latents are written atomically to --ckpt/last.pt, and a sheet of samples to
--ckpt/sheet-<step>.png. At the end the EMA is saved in diffusers layout (float32) to --ckpt/final.

Run:  python train_unet.py --model ../torch --ckpt ../ckpt --until 2030-01-01T12:00      (UTC)
      With OMP_WAIT_POLICY=PASSIVE (three times faster on shared cores) and nice -n 19 where others use the machine; stop with SIGTERM (it saves first); the same command resumes.

What makes it fast on a CPU: bf16 autocast, channels_last, fused AdamW, plain batched-matmul attention, and one
caption serving two noise levels of its picture: the text encoder and the keys and values of the cross-attention,
about a third of the work, are computed once for both (SharedTextAttn).
"""
import argparse
import datetime
import math
import os
import random
import shutil
import signal
import time

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from PIL import Image
from transformers import CLIPTextModel, CLIPTokenizer

import scenes
from encode import Pool

PROMPTS = ['a lighthouse on a cliff at sunset', 'a red castle in the mountains in the snow', 'a yellow hot air balloon over the sea, with birds',
           'a cottage in a forest at night under a full moon', 'a blue sailboat on a lake at dawn, foggy', 'an orange tent in the desert at dusk under the stars',
           'a pink windmill in a meadow with flowers on a bright day', 'a rocket on a hill in the rain']


class SharedTextAttn:
    """Plain attention; the text may have fewer rows than the picture batch (each row serves neighbouring pictures)."""
    def __call__(self, attn, x, encoder_hidden_states=None, attention_mask=None, temb=None, **kw):
        res = x if attn.residual_connection else None
        e = x if encoder_hidden_states is None else encoder_hidden_states
        q, k, v = attn.to_q(x), attn.to_k(e), attn.to_v(e)
        b, n, c = q.shape; g = e.shape[0]; h = attn.heads; d = c // h
        q = q.reshape(g, b // g * n, h, d).transpose(1, 2)
        k = k.reshape(g, -1, h, d).permute(0, 2, 3, 1); v = v.reshape(g, -1, h, d).transpose(1, 2)
        o = torch.matmul(torch.matmul(q * d ** -.5, k).softmax(-1).to(v.dtype), v)
        o = attn.to_out[0](o.transpose(1, 2).reshape(b, n, c))
        return (o if res is None else o + res) / attn.rescale_output_factor


def words(s, rng):
    """A training caption: usually the full one; one time in five only the subject (and place); one in ten nothing (guidance)."""
    r = rng.random()
    if r < .1: return ''
    if r < .3:
        n = f"{s['colour']} {s['subject']}" if s['colour'] and rng.random() < .8 else s['subject']
        return f"{'an' if n[0] in 'aeio' else 'a'} {n}" + (' ' + rng.choice(scenes.PLACE_WORDS[s['place']]) if rng.random() < .5 else '')
    return scenes.caption(s, rng)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('--model', required=True); a.add_argument('--ckpt', required=True)
    a.add_argument('--until', required=True, help='UTC, as 2030-01-01T12:00'); a.add_argument('--size', type=int, default=128)
    a.add_argument('--batch', type=int, default=32); a.add_argument('--repeat', type=int, default=2, help='noise levels per picture and caption')
    a.add_argument('--lr', type=float, default=5e-4); a.add_argument('--warmup', type=int, default=50, help='steps, after each start')
    a.add_argument('--hold', type=float, default=.45, help='part of the time before the learning rate falls')
    a.add_argument('--ema', type=float, default=.999); a.add_argument('--subject', type=float, default=1.5, help="extra weight of the subject's cells; falls to 0 at 70 %% of the time")
    a.add_argument('--first', type=int, default=4096, help='scenes drawn before the first step'); a.add_argument('--fresh', type=int, default=2, help='scenes drawn per step')
    a.add_argument('--pool', type=int, default=32768); a.add_argument('--save', type=float, default=10, help='minutes'); a.add_argument('--threads', type=int, default=2)
    a.add_argument('--seed', type=int, default=1); a = a.parse_args()
    until = datetime.datetime.fromisoformat(a.until).replace(tzinfo=datetime.timezone.utc).timestamp()
    torch.set_num_threads(a.threads); os.makedirs(a.ckpt, exist_ok=True)
    say = lambda *x: print(time.strftime('%H:%M:%S', time.gmtime()), *x, flush=True)

    tok = CLIPTokenizer.from_pretrained(f'{a.model}/tokenizer'); sched = DDIMScheduler.from_pretrained(f'{a.model}/scheduler'); ac = sched.alphas_cumprod
    te = CLIPTextModel.from_pretrained(f'{a.model}/text_encoder', dtype=torch.float32, attn_implementation='eager')
    unet = UNet2DConditionModel.from_pretrained(f'{a.model}/unet', torch_dtype=torch.float32, low_cpu_mem_usage=False).to(memory_format=torch.channels_last)
    unet.set_attn_processor(SharedTextAttn()); unet.register_to_config(sample_size=a.size // 8)
    both = torch.nn.ModuleDict({'unet': unet, 'te': te}).train(); params = list(both.parameters())
    opt = torch.optim.AdamW(params, lr=a.lr, betas=(.9, .99), weight_decay=1e-3, fused=True)
    floats = lambda: {k: v for k, v in both.state_dict().items() if v.is_floating_point()}
    ema = {k: v.detach().clone() for k, v in floats().items()}
    pool = Pool(f'{a.model}/vae', a.size, a.pool, a.seed); step, seen, began, last = 0, 0, time.time(), f'{a.ckpt}/last.pt'
    if os.path.exists(last):
        c = torch.load(last, weights_only=False); both.load_state_dict(c['model']); opt.load_state_dict(c['opt']); ema = c['ema']
        step, seen, began = c['step'], c.get('seen', c['step'] * 48), c['began']; pool.load(c['pool']); say(f'resumed at step {step}, {len(pool.meta)} scenes'); del c
    while len(pool.meta) < min(a.first, a.pool): pool.add(16)
    rng = random.Random(a.seed * 1000003 + step); torch.manual_seed(a.seed * 1000003 + step)
    say(f'{sum(p.numel() for p in params) / 1e6:.1f} M parameters, {len(pool.meta)} scenes, until {a.until}')
    ids = lambda t: tok(t, padding='max_length', max_length=77, truncation=True, return_tensors='pt').input_ids

    @torch.no_grad()
    def sheet(path, steps=20, g=4.):
        cur = {k: v.clone() for k, v in floats().items()}; both.load_state_dict(ema, strict=False); both.eval()
        sched.set_timesteps(steps); n = a.size // 8; x = torch.randn(8, 4, n, n, generator=torch.Generator().manual_seed(0))
        h = te(ids([''] * 8 + PROMPTS)).last_hidden_state
        for t in sched.timesteps:
            with torch.autocast('cpu', dtype=torch.bfloat16): u, c = unet(torch.cat([x, x]), t, h).sample.float().chunk(2)
            x = sched.step(u + g * (c - u), t, x).prev_sample
        y = pool.vae.decode(x / pool.vae.config.scaling_factor).sample.clamp(-1, 1).add(1).mul(127.5).byte().permute(0, 2, 3, 1).numpy()
        Image.fromarray(np.vstack([np.hstack(y[:4]), np.hstack(y[4:])])).save(path); both.load_state_dict(cur, strict=False); both.train()

    def save():
        torch.save({'model': both.state_dict(), 'opt': opt.state_dict(), 'ema': ema, 'step': step, 'seen': seen, 'began': began, 'pool': pool.state()}, last + '.tmp'); os.replace(last + '.tmp', last)

    stop = []; signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    started, saved, told, told_step, losses = step, time.time(), time.time(), step, []
    rows = a.batch // a.repeat
    while time.time() < until and not stop:
        frac = (time.time() - began) / max(1, until - began)
        lr = a.lr * min(1, (step - started + 1) / a.warmup) * (1 if frac < a.hold else .5 + .5 * math.cos(math.pi * min(1, (frac - a.hold) / (1 - a.hold))))
        for g in opt.param_groups: g['lr'] = lr
        if step % 8 == 7 and a.fresh: pool.add(a.fresh * 8)
        z, cover, ms = pool.pick(rows, rng); z = z.repeat_interleave(a.repeat, 0)
        text = ids([words(m, rng) for m in ms])
        # stratified over the batch, the parts dealt out so that a picture's noise levels are far apart; fewer near t = 0, where v is all noise
        part = torch.arange(a.batch).view(a.repeat, rows).t().reshape(-1)
        u = (part + torch.rand(a.batch)) / a.batch; t = (1000 * (.06 * u + .94 * u ** .7)).long().clamp(0, 999)
        al = ac[t].view(-1, 1, 1, 1); n = torch.randn_like(z)
        x = al.sqrt() * z + (1 - al).sqrt() * n; target = al.sqrt() * n - (1 - al).sqrt() * z
        with torch.autocast('cpu', dtype=torch.bfloat16):
            v = unet(x.contiguous(memory_format=torch.channels_last), t, te(text).last_hidden_state, return_dict=False)[0]
        snr = ac[t] / (1 - ac[t]).clamp(min=1e-8)
        err = (v.float() - target).pow(2).mean(1)
        plain = (err.detach().mean((1, 2)) / (1 + snr / 2)).mean() * 1.5                      # soft min-SNR, comparable over time
        w = 1 + a.subject * max(0., 1 - frac / .7) * cover.repeat_interleave(a.repeat, 0)
        loss = ((err * w).mean((1, 2)) / (1 + snr / 2)).mean() * 1.5
        opt.zero_grad(); loss.backward(); torch.nn.utils.clip_grad_norm_(params, 1.); opt.step()
        with torch.no_grad():
            k = min(a.ema, (1 + step) / (20 + step)); cur = floats()
            torch._foreach_lerp_(list(ema.values()), [cur[m] for m in ema], 1 - k)
        step += 1; seen += a.batch; losses.append(plain.item())
        now = time.time()
        if now - told > 60:
            say(f'step {step} pictures {seen} {(step - told_step) * a.batch / (now - told):.1f}/s loss {np.mean(losses):.4f} lr {lr:.1e} scenes {pool.drawn} ({len(pool.meta)})')
            told, told_step, losses = now, step, []
        if now - saved > a.save * 60: saved = now; save(); sheet(f'{a.ckpt}/sheet-{step}.png')
    save(); sheet(f'{a.ckpt}/sheet-{step}.png')
    if not stop:
        both.load_state_dict(ema, strict=False); out = f'{a.ckpt}/final'
        unet.save_pretrained(f'{out}.tmp/unet'); te.save_pretrained(f'{out}.tmp/text_encoder'); shutil.rmtree(out, ignore_errors=True); os.replace(f'{out}.tmp', out)
    say('stopped' if stop else 'done', f'step {step}, {seen} pictures')


if __name__ == '__main__':
    main()
