# SPDX-License-Identifier: Apache-2.0
"""Random int8 networks out of everything that the engine runs: branches that join, chains of operators whose results
nothing reads, an output that others read on, reshapes, and any order in which the operators can run.

`generate(seed)` gives the same network for the same seed; what TFLite Micro computes for it is `expected`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from helpers.tflite_builder import Array, Op, T, constant, model, run

_MOST_VALUES = 3000  # of a tensor
_SAME, _VALID = 0, 1


@dataclass(frozen=True)
class RandomGraph:
    """`kinds` of all operators in the file's order; `unused` are the indices of those that the output does not need.

    `read_on`: whether another operator reads the output. `inputs` are int8 [n, ...]: noise and the extremes.
    """

    tflite: bytes
    kinds: tuple[str, ...]
    unused: tuple[int, ...]
    read_on: bool
    inputs: Array


def generate(seed: int) -> RandomGraph:
    """A network of 2 to 20 operators, and those that join them."""
    rng = np.random.default_rng(seed)
    net = _Net(rng)
    count = int(rng.integers(2, 21))
    while len(net.ops) < count:
        net.grow()
    if rng.random() < 0.7:
        _join(net)
    output = _output(rng, net.ops)
    if rng.random() < 0.5:
        _read_on(net, output)
    ops = _some_order(rng, net.ops) if rng.random() < 0.5 else net.ops
    needed = _needed(ops, output)
    places = rng.permutation(len(net.tensors)).tolist()
    tensors = [tensor for _, tensor in sorted(zip(places, net.tensors, strict=True), key=lambda pair: pair[0])]
    renamed = [replace(op, inputs=[places[i] for i in op.inputs], outputs=[places[op.outputs[0]]]) for op in ops]
    shape = tuple(net.tensors[0].shape)
    return RandomGraph(
        model(tensors, renamed, [places[0]], [places[output]]),
        tuple(op.kind for op in ops),
        tuple(index for index in range(len(ops)) if index not in needed),
        any(output in op.inputs for op in ops),
        np.stack([*rng.integers(-128, 128, (2, *shape)), np.full(shape, -128), np.full(shape, 127)]).astype(np.int8),
    )


def expected(graph: RandomGraph) -> Array:
    """TFLite Micro's outputs [n, values]."""
    return np.stack([run(graph.tflite, row).reshape(-1) for row in graph.inputs])


def _output(rng: np.random.Generator, ops: Sequence[Op]) -> int:
    """Mostly the tensor that the most operators are needed for, else any."""
    if rng.random() < 0.75:
        return int(max((op.outputs[0] for op in ops), key=lambda output: len(_needed(ops, output))))
    return int(rng.choice([op.outputs[0] for op in ops]))


def _some_order(rng: np.random.Generator, ops: Sequence[Op]) -> list[Op]:
    """One of the orders in which the operators can run."""
    writers = {op.outputs[0]: index for index, op in enumerate(ops)}
    left, found = set(range(len(ops))), []
    while left:
        ready = [index for index in sorted(left) if not any(writers.get(i) in left for i in ops[index].inputs)]
        found.append(int(rng.choice(ready)))
        left.remove(found[-1])
    return [ops[index] for index in found]


def _needed(ops: Sequence[Op], output: int) -> set[int]:
    """The operators, by index, that `output` is computed with."""
    tensors, needed = {output}, set()
    for index in reversed(range(len(ops))):
        if ops[index].outputs[0] in tensors:
            needed.add(index)
            tensors.update(ops[index].inputs)
    return needed


class _Net:
    """A network that grows; tensor 0 is its input. CONCATENATION needs tensors that share scale and zero point."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.shared = [
            (float(np.float32(rng.uniform(0.03, 0.3))), int(rng.choice([-128, -11, 0, 7]))) for _ in range(2)
        ]
        self.tensors: list[T] = []
        self.activations: list[int] = []
        self.preferred = -1  # an activation that is picked wherever it fits
        self.ops: list[Op] = []
        self.write(self._input_shape())

    def _input_shape(self) -> tuple[int, ...]:
        if self.rng.random() < 0.1:
            return 1, self.size(40)
        tall = self.rng.random() < 0.1  # several strips of a depthwise convolution
        return 1, self.size(40 if tall else 10), self.size(10), self.size(6)

    def size(self, most: int) -> int:
        return int(self.rng.integers(1, most + 1))

    def pick(self, fits: Callable[[T], bool] = lambda tensor: True) -> int:
        """An activation, a recent one more often; -1 if none fits."""
        found = [index for index in self.activations if fits(self.tensors[index])]
        if self.preferred in found:
            return self.preferred
        return found[-1 - min(int(self.rng.exponential(2)), len(found) - 1)] if found else -1

    def pick_image(self) -> int:
        """One of [1, height, width, channels]."""
        return self.pick(lambda tensor: len(tensor.shape) == 4)

    def write(self, shape: Sequence[int], quantisation: tuple[float, int] | None = None) -> int:
        """A new activation, with a shared quantisation unless one is given."""
        scale, zero_point = quantisation or self.shared[self.rng.integers(len(self.shared))]
        self.tensors.append(T(tuple(shape), scale, zero_point))
        self.activations.append(len(self.tensors) - 1)
        return self.activations[-1]

    def constant(self, tensor: T) -> int:
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def activation(self) -> int:
        return int(self.rng.choice([0, 0, 0, 1, 1, 2, 3]))

    def grow(self) -> None:
        """One operator more, or two, or none if what it wants is not there."""
        _KINDS[int(self.rng.integers(len(_KINDS)))](self)

    def add(self, kind: str, inputs: Sequence[int], output: int, **options: Any) -> int:
        self.ops.append(Op(kind, list(inputs), [output], options))
        return output


def _like(tensor: T) -> tuple[float, int]:
    return float(np.float32(tensor.scale)), tensor.zero_point


def _out(size: int, kernel: int, stride: int, padding: int) -> int:
    return -(-size // stride) if padding == _SAME else (size - kernel) // stride + 1


def _weights(net: _Net, shape: tuple[int, ...], axis: int, source: T, output: int) -> tuple[int, int]:
    """Weights and biases with which the output is neither constant nor all at its limits."""
    channels, products = shape[axis], math.prod(shape) // shape[axis]
    spread = 73 * 73 * math.sqrt(products)  # of an accumulator, with int8 at random on both sides
    in_scale, out_scale = _like(source)[0], _like(net.tensors[output])[0]
    count = channels if net.rng.random() < 0.5 else 1
    scales = 50 * out_scale / (in_scale * spread) * np.exp(net.rng.uniform(-1, 1, count))
    values = net.rng.integers(-127, 128, shape)
    weights = net.constant(constant(values, scales.astype(np.float32).tolist(), axis=axis))
    biases = net.rng.integers(-spread, spread, channels)
    return weights, net.constant(constant(biases, (in_scale * scales).tolist(), "int32"))


def _window(net: _Net, shape: Sequence[int], padding: int) -> tuple[tuple[int, int], int, list[int]]:
    """A kernel, one stride for both ways, and the height and width that follow."""
    kernel = tuple(min(net.size(4), size) for size in shape[1:3])
    stride = net.size(2)
    return kernel, stride, [_out(size, k, stride, padding) for size, k in zip(shape[1:3], kernel, strict=True)]


def _conv(net: _Net, source: int = -1, padding: int = -1) -> None:
    source = net.pick_image() if source < 0 else source
    if source < 0:
        return
    tensor, padding = net.tensors[source], int(net.rng.integers(2)) if padding < 0 else padding
    kernel, stride, sizes = _window(net, tensor.shape, padding)
    deep = net.rng.random() < 0.5
    channels = net.size(8) if deep else tensor.shape[3] * net.size(2)
    if math.prod(sizes) * channels > _MOST_VALUES:
        return
    output = net.write((1, *sizes, channels))
    shape = (channels, *kernel, tensor.shape[3]) if deep else (1, *kernel, channels)
    weights, biases = _weights(net, shape, 0 if deep else 3, tensor, output)
    options = {"Padding": padding, "FusedActivationFunction": net.activation(), "StrideH": stride, "StrideW": stride}
    options |= {"DilationHFactor": 1, "DilationWFactor": 1}
    inputs = [source, weights, biases][: 2 if deep and net.rng.random() < 0.2 else 3]
    if deep:
        net.add("CONV_2D", inputs, output, **options)
    else:
        net.add("DEPTHWISE_CONV_2D", inputs, output, **options, DepthMultiplier=channels // tensor.shape[3])


def _dense(net: _Net) -> None:
    source = net.pick()
    tensor = net.tensors[source]
    flat = net.rng.random() < 0.6
    inputs = math.prod(tensor.shape) if flat else tensor.shape[-1]
    outputs = net.size(12)
    shape = (1, outputs) if flat else (*tensor.shape[:-1], outputs)
    if math.prod(shape) > _MOST_VALUES or inputs > 1000:
        return
    output = net.write(shape)
    weights, biases = _weights(net, (outputs, inputs), 0, tensor, output)
    fused = net.activation()
    net.add("FULLY_CONNECTED", [source, weights, biases], output, FusedActivationFunction=fused, KeepNumDims=not flat)


def _dense_of(net: _Net, source: int, outputs: int, quantisation: tuple[float, int]) -> int:
    tensor, output = net.tensors[source], net.write((1, outputs), quantisation)
    weights, biases = _weights(net, (outputs, math.prod(tensor.shape)), 0, tensor, output)
    return net.add("FULLY_CONNECTED", [source, weights, biases], output)


def _binary(net: _Net) -> None:
    """ADD or MUL: of two branches, of a tensor and itself, over channels, or with a constant."""
    kind = str(net.rng.choice(["ADD", "MUL"]))
    first = net.pick()
    tensor = net.tensors[first]
    form = str(net.rng.choice(["branch", "branch", "branch", "channels", "itself", "constant"]))
    if form == "constant":
        shape = [tensor.shape, tensor.shape[-1:], (1,)][net.rng.integers(3)]
        second = net.constant(T(shape, 0.05, 3, data=net.rng.integers(-128, 128, shape).astype(np.int8)))
    elif form == "itself":
        second = first
    else:
        wanted = (*(1 for _ in tensor.shape[1:]), tensor.shape[-1]) if form == "channels" else tensor.shape
        second = net.pick(lambda other: tuple(other.shape) == tuple(wanted) and other is not tensor)
    if second < 0:
        return
    inputs = [first, second] if net.rng.random() < 0.5 else [second, first]
    product = 60 * _like(tensor)[0] * _like(net.tensors[second])[0]
    output = net.write(tensor.shape, (product, 5) if kind == "MUL" else None)
    net.add(kind, inputs, output, FusedActivationFunction=net.activation())


def _pool(net: _Net) -> None:
    if (source := net.pick_image()) < 0:
        return
    tensor, padding = net.tensors[source], int(net.rng.integers(2))
    kernel, stride, sizes = _window(net, tensor.shape, padding)
    output = net.write((1, *sizes, tensor.shape[3]), _like(tensor))
    options = {"Padding": padding, "StrideH": stride, "StrideW": stride, "FusedActivationFunction": net.activation()}
    kind = str(net.rng.choice(["AVERAGE_POOL_2D", "MAX_POOL_2D"]))
    net.add(kind, [source], output, **options, FilterHeight=kernel[0], FilterWidth=kernel[1])


def _mean(net: _Net) -> None:
    if (source := net.pick_image()) < 0:
        return
    tensor, keep = net.tensors[source], bool(net.rng.integers(2))
    shape = (1, 1, 1, tensor.shape[3]) if keep else (1, tensor.shape[3])
    output = net.write(shape, _like(tensor) if net.rng.random() < 0.5 else None)
    net.add("MEAN", [source, net.constant(constant([1, 2], None, "int32"))], output, KeepDims=keep)


def _pad(net: _Net) -> int:
    source = net.pick()
    tensor = net.tensors[source]
    pads = [[0, 0], *(net.rng.integers(0, 3, 2).tolist() for _ in tensor.shape[1:])]
    if len(pads) == 4 and net.rng.random() < 0.7:
        pads[3] = [0, 0]  # as in front of a convolution
    shape = [size + sum(pair) for size, pair in zip(tensor.shape, pads, strict=True)]
    if math.prod(shape) > _MOST_VALUES:
        return -1
    inputs = [source, net.constant(constant(pads, None, "int32"))]
    other = net.rng.random() < 0.3
    if other:
        inputs.append(net.constant(T((1,), *_like(tensor), data=np.array([net.rng.integers(-128, 128)], np.int8))))
    return net.add("PADV2" if other else "PAD", inputs, net.write(shape, _like(tensor)))


def _pad_and_conv(net: _Net) -> None:
    padded = _pad(net)
    if padded >= 0 and len(net.tensors[padded].shape) == 4:
        _conv(net, padded, _VALID)


def _concatenation(net: _Net) -> None:
    source = net.pick()
    tensor = net.tensors[source]
    axis = int(net.rng.integers(1, len(tensor.shape)))

    def joins(other: T) -> bool:
        shape = [*other.shape[:axis], tensor.shape[axis], *other.shape[axis + 1 :]]
        same_rank = len(other.shape) == len(tensor.shape)  # one without the axis would come out as long
        return same_rank and shape == list(tensor.shape) and _like(other) == _like(tensor)

    inputs = [source, *(net.pick(joins) for _ in range(net.size(2)))]
    shape = list(tensor.shape)
    shape[axis] = sum(net.tensors[index].shape[axis] for index in inputs)
    if math.prod(shape) <= _MOST_VALUES:
        net.rng.shuffle(inputs)
        net.add("CONCATENATION", inputs, net.write(shape, _like(tensor)), Axis=axis)


def _join(net: _Net) -> None:
    """Up to eight results that nothing reads yet, each through a dense layer, become one tensor."""
    read = {index for op in net.ops for index in op.inputs}
    loose = [index for index in net.activations if index not in read and math.prod(net.tensors[index].shape) <= 1000]
    results = [_dense_of(net, source, 3, net.shared[0]) for source in loose[:8]]
    if results:
        net.add("CONCATENATION", results, net.write((1, 3 * len(results)), net.shared[0]), Axis=1)


def _read_on(net: _Net, output: int) -> None:
    """A chain of operators behind the output, as a SOFTMAX behind the logits: mostly such as can work in place."""
    net.preferred = output
    for _ in range(net.size(3)):
        before = len(net.ops)
        kinds = (_softmax, _function, _function, _binary, _reshape, _Net.grow)
        kinds[int(net.rng.integers(len(kinds)))](net)
        if len(net.ops) > before:
            net.preferred = net.ops[-1].outputs[0]


def _reshape(net: _Net) -> None:
    """To two or four dimensions, one dimension more, or without those of size 1."""
    source = net.pick()
    tensor, kind = net.tensors[source], str(net.rng.choice(["RESHAPE", "RESHAPE", "EXPAND_DIMS", "SQUEEZE"]))
    options: dict[str, Any] = {}
    if kind == "EXPAND_DIMS" and len(tensor.shape) < 4:
        at = int(net.rng.integers(1, len(tensor.shape) + 1))
        shape: tuple[int, ...] = (*tensor.shape[:at], 1, *tensor.shape[at:])
        more = [net.constant(constant([at], None, "int32"))]
    elif kind == "SQUEEZE" and 1 in tensor.shape[1:] and len(tensor.shape) > 2:
        at = 1 + tensor.shape[1:].index(1)
        shape, more = (*tensor.shape[:at], *tensor.shape[at + 1 :]), []
        options["SqueezeDims"] = [at]
    else:
        kind, shape = "RESHAPE", _other_shape(net, math.prod(tensor.shape))
        more = [net.constant(constant(list(shape), None, "int32"))]
    net.add(kind, [source, *more], net.write(shape, _like(tensor)), **options)


def _other_shape(net: _Net, values: int) -> tuple[int, ...]:
    if net.rng.random() < 0.4:
        return 1, values
    channels = int(net.rng.choice([size for size in range(1, 9) if values % size == 0]))
    height = int(net.rng.choice([size for size in range(1, 9) if values // channels % size == 0]))
    return 1, height, values // channels // height, channels


def _softmax(net: _Net) -> None:
    # TFLite Micro's interpreter aborts where 512 values or more are nearly equal: it shifts by more than 31 bits.
    source = net.pick(lambda tensor: tensor.shape[-1] <= 256)
    if source >= 0:
        net.add("SOFTMAX", [source], net.write(net.tensors[source].shape, (1 / 256, -128)), Beta=1.0)


def _function(net: _Net) -> None:
    kind = str(net.rng.choice(["RELU", "RELU6", "LEAKY_RELU", "LOGISTIC", "TANH", "HARD_SWISH", "QUANTIZE"]))
    source = net.pick()
    tensor = net.tensors[source]
    fixed = {"LOGISTIC": (1 / 256, -128), "TANH": (1 / 128, 0), "RELU6": _like(tensor)}
    options = {"Alpha": float(net.rng.choice([0.1, 0.3, -0.2]))} if kind == "LEAKY_RELU" else {}
    net.add(kind, [source], net.write(tensor.shape, fixed.get(kind)), **options)


# What there is most of in networks comes more often.
_KINDS: tuple[Callable[[_Net], Any], ...] = (
    *(_conv, _conv, _conv, _binary, _binary, _binary, _function, _function, _reshape, _concatenation, _concatenation),
    *(_dense, _pool, _mean, _pad, _pad_and_conv, _softmax),
)
