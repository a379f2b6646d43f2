"""Trained weights as files: rounded to float16 in `torch` layout (diffusers) and as ONNX graphs (the node-agent).

ONNX weights are stored as float16 and cast to float32 when they are loaded, so the arithmetic is float32 everywhere and
diffusers and ONNX Runtime compute from the very same numbers.
"""
import json
import os
import shutil

import numpy as np
import onnx
import torch
from diffusers import AutoencoderTiny, StableDiffusionPipeline, UNet2DConditionModel
from onnx import TensorProto, helper, numpy_helper
from transformers import CLIPTextModel, CLIPTokenizer

from .loop import say
from .networks import new_scheduler

OPSET = 18
SMALLEST_HALF = 256  # elements; smaller tensors (norms, biases) stay float32


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


def store_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Weights become float16 with a cast in front of each; ONNX Runtime folds the casts when it loads."""
    casts = []
    for tensor in list(model.graph.initializer):
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size >= SMALLEST_HALF:
            half = numpy_helper.from_array(values.astype(np.float16), tensor.name + '.f16')
            model.graph.initializer.remove(tensor)
            model.graph.initializer.append(half)
            casts.append(helper.make_node('Cast', [half.name], [tensor.name], name=f'cast.{tensor.name}', to=TensorProto.FLOAT))
    for node in reversed(casts):
        model.graph.node.insert(0, node)
    return model


def to_onnx(module, arguments, folder: str, inputs: list[str], outputs: list[str], dynamic: dict) -> None:
    os.makedirs(folder, exist_ok=True)
    path = f'{folder}/model.onnx'
    with torch.no_grad():
        torch.onnx.export(module.eval(), arguments, path, input_names=inputs, output_names=outputs, dynamic_axes=dynamic, opset_version=OPSET, dynamo=False)
    model = store_half(onnx.load(path))
    onnx.checker.check_model(model)
    onnx.save(model, path)
    say(f'export: {os.path.basename(folder)} {os.path.getsize(path) // 1024} KiB')


def tidy(folder: str, tokenizer: str, dtype: str) -> None:
    """The same files whoever exports them: the tokenizer's byte for byte, no local paths in configs, the true dtype."""
    shutil.rmtree(f'{folder}/tokenizer', ignore_errors=True)
    shutil.copytree(tokenizer, f'{folder}/tokenizer', copy_function=shutil.copyfile)
    for part in os.listdir(folder):
        path = f'{folder}/{part}/config.json'
        if os.path.exists(path):
            with open(path) as file:
                config = json.load(file)
            config.pop('_name_or_path', None)
            if 'dtype' in config:
                config['dtype'] = dtype
            with open(path, 'w') as file:
                file.write(json.dumps(config, indent=2, sort_keys=True) + '\n')


def pipeline(weights: str, model: str) -> StableDiffusionPipeline:
    """unet/ and text_encoder/ of `weights`, tokenizer/ and vae/ of `model`, all rounded to float16."""
    half = {'torch_dtype': torch.float16, 'low_cpu_mem_usage': False}
    pipe = StableDiffusionPipeline(
        vae=AutoencoderTiny.from_pretrained(f'{model}/vae', **half), unet=UNet2DConditionModel.from_pretrained(f'{weights}/unet', **half),
        text_encoder=CLIPTextModel.from_pretrained(f'{weights}/text_encoder', dtype=torch.float16, attn_implementation='eager'),
        tokenizer=CLIPTokenizer.from_pretrained(f'{model}/tokenizer'), scheduler=new_scheduler(), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def write_torch(pipe: StableDiffusionPipeline, out: str, tokenizer: str) -> None:
    shutil.rmtree(out, ignore_errors=True)
    pipe.save_pretrained(out)
    tidy(out, tokenizer, 'float16')


def write_onnx(pipe: StableDiffusionPipeline, out: str, tokenizer: str) -> None:
    """The diffusers/optimum folder; other files of `out` (limner.json, README.md, train/) stay. `pipe` must be float32."""
    os.makedirs(out, exist_ok=True)
    pipe.save_config(out)
    pipe.scheduler.save_pretrained(f'{out}/scheduler')
    text, unet, vae = pipe.text_encoder.eval(), pipe.unet.eval(), pipe.vae.eval()
    ids = pipe.tokenizer(['a castle', 'a boat'], padding='max_length', max_length=77, return_tensors='pt').input_ids
    batch, picture, tokens = {0: 'batch'}, {0: 'batch', 2: 'height', 3: 'width'}, {0: 'batch', 1: 'sequence'}
    sample = torch.randn(2, unet.config.in_channels, 32, 32)
    to_onnx(Text(text), (ids,), f'{out}/text_encoder', ['input_ids'], ['last_hidden_state', 'pooler_output'],
            {'input_ids': tokens, 'last_hidden_state': tokens, 'pooler_output': batch})
    to_onnx(Denoiser(unet), (sample, torch.tensor(5.0), torch.randn(2, 77, unet.config.cross_attention_dim)), f'{out}/unet',
            ['sample', 'timestep', 'encoder_hidden_states'], ['out_sample'], {'sample': picture, 'encoder_hidden_states': tokens, 'out_sample': picture})
    to_onnx(Encoder(vae), (torch.randn(2, 3, 256, 256),), f'{out}/vae_encoder', ['sample'], ['latent_sample'], {'sample': picture, 'latent_sample': picture})
    to_onnx(Decoder(vae), (torch.randn(2, 4, 32, 32),), f'{out}/vae_decoder', ['latent_sample'], ['sample'], {'latent_sample': picture, 'sample': picture})
    text.config.save_pretrained(f'{out}/text_encoder')
    unet.save_config(f'{out}/unet')
    for name in ('vae_encoder', 'vae_decoder'):
        vae.save_config(f'{out}/{name}')
    tidy(out, tokenizer, 'float32')
