# SPDX-License-Identifier: Apache-2.0
"""A converted model's operators as the file itself says, in the words of `edgenas.spaces.layer.Layer`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema

_KINDS = {
    "CONV_2D": "conv",
    "DEPTHWISE_CONV_2D": "depthwise",
    "FULLY_CONNECTED": "dense",
    "ADD": "add",
    "PAD": "pad",
    "MEAN": "pool",
    "AVERAGE_POOL_2D": "pool",
}
_BYTES = {schema.TensorType.INT8: 1, schema.TensorType.FLOAT32: 4}


@dataclass(frozen=True)
class Operator:
    """`source` and `target` are (height, width, channels)."""

    kind: str
    source: tuple[int, int, int]
    target: tuple[int, int, int]
    kernel: int


def operators(tflite: bytes) -> list[Operator]:
    """In execution order, without RESHAPE, which moves nothing. An unknown operator is a KeyError."""
    model = schema.ModelT.InitFromPackedBuf(tflite)
    graph = model.subgraphs[0]
    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    found = []
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        name = names[max(code.builtinCode, code.deprecatedBuiltinCode)]
        if name == "RESHAPE":
            continue
        source, target = graph.tensors[operator.inputs[0]].shape, graph.tensors[operator.outputs[0]].shape
        kind, kernel = _KINDS[name], 1
        if kind in ("conv", "depthwise"):
            kernel = int(graph.tensors[operator.inputs[1]].shape[1])
            kind = "conv1x1" if kind == "conv" and kernel == 1 else kind
        found.append(Operator(kind, _hwc(source), _hwc(target), kernel))
    return found


def _hwc(shape: np.ndarray) -> tuple[int, int, int]:
    _, *rest = map(int, shape)
    height, width, channels = (1, 1, *rest)[-3:]
    return height, width, channels


def peak_bytes(tflite: bytes) -> int:
    """The largest sum of activations alive while one operator runs; constants are not activations."""
    graph = schema.ModelT.InitFromPackedBuf(tflite).subgraphs[0]
    alive = {int(tensor) for tensor in graph.inputs}
    activations = alive | {int(tensor) for operator in graph.operators for tensor in operator.outputs}
    size = {
        tensor: int(np.prod(graph.tensors[tensor].shape)) * _BYTES[graph.tensors[tensor].type] for tensor in activations
    }
    last = {int(tensor): index for index, operator in enumerate(graph.operators) for tensor in operator.inputs}
    last.update({int(tensor): len(graph.operators) for tensor in graph.outputs})
    peak = 0
    for index, operator in enumerate(graph.operators):
        alive |= {int(tensor) for tensor in operator.outputs}
        peak = max(peak, sum(size[tensor] for tensor in alive))
        alive = {tensor for tensor in alive if last.get(tensor, -1) > index}
    return peak
