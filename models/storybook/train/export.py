"""Trained weights as ONNX files for the node-agent, rounded to float16 or int8 (`weights.py`).

The arithmetic is float32 everywhere, and diffusers and ONNX Runtime compute from the very same rounded numbers: what is
recorded (`golden.py`) is drawn with them, and `unpack.py` gets them back out of the ONNX files.
"""
import json
import os
import shutil

import onnx
import torch
from diffusers import AutoencoderTiny, StableDiffusionInpaintPipeline, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from . import weights
from .loop import say
from .networks import new_scheduler

OPSET = 18
STORES = ('float16', 'int8')
CELLS = 16  # sides of the example latents; graphs take any size


class Text(torch.nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids):
        out = self.encoder(input_ids=input_ids)
        return out.last_hidden_state, out.pooler_output


class Denoiser(torch.nn.Module):
    def __init__(self, unet):
        super().__init__()
        self.unet = unet

    def forward(self, sample, timestep, encoder_hidden_states):
        return self.unet(sample, timestep, encoder_hidden_states, return_dict=False)[0]


class Encoder(torch.nn.Module):
    def __init__(self, vae):
        super().__init__()
        self.vae = vae

    def forward(self, sample):
        return self.vae.encode(sample).latents


class Decoder(torch.nn.Module):
    def __init__(self, vae):
        super().__init__()
        self.vae = vae

    def forward(self, latent_sample):
        return self.vae.decode(latent_sample).sample


def to_onnx(module, arguments, folder: str, inputs: list[str], outputs: list[str], dynamic: dict, store: str = 'float16') -> None:
    os.makedirs(folder, exist_ok=True)
    path = f'{folder}/model.onnx'
    with torch.no_grad():
        torch.onnx.export(module.eval(), arguments, path, input_names=inputs, output_names=outputs, dynamic_axes=dynamic, opset_version=OPSET, dynamo=False)
    model = weights.store(weights.name_after_modules(onnx.load(path), module), store)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    say(f'export: {os.path.basename(folder)} {os.path.getsize(path) // 1024} KiB')


def tidy(folder: str, dtype: str | None = None) -> None:
    """The same files whoever exports them: no local paths in configs, the true dtype."""
    for part in os.listdir(folder):
        path = f'{folder}/{part}/config.json'
        if os.path.exists(path):
            with open(path) as file:
                config = json.load(file)
            config.pop('_name_or_path', None)
            if dtype and 'dtype' in config:
                config['dtype'] = dtype
            with open(path, 'w') as file:
                file.write(json.dumps(config, indent=2, sort_keys=True) + '\n')


def pipeline(trained: str, model: str, store: str = 'float16') -> StableDiffusionPipeline:
    """unet/ and text_encoder/ of `trained`, tokenizer/ and vae/ of `model`, in float32 but rounded to what is stored."""
    full = {'torch_dtype': torch.float32, 'low_cpu_mem_usage': False}
    unet = UNet2DConditionModel.from_pretrained(f'{trained}/unet', **full)
    kind = StableDiffusionInpaintPipeline if unet.config.in_channels == 9 else StableDiffusionPipeline
    pipe = kind(
        vae=AutoencoderTiny.from_pretrained(f'{model}/vae', **full), unet=unet,
        text_encoder=CLIPTextModel.from_pretrained(f'{trained}/text_encoder', dtype=torch.float32, attn_implementation='eager'),
        tokenizer=CLIPTokenizer.from_pretrained(f'{model}/tokenizer'), scheduler=new_scheduler(), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False)
    weights.round_as_stored(pipe.unet, store)
    weights.round_as_stored(pipe.text_encoder, store)
    weights.round_as_stored(pipe.vae, 'float16')  # the autoencoder is small, and what it loses is seen at once
    pipe.set_progress_bar_config(disable=True)
    return pipe


def write_onnx(pipe: StableDiffusionPipeline, out: str, tokenizer: str, store: str = 'float16') -> None:
    """The diffusers/optimum folder; other files of `out` (limner.json, README.md, train/) stay. `pipe` is what `pipeline` made for `store`."""
    os.makedirs(out, exist_ok=True)
    pipe.save_config(out)
    pipe.scheduler.save_pretrained(f'{out}/scheduler')
    text, unet, vae = pipe.text_encoder.eval(), pipe.unet.eval(), pipe.vae.eval()
    ids = pipe.tokenizer(['a castle', 'a boat'], padding='max_length', max_length=77, return_tensors='pt').input_ids
    batch, picture, tokens = {0: 'batch'}, {0: 'batch', 2: 'height', 3: 'width'}, {0: 'batch', 1: 'sequence'}
    side = CELLS * pipe.vae_scale_factor
    sample = torch.randn(2, unet.config.in_channels, CELLS, CELLS)
    to_onnx(Text(text), (ids,), f'{out}/text_encoder', ['input_ids'], ['last_hidden_state', 'pooler_output'],
            {'input_ids': tokens, 'last_hidden_state': tokens, 'pooler_output': batch}, store)
    to_onnx(Denoiser(unet), (sample, torch.tensor(5.0), torch.randn(2, 77, unet.config.cross_attention_dim)), f'{out}/unet',
            ['sample', 'timestep', 'encoder_hidden_states'], ['out_sample'],
            {'sample': picture, 'encoder_hidden_states': tokens, 'out_sample': picture}, store)
    to_onnx(Encoder(vae), (torch.randn(2, 3, side, side),), f'{out}/vae_encoder', ['sample'], ['latent_sample'], {'sample': picture, 'latent_sample': picture})
    to_onnx(Decoder(vae), (torch.randn(2, 4, CELLS, CELLS),), f'{out}/vae_decoder', ['latent_sample'], ['sample'], {'latent_sample': picture, 'sample': picture})
    text.config.save_pretrained(f'{out}/text_encoder')
    unet.save_config(f'{out}/unet')
    for name in ('vae_encoder', 'vae_decoder'):
        vae.save_config(f'{out}/{name}')
    shutil.rmtree(f'{out}/tokenizer', ignore_errors=True)
    shutil.copytree(tokenizer, f'{out}/tokenizer', copy_function=shutil.copyfile)
    tidy(out, 'float32')
