"""The diffusers folder back out of an ONNX folder, so that git need not hold both: `python -m train unpack --out FOLDER`."""
import json
import os
import shutil

import onnx
import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from . import weights
from .export import tidy
from .loop import say

COPIED = ('tokenizer', 'scheduler', 'model_index.json')


def config_of(folder: str) -> dict:
    with open(f'{folder}/config.json') as file:
        return json.load(file)


def graph(folder: str) -> onnx.ModelProto:
    return onnx.load(f'{folder}/model.onnx')


def load(model: str) -> dict[str, torch.nn.Module]:
    """unet, text_encoder and vae of an ONNX folder, in float32 and with the numbers that its graphs compute with."""
    text = CLIPTextModel(CLIPTextConfig.from_pretrained(f'{model}/text_encoder', attn_implementation='eager'))
    unet = UNet2DConditionModel.from_config(config_of(f'{model}/unet'))
    vae = AutoencoderTiny.from_config(config_of(f'{model}/vae_decoder'))
    weights.fill(text, weights.read(graph(f'{model}/text_encoder')))
    weights.fill(unet, weights.read(graph(f'{model}/unet')))
    weights.fill(vae, {**weights.read(graph(f'{model}/vae_encoder')), **weights.read(graph(f'{model}/vae_decoder'))})
    return {'unet': unet.eval(), 'text_encoder': text.eval(), 'vae': vae.eval()}


def unpack(model: str, out: str) -> None:
    """Writes the diffusers layout of `model` to `out`: float16 where nothing is lost by it, else (int8 weights) float32."""
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    for name in COPIED:
        (shutil.copytree if os.path.isdir(f'{model}/{name}') else shutil.copyfile)(f'{model}/{name}', f'{out}/{name}')
    for name, module in load(model).items():
        if all(torch.equal(p.half().float(), p) for p in module.parameters()):
            module = module.half()
        module.save_pretrained(f'{out}/{name}')
    tidy(out)
    say(f'unpack: {out}')
