"""Runs diffusers (PyTorch) or optimum-onnx for bench-engine.ts: one request a line on stdin, events as JSON on stdout.

Both take their weights from the ONNX files of the model folder, so that all engines compute with the same numbers.
"""

import argparse
import json
import os
import sys
import time

import numpy as np
import torch

parser = argparse.ArgumentParser()
parser.add_argument("--engine", choices=["diffusers", "optimum"], required=True)
parser.add_argument("--model", required=True)
parser.add_argument("--threads", type=int, required=True)
options = parser.parse_args()
torch.set_num_threads(options.threads)

# libraries write warnings to stdout, which belongs to the events
events = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def say(event, **values):
    print(json.dumps({"event": event, **values}), file=events, flush=True)


class Clock:
    """Milliseconds spent inside networks."""

    ms = 0.0


def timed(function):
    def run(*args, **kwargs):
        started = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            Clock.ms += (time.perf_counter() - started) * 1000

    return run


# how the inputs of an operator with weights are called in PyTorch, by position
PARAMETERS = {
    "Conv": {1: "weight", 2: "bias"},
    "Gemm": {1: "weight", 2: "bias"},
    "LayerNormalization": {1: "weight", 2: "bias"},
    "MatMul": {1: "weight"},
    "Gather": {0: "weight"},
    "Mul": {0: "weight", 1: "weight"},
    "Add": {0: "bias", 1: "bias"},
}


def torch_weights(path, shapes):
    """Parameters of a PyTorch module out of an exported graph: the operators are named after their modules.

    shapes: name -> shape of every parameter of the module.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(path).graph
    arrays = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    for node in graph.node:
        # weights are stored in half precision and cast when the graph is loaded, or as int8, cast and scaled
        if node.op_type == "Cast" and node.input[0] in arrays:
            arrays[node.output[0]] = arrays[node.input[0]].astype(np.float32)
        elif node.op_type == "Mul" and node.name.startswith("scale."):
            arrays[node.output[0]] = arrays[node.input[0]] * arrays[node.input[1]]
    found = {}
    for node in graph.node:
        for position, parameter in PARAMETERS.get(node.op_type, {}).items():
            if position >= len(node.input) or node.input[position] not in arrays:
                continue
            # '/u/down_blocks.0/resnets.0/conv1/Conv': prefix, modules, operator; lists repeat their own name
            scope = node.name.strip("/").split("/")[1:-1]
            value = arrays[node.input[position]].astype(np.float32)
            for name in {".".join(scope[i:]) + "." + parameter for i in range(len(scope))} | {
                ".".join(scope) + "." + parameter
            }:
                if name not in shapes or name in found:
                    continue
                fitted = value.T if node.op_type == "MatMul" else value
                if fitted.size == int(np.prod(shapes[name])):
                    found[name] = torch.from_numpy(np.ascontiguousarray(fitted).reshape(shapes[name]))
    for name, value in arrays.items():
        plain = name.removesuffix(".f16").split(".", 1)[-1]
        if plain in shapes and plain not in found and list(value.shape) == list(shapes[plain]):
            found[plain] = torch.from_numpy(value.astype(np.float32))
    return found


def fill(module, path):
    shapes = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    weights = torch_weights(path, shapes)
    missing = [name for name in shapes if name not in weights and "position_ids" not in name and "encoder." not in name[:8]]
    if missing:
        raise SystemExit(f"{path}: no weights found for {len(missing)} parameters, like {missing[:4]}")
    module.load_state_dict(weights, strict=False)
    return module.eval()


def config(part):
    with open(os.path.join(options.model, part, "config.json")) as file:
        return json.load(file)


def diffusers_pipeline():
    from diffusers import AutoencoderTiny, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    part = lambda name: os.path.join(options.model, name)
    text = fill(CLIPTextModel(CLIPTextConfig(**config("text_encoder"))), os.path.join(part("text_encoder"), "model.onnx"))
    unet = fill(UNet2DConditionModel.from_config(config("unet")), os.path.join(part("unet"), "model.onnx"))
    vae = fill(AutoencoderTiny.from_config(config("vae_decoder")), os.path.join(part("vae_decoder"), "model.onnx"))
    for module in (text, unet, vae.decoder):
        module.forward = timed(module.forward)
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=text,
        tokenizer=CLIPTokenizer.from_pretrained(part("tokenizer")),
        unet=unet,
        scheduler=DDIMScheduler.from_pretrained(part("scheduler")),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def optimum_pipeline():
    import onnxruntime
    from optimum.onnxruntime import ORTStableDiffusionPipeline

    session_options = onnxruntime.SessionOptions()
    session_options.intra_op_num_threads = options.threads
    onnxruntime.InferenceSession.run = timed(onnxruntime.InferenceSession.run)
    onnxruntime.InferenceSession.run_with_iobinding = timed(onnxruntime.InferenceSession.run_with_iobinding)
    return ORTStableDiffusionPipeline.from_pretrained(
        options.model, provider="CPUExecutionProvider", session_options=session_options, use_io_binding=False
    )


pipeline = diffusers_pipeline() if options.engine == "diffusers" else optimum_pipeline()
pipeline.set_progress_bar_config(disable=True)
say("ready")

for line in sys.stdin:
    request = json.loads(line)
    Clock.ms = 0.0
    latents = []
    started = time.perf_counter()

    def after_step(_pipeline, step, _timestep, values):
        if step == 0:
            say("first")
        if step == request["steps"] - 1:
            latents.append(values["latents"])
        return values

    n = request["n"]
    with torch.inference_mode():
        pipeline(
            [request["prompt"]] * n,
            num_inference_steps=request["steps"],
            guidance_scale=request["guidance"],
            width=request["width"],
            height=request["height"],
            generator=[torch.Generator().manual_seed(request["seed"] + i) for i in range(n)],
            callback_on_step_end=after_step,
            output_type="np",
        )
    total = (time.perf_counter() - started) * 1000
    last = np.asarray(latents[-1], dtype=np.float64)
    say("done", totalMs=total, insideMs=Clock.ms, latents=last[0].flatten().tolist())
