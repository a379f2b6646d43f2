"""Makes a variant of a model folder: fused operators, half precision, or 8-bit weights.

Called by `limner models optimize`, with one JSON object as its argument:
    source, target   folders
    fuse, fp16, int8 what to do, in this order
    device           what the variant will run on: some fused operators exist for CUDA only
Prints one JSON object a line: {"component", "before", "after", "fused": {operator: count}} and at last {"done": true}.
With the argument "probe" it prints the versions of what it needs.

Fusion and half precision are those of onnxruntime.transformers, quantization that of onnxruntime.quantization (dynamic:
weights are stored as int8, activations are quantized while the model runs).
"""

import json
import os
import shutil
import sys
from pathlib import Path

# The graph of each component, and the fusions that belong to it.
COMPONENTS = {
    "text_encoder": "clip",
    "text_encoder_2": "clip",
    "text_encoder_3": None,
    "unet": "unet",
    "transformer": "mmdit",
    "vae_encoder": "vae",
    "vae_decoder": "vae",
}
# Above this size protobuf cannot hold the weights.
EXTERNAL_BYTES = 1_900_000_000
# Matrix products hold most weights of transformers. Convolutions stay: their 8-bit kernels are slower than float ones.
INT8_OPERATORS = ["MatMul", "Gemm"]
INT8_COMPONENTS = {"text_encoder", "text_encoder_2", "text_encoder_3", "unet", "transformer"}
# An autoencoder in half precision overflows for some models; the engine then decodes with this copy.
FULL_DECODER = "model_fp32.onnx"
FUSED = ("MultiHeadAttention", "Attention", "LayerNormalization", "SkipLayerNormalization", "GroupNorm", "SkipGroupNorm",
         "BiasSplitGelu", "BiasAdd", "FastGelu", "Gelu", "QuickGelu", "BiasGelu", "NhwcConv")


def probe():
    import numpy
    import onnx
    import onnxruntime

    import onnxruntime.quantization  # noqa: F401
    import onnxruntime.transformers.float16  # noqa: F401
    import onnxruntime.transformers.optimizer  # noqa: F401

    return {"python": sys.version.split()[0], "numpy": numpy.__version__, "onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__}


def bytes_of(folder):
    return sum(file.stat().st_size for file in folder.iterdir() if ".onnx" in file.name or file.suffix == ".pb")


def counts(model):
    found = {}
    for node in model.graph.node:
        if node.op_type in FUSED:
            found[node.op_type] = found.get(node.op_type, 0) + 1
    return found


def load(path):
    """The graph with its weights in full precision: some exports store halves and cast them on the way."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(str(path))
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    folded = []
    for node in model.graph.node:
        if node.op_type != "Cast" or node.input[0] not in weights or helper.get_node_attr_value(node, "to") != TensorProto.FLOAT:
            continue
        tensor = weights[node.input[0]]
        if tensor.data_type == TensorProto.FLOAT16:
            model.graph.initializer.append(numpy_helper.from_array(numpy_helper.to_array(tensor).astype("float32"), node.output[0]))
            folded.append(node)
    for node in folded:
        model.graph.node.remove(node)
    used = {name for node in model.graph.node for name in node.input} | {output.name for output in model.graph.output}
    for tensor in [tensor for tensor in model.graph.initializer if tensor.name not in used]:
        model.graph.initializer.remove(tensor)
    return model


def tolerate_new_numpy():
    """The optimizer turns an array of one number into an int, which numpy 2.4 refuses (onnxruntime 1.31)."""
    # The optimizer imports its parts as modules of their own, not as parts of a package.
    module = next(module for name, module in sys.modules.items() if name.endswith("fusion_attention_unet"))
    FusionAttentionUnet = module.FusionAttentionUnet
    if hasattr(FusionAttentionUnet, "limner"):
        return
    FusionAttentionUnet.limner = True
    original = FusionAttentionUnet.get_num_heads

    def get_num_heads(self, reshape_q, is_torch2=False):
        if not is_torch2:
            return original(self, reshape_q, is_torch2)
        parent = self.model.get_parent(reshape_q, 1)
        if parent is None or parent.op_type != "Concat" or len(parent.input) != 4:
            return 0
        value = self.model.get_constant_value(parent.input[2])
        return max(0, int(value.reshape(-1)[0])) if value is not None and value.size == 1 else 0

    FusionAttentionUnet.get_num_heads = get_num_heads


def fuse(folder, kind, device):
    """The fused graph. The optimizer reads a file, so the folded graph is written first."""
    import onnx
    from onnxruntime.transformers.fusion_options import FusionOptions
    from onnxruntime.transformers.optimizer import optimize_model

    options = FusionOptions(kind)
    if device != "cuda":
        # These operators have no kernel on other devices.
        for name in ("enable_group_norm", "enable_skip_group_norm", "enable_nhwc_conv", "enable_bias_splitgelu", "enable_bias_add",
                     "enable_packed_qkv", "enable_packed_kv"):
            if hasattr(options, name):
                setattr(options, name, False)
    tolerate_new_numpy()
    save(load(folder / "model.onnx"), folder)
    model = optimize_model(str(folder / "model.onnx"), model_type=kind, opt_level=0, optimization_options=options,
                           use_gpu=device == "cuda", only_onnxruntime=False).model
    if not any(entry.domain == "com.microsoft" for entry in model.opset_import):
        # Without it the quantizer's type inference refuses the fused operators.
        model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    return model


def halve(model):
    from onnxruntime.transformers.float16 import convert_float_to_float16

    # Inputs and outputs stay as they are, so that the variant takes what the original takes.
    return convert_float_to_float16(model, keep_io_types=True, disable_shape_infer=model.ByteSize() >= EXTERNAL_BYTES)


def save(model, folder, name="model.onnx"):
    import onnx

    for file in folder.iterdir():
        if file.name == name or file.name.startswith(f"{name}_data") or file.name.startswith(f"{name}.data"):
            file.unlink()
    large = sum(len(tensor.raw_data) for tensor in model.graph.initializer) >= EXTERNAL_BYTES
    onnx.save_model(model, str(folder / name), save_as_external_data=large, all_tensors_to_one_file=True, location=f"{name}_data")


def quantize(folder):
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    path = folder / "model.onnx"
    draft = folder / "quantized.onnx"
    large = bytes_of(folder) >= EXTERNAL_BYTES
    quantize_dynamic(str(path), str(draft), op_types_to_quantize=INT8_OPERATORS, per_channel=True, weight_type=QuantType.QInt8,
                     use_external_data_format=large, extra_options={"MatMulConstBOnly": True, "DefaultTensorType": onnx.TensorProto.FLOAT})
    save(onnx.load(str(draft)), folder)
    for file in folder.iterdir():
        if file.name.startswith("quantized.onnx"):
            file.unlink()


def drop_data(folder, name):
    """External data that the graph does not name any more."""
    import onnx

    model = onnx.load(str(folder / name), load_external_data=False)
    named = {entry.value for tensor in model.graph.initializer for entry in tensor.external_data if entry.key == "location"}
    for file in folder.iterdir():
        if (".onnx" in file.name or file.suffix == ".pb") and not file.name.endswith(".onnx") and file.name not in named:
            file.unlink()


def component(folder, kind, want):
    import onnx

    before = bytes_of(folder)
    changed = False
    model = None
    if want["fuse"] and kind is not None:
        model = fuse(folder, kind, want["device"])
        changed = True
    if want["fp16"]:
        model = model or load(folder / "model.onnx")
        if folder.name == "vae_decoder" and not (folder / FULL_DECODER).exists():
            save(load(folder / "model.onnx"), folder, FULL_DECODER)
        model = halve(model)
        changed = True
    quantizing = want["int8"] and folder.name in INT8_COMPONENTS
    if changed or quantizing:
        save(model or load(folder / "model.onnx"), folder)
    if quantizing:
        quantize(folder)
        changed = True
    if changed and not (folder / FULL_DECODER).exists():
        drop_data(folder, "model.onnx")
    fused = counts(onnx.load(str(folder / "model.onnx"), load_external_data=False))
    print(json.dumps({"component": folder.name, "before": before, "after": (folder / "model.onnx").stat().st_size + sum(
        file.stat().st_size for file in folder.iterdir() if file.name.startswith("model.onnx_data")), "fused": fused}), flush=True)


def main(want):
    source, target = Path(want["source"]), Path(want["target"])
    # Copies, through links: the original must not change with the variant.
    shutil.copytree(source, target, symlinks=False, ignore=shutil.ignore_patterns("torch", "*.safetensors", "*.bin", ".git"))
    for name, kind in COMPONENTS.items():
        folder = target / name
        if (folder / "model.onnx").exists():
            for file in folder.iterdir():
                os.chmod(file, 0o644)
            component(folder, kind, want)
    print(json.dumps({"done": True}), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "probe":
        print(json.dumps(probe()))
    else:
        main(json.loads(sys.argv[1]))
