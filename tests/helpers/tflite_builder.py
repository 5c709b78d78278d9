# SPDX-License-Identifier: Apache-2.0
"""Writes small .tflite files for tests, and runs them in TFLite Micro's interpreter, the oracle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

flatbuffers = pytest.importorskip("flatbuffers", reason="needs pip install 'edgenas[mcu]'")
tflite = pytest.importorskip("tflite", reason="needs pip install 'edgenas[mcu]'")

Array = npt.NDArray[Any]
_OPTIONS = {
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "ADD": "AddOptions",
    "MUL": "MulOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "CONCATENATION": "ConcatenationOptions",
    "SOFTMAX": "SoftmaxOptions",
    "LEAKY_RELU": "LeakyReluOptions",
    "MEAN": "ReducerOptions",
    "RESHAPE": "ReshapeOptions",
    "SQUEEZE": "SqueezeOptions",
    "QUANTIZE": "QuantizeOptions",
    "HARD_SWISH": "HardSwishOptions",
    "PAD": "PadOptions",
    "PADV2": "PadV2Options",
}


@dataclass
class T:
    """A tensor; `data` makes it a constant."""

    shape: Sequence[int]
    scale: float | Sequence[float] | None = 1.0
    zero_point: int = 0
    dtype: str = "int8"
    data: Array | None = None
    axis: int = 0
    signature: Sequence[int] | None = None


@dataclass
class Op:
    """An operator; options by the schema's names. A kind of "CUSTOM:NAME" is a custom operator of that name."""

    kind: str
    inputs: Sequence[int]
    outputs: Sequence[int]
    options: dict[str, Any] = field(default_factory=dict)


def constant(values: Any, scale: float | Sequence[float] | None = 1.0, dtype: str = "int8", axis: int = 0) -> T:
    array = np.array(values, dtype)
    return T(array.shape, scale, 0, dtype, array, axis)


def model(tensors: Sequence[T], ops: Sequence[Op], inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
    """The bytes of a .tflite file with one subgraph."""
    b = flatbuffers.Builder(1024)
    constants = [tensor.data for tensor in tensors if tensor.data is not None]
    buffers = [_buffer(b, data) for data in (None, *constants)]
    numbers = iter(range(1, len(tensors) + 1))
    described = [
        _tensor(b, index, tensor, next(numbers) if tensor.data is not None else 0)
        for index, tensor in enumerate(tensors)
    ]
    kinds = sorted({op.kind for op in ops})
    codes = [_code(b, *kind.partition(":")[::2]) for kind in kinds]
    operators = [_operator(b, kinds.index(op.kind), op) for op in ops]
    fields = [_offsets(b, described), _ints(b, inputs), _ints(b, outputs), _offsets(b, operators)]
    tflite.SubGraphStart(b)
    for add, value in zip(
        (tflite.SubGraphAddTensors, tflite.SubGraphAddInputs, tflite.SubGraphAddOutputs, tflite.SubGraphAddOperators),
        fields,
        strict=True,
    ):
        add(b, value)
    subgraphs = _offsets(b, [tflite.SubGraphEnd(b)])
    tables = _offsets(b, codes), _offsets(b, buffers)
    tflite.ModelStart(b)
    tflite.ModelAddVersion(b, 3)
    tflite.ModelAddOperatorCodes(b, tables[0])
    tflite.ModelAddSubgraphs(b, subgraphs)
    tflite.ModelAddBuffers(b, tables[1])
    b.Finish(tflite.ModelEnd(b), b"TFL3")
    return bytes(b.Output())


def run(tflite_bytes: bytes, x: Array) -> Array:
    """What TFLite Micro computes."""
    runtime = pytest.importorskip("tflite_micro", reason="tflite-micro has no wheel for this Python").runtime
    interpreter = runtime.Interpreter.from_bytes(tflite_bytes, arena_size=1 << 20)
    interpreter.set_input(x, 0)
    interpreter.invoke()
    return np.array(interpreter.get_output(0))


def _buffer(b: Any, data: Array | None) -> int:
    vector = None if data is None else b.CreateByteVector(np.ascontiguousarray(data).tobytes())
    tflite.BufferStart(b)
    if vector is not None:
        tflite.BufferAddData(b, vector)
    return int(tflite.BufferEnd(b))


def _tensor(b: Any, index: int, tensor: T, buffer: int) -> int:
    name, shape = b.CreateString(f"t{index}"), _ints(b, tensor.shape)
    signature = None if tensor.signature is None else _ints(b, tensor.signature)
    quantization = None
    if tensor.scale is not None:
        scales = np.atleast_1d(np.array(tensor.scale, np.float32))
        vectors = b.CreateNumpyVector(scales), b.CreateNumpyVector(np.full(len(scales), tensor.zero_point, np.int64))
        tflite.QuantizationParametersStart(b)
        tflite.QuantizationParametersAddScale(b, vectors[0])
        tflite.QuantizationParametersAddZeroPoint(b, vectors[1])
        tflite.QuantizationParametersAddQuantizedDimension(b, tensor.axis)
        quantization = tflite.QuantizationParametersEnd(b)
    tflite.TensorStart(b)
    tflite.TensorAddName(b, name)
    tflite.TensorAddShape(b, shape)
    tflite.TensorAddType(b, getattr(tflite.TensorType, tensor.dtype.upper()))
    tflite.TensorAddBuffer(b, buffer)
    if quantization is not None:
        tflite.TensorAddQuantization(b, quantization)
    if signature is not None:
        tflite.TensorAddShapeSignature(b, signature)
    return int(tflite.TensorEnd(b))


def _operator(b: Any, code: int, op: Op) -> int:
    inputs, outputs = _ints(b, op.inputs), _ints(b, op.outputs)
    options = None
    if (name := _OPTIONS.get(op.kind)) is not None:
        values = {key: _ints(b, value) if isinstance(value, list) else value for key, value in op.options.items()}
        getattr(tflite, f"{name}Start")(b)
        for key, value in values.items():
            getattr(tflite, f"{name}Add{key}")(b, value)
        options = getattr(tflite, f"{name}End")(b)
    tflite.OperatorStart(b)
    tflite.OperatorAddOpcodeIndex(b, code)
    tflite.OperatorAddInputs(b, inputs)
    tflite.OperatorAddOutputs(b, outputs)
    if options is not None:
        tflite.OperatorAddBuiltinOptionsType(b, getattr(tflite.BuiltinOptions, name))
        tflite.OperatorAddBuiltinOptions(b, options)
    return int(tflite.OperatorEnd(b))


def _code(b: Any, kind: str, custom: str) -> int:
    number, name = getattr(tflite.BuiltinOperator, kind), b.CreateString(custom) if custom else None
    tflite.OperatorCodeStart(b)
    if name is not None:
        tflite.OperatorCodeAddCustomCode(b, name)
    tflite.OperatorCodeAddDeprecatedBuiltinCode(b, min(number, 127))
    tflite.OperatorCodeAddVersion(b, 1)
    tflite.OperatorCodeAddBuiltinCode(b, number)
    return int(tflite.OperatorCodeEnd(b))


def _ints(b: Any, values: Sequence[int]) -> int:
    return int(b.CreateNumpyVector(np.array(values, np.int32)))


def _offsets(b: Any, values: Sequence[int]) -> int:
    b.StartVector(4, len(values), 4)
    for value in reversed(values):
        b.PrependUOffsetTRelative(value)
    return int(b.EndVector())
