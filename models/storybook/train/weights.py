"""Weights inside ONNX graphs: how they are stored, what they are called, and how they are read back as a state dict.

Stored as float16 a weight has a Cast in front; as int8 a Cast and a Mul by its scales. ONNX Runtime folds both when it
loads the file, so the arithmetic is float32 and takes no longer.
"""
import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

SMALLEST_HALF = 256  # elements; smaller tensors (norms, biases) stay float32
SMALLEST_INT8 = 4096  # elements; what is smaller is float16
LARGEST_INT8 = 127
SCALE_BITS = 11  # of a scale's mantissa: a scale times an int8 is then exact in float32


def quantise(values: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Symmetric int8, and a float32 scale for each place along `axis` (shaped to multiply with).

    Scales are rounded up to few bits, so that int8 · scale is exact, and quantising that again gives the same numbers.
    """
    others = tuple(i for i in range(values.ndim) if i != axis)
    largest = np.abs(values.astype(np.float64)).max(axis=others, keepdims=True)
    mantissa, exponent = np.frexp(np.where(largest == 0, 1, largest / LARGEST_INT8))
    scale = np.ldexp(np.ceil(mantissa * 2**SCALE_BITS) / 2**SCALE_BITS, exponent)
    return np.rint(values / scale).astype(np.int8), scale.astype(np.float32)


def is_stored_as_int8(values: np.ndarray) -> bool:
    return values.ndim >= 2 and values.size >= SMALLEST_INT8


def round_as_stored(module: torch.nn.Module, kind: str) -> None:
    """Parameters get the values that `store` will keep, in place and in float32.

    The output channel comes first in all that become int8: convolutions, linear layers, rows of an embedding.
    """
    for parameter in module.parameters():
        values = parameter.detach().float().numpy()
        if kind == 'int8' and is_stored_as_int8(values):
            small, scale = quantise(values, 0)
            parameter.data = torch.from_numpy(small * scale)
        else:
            parameter.data = parameter.data.half().float()


def users(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    """The first node that takes each value; casts and scales in front of weights count as part of the weight."""
    found = {}
    for node in model.graph.node:
        for name in node.input:
            found.setdefault(name, node)
    return found


def output_axis(user: onnx.NodeProto | None) -> int:
    """Where a weight has its output channels: the exporter transposes those of MatMul."""
    return 1 if user is not None and user.op_type == 'MatMul' else 0


def store(model: onnx.ModelProto, kind: str) -> onnx.ModelProto:
    """Weights become `float16`, or `int8` where they are large enough (the others float16)."""
    by, before = users(model), []
    for tensor in list(model.graph.initializer):
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < SMALLEST_HALF:
            continue
        name = tensor.name
        model.graph.initializer.remove(tensor)
        if kind == 'int8' and is_stored_as_int8(values):
            small, scale = quantise(values, output_axis(by.get(name)))
            model.graph.initializer.extend([numpy_helper.from_array(small, f'{name}.i8'), numpy_helper.from_array(scale, f'{name}.scale')])
            before += [helper.make_node('Cast', [f'{name}.i8'], [f'{name}.whole'], name=f'cast.{name}', to=TensorProto.FLOAT),
                       helper.make_node('Mul', [f'{name}.whole', f'{name}.scale'], [name], name=f'scale.{name}')]
        else:
            model.graph.initializer.append(numpy_helper.from_array(values.astype(np.float16), f'{name}.f16'))
            before.append(helper.make_node('Cast', [f'{name}.f16'], [name], name=f'cast.{name}', to=TensorProto.FLOAT))
    nodes = [*before, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def module_path(name: str, user: onnx.NodeProto | None) -> str:
    """The state dict's name of an initializer. The exporter renames what it transposes or reshapes (`onnx::MatMul_123`),
    but the node that takes it still says where it stands: `/unet/mid_block/attentions.0/proj_in/MatMul`."""
    if name.startswith('onnx::') and user is not None:
        *path, operation = user.name.strip('/').split('/')
        name = '.'.join([*path, 'bias' if operation.startswith('Add') else 'weight'])
    return name.partition('.')[2]


def name_after_modules(model: onnx.ModelProto, module: torch.nn.Module) -> onnx.ModelProto:
    """Gives every weight that the exporter renamed the name that it has in `module`."""
    by, known, new = users(model), set(module.state_dict()), {}
    for tensor in model.graph.initializer:
        path = module_path(tensor.name, by.get(tensor.name))
        if tensor.name.startswith('onnx::') and any(name.partition('.')[2] == path for name in known):
            new[tensor.name] = f'{by[tensor.name].name.strip("/").partition("/")[0]}.{path}'
            tensor.name = new[tensor.name]
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = new.get(name, name)
    return model


def read(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """What the graph computes with, float32, by the names of the state dict (without the wrapper's own first part)."""
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:  # in order: a cast comes before the scale that takes its result
        if all(name in stored for name in node.input):
            given = [stored[name] for name in node.input]
            if node.op_type == 'Cast' and node.name.startswith('cast.'):
                stored[node.output[0]] = given[0].astype(np.float32)
            elif node.op_type == 'Mul' and node.name.startswith('scale.'):
                stored[node.output[0]] = given[0] * given[1]
            elif node.op_type == 'Identity':
                stored[node.output[0]] = given[0]
    by, weights = users(model), {}
    for name, values in stored.items():
        user = by.get(name)
        if user is not None and values.dtype == np.float32 and not user.name.startswith('scale.'):
            weights[module_path(name, user)] = values.T if output_axis(user) == 1 else values
    return weights


def fill(module: torch.nn.Module, weights: dict[str, np.ndarray]) -> None:
    """Every parameter of `module` from `weights`; others there are ignored. Norms come as [c, 1, 1] and are flattened."""
    state = {}
    for name, parameter in module.state_dict().items():
        if name not in weights:
            raise KeyError(f'the graph has no weight {name}')
        state[name] = torch.from_numpy(np.array(weights[name])).reshape(parameter.shape)
    module.load_state_dict(state)
