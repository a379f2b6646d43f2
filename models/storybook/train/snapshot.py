"""Take the EMA weights out of a running training's checkpoint, to look at or export.

Run:  python snapshot.py --ckpt ../ckpt --model ../torch --out ../ckpt/snapshot
"""
import argparse

import torch
from diffusers import UNet2DConditionModel
from transformers import CLIPTextModel

a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
for n in ('ckpt', 'model', 'out'): a.add_argument(f'--{n}', required=True)
a.add_argument('--size', type=int, default=128)
a = a.parse_args(); c = torch.load(f'{a.ckpt}/last.pt', weights_only=False, map_location='cpu')
te = CLIPTextModel.from_pretrained(f'{a.model}/text_encoder', dtype=torch.float32)
unet = UNet2DConditionModel.from_pretrained(f'{a.model}/unet', torch_dtype=torch.float32, low_cpu_mem_usage=False); unet.register_to_config(sample_size=a.size // 8)
torch.nn.ModuleDict({'unet': unet, 'te': te}).load_state_dict(c['ema'], strict=False)
unet.save_pretrained(f'{a.out}/unet'); te.save_pretrained(f'{a.out}/text_encoder'); print(f"EMA of step {c['step']} -> {a.out}")
