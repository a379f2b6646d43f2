"""Makes extra.json: more schedulers, class defaults and crop areas, computed with diffusers.

    pip install torch diffusers==0.39.0 numpy pillow scipy
    python make.py

Same stand-in for a network, same start and same fields as ../schedulers.json. Everything runs on the CPU in float32.
"""

import json
import os

import diffusers
import numpy as np
import torch
from diffusers.image_processor import VaeImageProcessor
from PIL import Image
from scipy.stats import beta

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
SHAPE = (1, 4, 4, 4)
CLASSES = {
    "ddim": "DDIMScheduler",
    "ddpm": "DDPMScheduler",
    "pndm": "PNDMScheduler",
    "euler": "EulerDiscreteScheduler",
    "euler_a": "EulerAncestralDiscreteScheduler",
    "heun": "HeunDiscreteScheduler",
    "lms": "LMSDiscreteScheduler",
    "dpmpp": "DPMSolverMultistepScheduler",
    "unipc": "UniPCMultistepScheduler",
    "lcm": "LCMScheduler",
    "flow": "FlowMatchEulerDiscreteScheduler",
}


def network(x, t):
    t = float(t)
    return 0.8 * torch.tanh(0.4 * x + 0.3 * np.sin(t / 97)) + 0.05 * torch.roll(x, 1, -1)


def rounded(x, digits=7):
    return [round(float(v), digits) for v in x]


def run(name, kind, config, steps, seed=11, start=0, plan=None, args=None):
    cls = getattr(diffusers, CLASSES[kind])
    scheduler = cls.from_config(config) if config else cls()
    plan, args = plan or {}, args or {}
    scheduler.set_timesteps(steps, **plan)
    generator = torch.Generator().manual_seed(seed)
    draw = torch.randn(SHAPE, generator=generator)
    record = {
        "id": name,
        "class": CLASSES[kind],
        "config": config,
        "steps": steps,
        "seed": seed,
        "set_timesteps": plan,
        "start_step": start,
        "step_args": args,
    }
    all_steps = scheduler.timesteps
    order = scheduler.order
    if start:
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(start * order)
        clean = torch.linspace(-1, 1, 64).reshape(SHAPE)
        t = all_steps[start * order : start * order + 1]
        sample = scheduler.scale_noise(clean, t, draw) if kind == "flow" else scheduler.add_noise(clean, draw, t)
        record["noised"] = rounded(sample.flatten())
    else:
        sample = draw if kind == "flow" else draw * scheduler.init_noise_sigma
    steps_args = dict(args)
    names = scheduler.step.__code__.co_varnames[: scheduler.step.__code__.co_argcount]
    if "generator" in names:
        steps_args["generator"] = generator
    first8 = []
    for t in all_steps[start * order :]:
        x = scheduler.scale_model_input(sample, t) if hasattr(scheduler, "scale_model_input") else sample
        try:
            sample = scheduler.step(network(x, t), t, sample, **steps_args).prev_sample
        except IndexError as error:
            raise RuntimeError(name) from error
        first8.append(rounded(sample.flatten()[:8]))
    record["timesteps"] = rounded(all_steps[start * order :], 5)
    record["init_noise_sigma"] = float(getattr(scheduler, "init_noise_sigma", 1.0))
    if getattr(scheduler, "sigmas", None) is not None and kind not in ("ddim", "ddpm", "pndm", "lcm"):
        record["sigmas"] = rounded(scheduler.sigmas)
    record["first8_per_step"] = first8
    record["final"] = rounded(sample.flatten())
    assert all(np.isfinite(record["final"])), name
    return record


def runs():
    # what each class does when a model's config says nothing
    for kind in CLASSES:
        config = {"skip_prk_steps": True} if kind == "pndm" else {}
        yield run(f"default-{kind}", kind, config, 7)
    shapes = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")
    for kind in ("euler", "heun", "lms", "dpmpp", "unipc"):
        for flag in shapes:
            yield run(f"{kind}-{flag}", kind, {**SD, flag: True}, 6)
    for flag in shapes:
        yield run(f"flow-{flag}", "flow", {"shift": 3.0, flag: True}, 5)
    for kind in ("ddim", "ddpm", "euler", "euler_a", "heun", "lms", "dpmpp", "unipc", "lcm"):
        config = {**SD, "prediction_type": "sample"}
        if kind not in ("euler_a", "lcm"):
            yield run(f"{kind}-sample", kind, config, 5)
        yield run(f"{kind}-one-step", kind, SD, 1)
        yield run(f"{kind}-two-steps", kind, SD, 2)
        yield run(f"{kind}-three-steps", kind, SD, 3)
    yield run("pndm-v", "pndm", {**SD, "skip_prk_steps": True, "prediction_type": "v_prediction"}, 6)
    yield run("pndm-one", "pndm", {**SD, "skip_prk_steps": True, "set_alpha_to_one": True, "steps_offset": 1}, 5)
    for kind in ("pndm", "lms"):
        yield run(f"{kind}-leading", kind, {**SD, "skip_prk_steps": True, "timestep_spacing": "leading", "steps_offset": 1}, 12)
    for kind in ("ddpm", "lms", "dpmpp"):
        yield run(f"{kind}-from-2", kind, {**SD, "algorithm_type": "sde-dpmsolver++"} if kind == "dpmpp" else SD, 7, start=2)
    for schedule in ("linear", "squaredcos_cap_v2"):
        for kind in ("ddpm", "dpmpp", "euler"):
            yield run(f"{kind}-{schedule}", kind, {"beta_schedule": schedule}, 5)
    yield run("ddim-trained", "ddim", {"trained_betas": list(np.linspace(0.001, 0.03, 100)), "num_train_timesteps": 100}, 5)
    yield run("ddpm-large", "ddpm", {**SD, "variance_type": "fixed_large"}, 6)
    yield run("ddpm-zero", "ddpm", {**SD, "rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}, 6)
    yield run("ddpm-range", "ddpm", {**SD, "clip_sample_range": 0.6}, 6)
    for kind in ("ddim", "ddpm", "dpmpp", "unipc", "lcm"):
        yield run(f"{kind}-threshold", kind, {**SD, "thresholding": True}, 5)
        wide = {"sample_max_value": 50.0}
        yield run(f"{kind}-threshold-wide", kind, {**SD, "thresholding": True, **wide}, 5)
        extra = {"dynamic_thresholding_ratio": 0.8, "sample_max_value": 1.2}
        yield run(f"{kind}-threshold-2", kind, {**SD, "thresholding": True, **extra}, 5)
    yield run("ddim-eta-half", "ddim", {**SD, "clip_sample": False, "steps_offset": 1}, 6, args={"eta": 0.5})
    yield run("ddim-clip-range", "ddim", {**SD, "clip_sample_range": 0.7}, 6)
    yield run("euler-range", "euler", {**SD, "use_karras_sigmas": True, "sigma_min": 0.1, "sigma_max": 9.0}, 6)
    yield run("euler-log", "euler", {**SD, "interpolation_type": "log_linear"}, 6)
    for kind in ("euler", "dpmpp", "unipc"):
        yield run(f"{kind}-sigma-min", kind, {**SD, "final_sigmas_type": "sigma_min"}, 6)
    yield run("heun-clip", "heun", {**SD, "clip_sample": True, "clip_sample_range": 0.5}, 5)
    yield run("heun-clip-default", "heun", {**SD, "clip_sample": True}, 5)
    yield run("euler-beyond", "euler", {**SD, "use_karras_sigmas": True, "sigma_min": 0.01, "sigma_max": 20.0}, 6)
    yield run("ddpm-offset", "ddpm", {**SD, "steps_offset": 1}, 5)
    yield run("lms-leading-default", "lms", {**SD, "timestep_spacing": "leading"}, 5)
    yield run("lcm-small", "lcm", {**SD, "num_train_timesteps": 100}, 50)
    yield run("ddpm-offset-large", "ddpm", {**SD, "steps_offset": 1, "variance_type": "fixed_large"}, 5)
    yield run("dpmpp-lu", "dpmpp", {**SD, "use_lu_lambdas": True}, 6)
    yield run("dpmpp-lambda", "dpmpp", {"beta_schedule": "squaredcos_cap_v2", "lambda_min_clipped": -5.1}, 6)
    # B1(h) is infinite on a step to noise level 0
    end = {"final_sigmas_type": "sigma_min"}
    for solver_order in (1, 2, 3):
        for steps in (5, 14, 15, 16):
            yield run(f"dpmpp-order-{solver_order}-{steps}", "dpmpp", {**SD, "solver_order": solver_order}, steps)
        yield run(f"unipc-order-{solver_order}", "unipc", {**SD, "solver_order": solver_order}, 7)
        yield run(f"unipc-bh1-{solver_order}", "unipc", {**SD, **end, "solver_order": solver_order, "solver_type": "bh1"}, 7)
    keep = {"final_sigmas_type": "sigma_min", "lower_order_final": False}
    yield run("dpmpp-full-order", "dpmpp", {**SD, **keep, "solver_order": 3}, 7)
    yield run("unipc-full-order", "unipc", {**SD, **keep, "solver_order": 3}, 7)
    yield run("dpmpp-euler-final", "dpmpp", {**SD, **keep, "euler_at_final": True}, 17)
    yield run("dpmpp-sde-heun", "dpmpp", {**SD, "algorithm_type": "sde-dpmsolver++", "solver_type": "heun"}, 7)
    yield run("dpmpp-sde-3", "dpmpp", {**SD, "algorithm_type": "sde-dpmsolver++", "solver_order": 3}, 17)
    yield run("unipc-no-corrector", "unipc", {**SD, "disable_corrector": [0, 2]}, 7)
    for kind in ("dpmpp", "unipc"):
        flow = {"prediction_type": "flow_prediction", "use_flow_sigmas": True}
        yield run(f"{kind}-flow", kind, {**flow, "flow_shift": 3.0}, 6)
        yield run(f"{kind}-flow-1", kind, flow, 6)
    yield run("lcm-original", "lcm", {**SD, "original_inference_steps": 40}, 5)
    yield run("lcm-scaling", "lcm", {**SD, "timestep_scaling": 0.01, "set_alpha_to_one": False}, 5)
    yield run("lcm-clip", "lcm", {**SD, "clip_sample": True, "clip_sample_range": 0.8}, 5)
    yield run("lcm-strength", "lcm", SD, 4, plan={"strength": 0.6})
    yield run("flow-dynamic-linear", "flow", {"use_dynamic_shifting": True, "time_shift_type": "linear"}, 6, plan={"mu": 2.1})
    yield run("flow-dynamic-terminal", "flow", {"use_dynamic_shifting": True, "shift_terminal": 0.02}, 6, plan={"mu": 0.8})
    yield run("flow-terminal", "flow", {"shift": 2.0, "shift_terminal": 0.1}, 6)
    yield run("flow-stochastic", "flow", {"shift": 3.0, "stochastic_sampling": True}, 5)


def crops():
    """diffusers' area around a mask: [mask box, size, padding, result]."""
    rng = np.random.default_rng(5)
    for _ in range(60):
        width, height = (int(v) * 8 for v in rng.integers(4, 20, 2))
        x, y = (int(rng.integers(0, side - 1)) for side in (width, height))
        w, h = int(rng.integers(1, width - x + 1)), int(rng.integers(1, height - y + 1))
        mask = np.zeros((height, width), np.uint8)
        mask[y : y + h, x : x + w] = 255
        pad = int(rng.integers(0, 24))
        area = VaeImageProcessor.get_crop_region(Image.fromarray(mask), width, height, pad=pad)
        yield {"mask": [x, y, w, h], "size": [width, height], "padding": pad, "area": [int(v) for v in area]}


def shifts():
    """Resolution-dependent shift of flow matching, as the pipelines compute it."""
    from diffusers.pipelines.flux.pipeline_flux import calculate_shift

    for tokens in (64, 256, 1024, 4096, 5000):
        yield {"tokens": tokens, "config": {}, "mu": calculate_shift(tokens)}
        config = {"base_image_seq_len": 128, "max_image_seq_len": 2048, "base_shift": 0.3, "max_shift": 1.4}
        yield {"tokens": tokens, "config": config, "mu": calculate_shift(tokens, 128, 2048, 0.3, 1.4)}


def quantiles():
    """Quantiles of Beta(a, b) from scipy."""
    for a, b in ((0.6, 0.6), (2.0, 3.0), (0.3, 4.0)):
        for p in (0.01, 0.1, 0.25, 0.5, 0.77, 0.9, 0.99):
            yield [p, a, b, float(beta.ppf(p, a, b))]


def pretty(records):
    return "[\n" + ",\n".join(json.dumps(r) for r in records) + "\n]"


if __name__ == "__main__":
    torch.set_num_threads(1)
    parts = {"runs": runs, "crops": crops, "shifts": shifts, "quantiles": quantiles}
    body = ",\n".join(f'"{name}": {pretty(list(make()))}' for name, make in parts.items())
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "extra.json")
    with open(path, "w") as file:
        file.write("{\n" + body + "\n}\n")
    print(path, {k: len(v) for k, v in json.load(open(path)).items()})
