# SPDX-License-Identifier: Apache-2.0
"""Reads a .tflite file into a graph. Whatever the bytes are: a graph, or one PlanError."""

from __future__ import annotations

import math
import struct
from collections.abc import Container, Sequence
from typing import Any

import numpy as np

from firmware_tools.errors import PlanError
from firmware_tools.plain_text import plain
from firmware_tools.plan import support
from firmware_tools.plan.graph import Array, Graph, Operator, Tensor, clipped, no_values
from firmware_tools.plan.support import refuse

MAX_TENSOR_BYTES = 1 << 24
_MAX_OPERATORS = 4096
_MAX_INPUTS = 64
_MAX_VECTOR = 1024
_MAX_TENSORS = 8192
_MAX_RANK = 5
_DTYPES = {"INT8": "int8", "INT32": "int32", "INT64": "int64", "FLOAT32": "float32", "UINT8": "uint8", "INT16": "int16"}
_CONVOLUTION = ("Padding", "StrideW", "StrideH", "DilationWFactor", "DilationHFactor", "FusedActivationFunction")
_POOL = ("Padding", "StrideW", "StrideH", "FilterWidth", "FilterHeight", "FusedActivationFunction")
# The schema's table of options of an operator, and which of its fields the lowering reads.
_OPTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "CONV_2D": ("Conv2DOptions", _CONVOLUTION),
    "DEPTHWISE_CONV_2D": ("DepthwiseConv2DOptions", (*_CONVOLUTION, "DepthMultiplier")),
    "FULLY_CONNECTED": ("FullyConnectedOptions", ("FusedActivationFunction", "WeightsFormat")),
    "ADD": ("AddOptions", ("FusedActivationFunction",)),
    "MUL": ("MulOptions", ("FusedActivationFunction",)),
    "AVERAGE_POOL_2D": ("Pool2DOptions", _POOL),
    "MAX_POOL_2D": ("Pool2DOptions", _POOL),
    "CONCATENATION": ("ConcatenationOptions", ("Axis", "FusedActivationFunction")),
    "SOFTMAX": ("SoftmaxOptions", ("Beta",)),
    "LEAKY_RELU": ("LeakyReluOptions", ("Alpha",)),
}
# What Python and flatbuffers raise when an offset or a length leads outside the file.
_MALFORMED = (struct.error, IndexError, KeyError, ValueError, TypeError, OverflowError, AttributeError)


def read(tflite: bytes, supported: Container[str]) -> Graph:
    """The graph of a .tflite file whose operators are of the `supported` kinds, schema names.

    Raises PlanError: not a readable file, operators that are not supported, or not one network of static shapes
    with one input and one output. Of several reasons it says the one that no other way to convert would mend.
    """
    schema = _schema()
    if tflite[4:8] != b"TFL3":
        raise PlanError("not a .tflite file: it has no TFL3 at byte 4; give the file that the converter wrote")
    try:
        return _Reader(schema, tflite).graph(supported)
    except _MALFORMED as error:
        raise PlanError(
            "malformed .tflite file, it cannot be read to its end: copy or convert it again",
            cause=type(error).__name__,
        ) from error


def _schema() -> Any:
    try:
        import tflite
    except ModuleNotFoundError as error:
        raise PlanError(f"reading a .tflite file needs the package {error.name}: pip install 'edgenas[mcu]'") from error
    return tflite


class _Reader:
    def __init__(self, schema: Any, tflite: bytes) -> None:
        self.schema = schema
        self.size = len(tflite)
        self.model = schema.Model.GetRootAsModel(tflite, 0)
        self.kinds = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
        self.types = {value: name for name, value in vars(schema.TensorType).items() if isinstance(value, int)}
        self.tensors: dict[int, Tensor] = {}

    def graph(self, supported: Container[str]) -> Graph:
        if self.model.Version() != 3:
            raise PlanError(f"schema version {self.model.Version()} is not supported: convert to version 3")
        if (graphs := self.model.SubgraphsLength()) == 0:
            raise PlanError("the model has no graph: convert it again")
        self.subgraph = self.model.Subgraphs(0)
        count = self.subgraph.OperatorsLength()
        if not 0 < count <= _MAX_OPERATORS:
            way = "split the model" if count else "convert it again"
            raise PlanError(f"the model has {count} operators: 1 to {_MAX_OPERATORS} are supported; {way}")
        operators = tuple(self._operator(index) for index in range(count))
        support.check_graph(operators)
        sources, results = (_integers(read()) for read in (self.subgraph.InputsAsNumpy, self.subgraph.OutputsAsNumpy))
        used, unused = support.split(operators, results)
        support.check_kinds(used, supported)
        if graphs != 1:
            raise PlanError(f"the model has {graphs} graphs, 1 is supported: convert one function (signature) alone")
        ends = _only("input", sources), _only("output", results)
        self._read_tensors(used, ends)
        _check_ends(self.tensors, used, *ends)
        _check_order(self.tensors, used, ends[0])
        return Graph(self.tensors, used, *ends, unused)

    def _read_tensors(self, operators: Sequence[Operator], ends: Sequence[int]) -> None:
        for tensor in ends:
            self._tensor(tensor)
        for operator in operators:
            if (count := len(operator.inputs)) > _MAX_INPUTS:
                raise refuse(operator, f"has {count} inputs: at most {_MAX_INPUTS} are supported; join fewer at a time")
            if (count := len(operator.outputs)) != 1:
                raise refuse(operator, f"has {count} outputs: 1 is supported; convert the model again")
            for tensor in (*operator.inputs, *operator.outputs):
                if tensor != -1:
                    self._tensor(tensor)

    def _operator(self, index: int) -> Operator:
        table = self.subgraph.Operators(index)
        code = self.model.OperatorCodes(self._below(table.OpcodeIndex(), self.model.OperatorCodesLength()))
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        kind = self.kinds.get(number, f"operator code {number}")
        inputs, outputs = _integers(table.InputsAsNumpy()), _integers(table.OutputsAsNumpy())
        custom = _text(code.CustomCode()) if kind == "CUSTOM" else ""
        return Operator(index, kind, inputs, outputs, self._options(kind, table), custom)

    def _options(self, kind: str, table: Any) -> dict[str, float]:
        if kind not in _OPTIONS or table.BuiltinOptions() is None:
            return {}
        name, fields = _OPTIONS[kind]
        if table.BuiltinOptionsType() != getattr(self.schema.BuiltinOptions, name):
            return {}
        options = getattr(self.schema, name)()
        union = table.BuiltinOptions()
        options.Init(union.Bytes, union.Pos)
        return {field: getattr(options, field)() for field in fields}

    def _tensor(self, index: int) -> None:
        if index in self.tensors:
            return
        if len(self.tensors) == _MAX_TENSORS:
            raise PlanError(f"the operators name more than {_MAX_TENSORS} tensors: split the model")
        table = self.subgraph.Tensors(self._below(index, self.subgraph.TensorsLength()))
        name = _text(table.Name())
        label = clipped(name)
        kind = self.types.get(table.Type(), f"type {table.Type()}")
        if table.IsVariable():
            raise PlanError(f"tensor {label} keeps state between inferences: export the model without streaming")
        if table.Sparsity() is not None:
            raise PlanError(f"tensor {label} is sparse: convert with dense weights")
        data = self._data(label, table, kind)
        shape = self._shape(label, table, data is not None)
        if data is not None:
            if data.size != math.prod(shape):
                raise PlanError(f"tensor {label} has {data.size} values for the shape {list(shape)}: convert it again")
            data = data.reshape(shape)
        scales, zero_points, axis = _quantization(label, table)
        dtype = _DTYPES.get(kind, kind)
        self.tensors[index] = Tensor(name, shape, dtype, scales, zero_points, axis, data)

    def _shape(self, name: str, table: Any, constant: bool) -> tuple[int, ...]:
        shape, signature = _integers(table.ShapeAsNumpy()), _integers(table.ShapeSignatureAsNumpy())
        if len(shape) > _MAX_RANK:
            raise PlanError(f"tensor {name} has {len(shape)} dimensions: at most {_MAX_RANK} are supported; join some")
        # A batch that is left open, with 1 as its value, is what converters write by default.
        open_sizes = [size for size in signature[1:] if size < 0] if len(signature) == len(shape) else []
        if not constant and (open_sizes or (signature[:1] == (-1,) and shape[:1] != (1,))):
            raise PlanError(
                f"tensor {name} has the dynamic shape {_sizes(signature)}: convert with fixed sizes, batch 1"
            )
        if any(size <= 0 for size in shape):
            raise PlanError(f"tensor {name} has the shape {list(shape)}: convert with fixed sizes of at least 1")
        if math.prod(shape) > MAX_TENSOR_BYTES:
            raise PlanError(
                f"tensor {name} has {math.prod(shape)} values: at most {MAX_TENSOR_BYTES} are supported; split it"
            )
        return shape

    def _data(self, name: str, table: Any, kind: str) -> Array | None:
        number = table.Buffer()
        if number == 0:
            return None
        buffer = self.model.Buffers(self._below(number, self.model.BuffersLength()))
        if buffer.Offset() > 1 or buffer.Size() > 1:
            raise PlanError(f"tensor {name} lies outside the flatbuffer: convert without external buffers")
        raw = buffer.DataAsNumpy()
        if isinstance(raw, int) or raw.size == 0:
            return None
        dtype = _DTYPES.get(kind)
        if dtype is None:
            raise PlanError(f"tensor {name} is a constant of type {kind}: quantise to int8 with int32 biases")
        values: Array = raw.view(np.dtype(dtype).newbyteorder("<"))  # no copy, and no alignment is needed
        return values

    def _below(self, index: int, count: int) -> int:
        if not 0 <= index < min(count, self.size):
            raise IndexError(index)
        return index


def _integers(vector: Any) -> tuple[int, ...]:
    """A vector of the file; flatbuffers gives 0 for one that is not there."""
    if isinstance(vector, int):
        return ()
    if vector.size > _MAX_VECTOR:
        raise ValueError(vector.size)
    return tuple(int(value) for value in vector)


def _text(text: bytes | None) -> str:
    """A text of the file, one line of at most 80 characters."""
    return plain((text or b"").decode("utf-8", "replace")[:80])[:80]


def _sizes(shape: tuple[int, ...]) -> str:
    """A shape, of which a file may give any number of sizes."""
    return str(list(shape)) if len(shape) <= _MAX_RANK else f"{str(list(shape[:_MAX_RANK]))[:-1]}, ...]"


def _only(what: str, indices: tuple[int, ...]) -> int:
    if len(indices) != 1:
        ways = {"input": "use a model with one", "output": "convert one model for each"}
        way = ways[what] if indices else "convert it again"
        raise PlanError(f"the model has {len(indices)} {what}s, 1 is supported: {way}")
    return indices[0]


def _quantization(name: str, table: Any) -> tuple[Array, Array, int]:
    quantization = table.Quantization()
    if quantization is None or isinstance(quantization.ScaleAsNumpy(), int):
        return no_values(), no_values(), 0
    if quantization.DetailsType() != 0:
        raise PlanError(f"tensor {name} has a custom quantisation: quantise with scales and zero points")
    scales = quantization.ScaleAsNumpy()
    points = quantization.ZeroPointAsNumpy()
    points = np.zeros(len(scales), np.int64) if isinstance(points, int) else points
    if len(points) == 1:
        points = np.broadcast_to(points, len(scales))
    if len(points) != len(scales):
        raise PlanError(f"tensor {name} has {len(scales)} scales and {len(points)} zero points: convert it again")
    # Denormal scales are the converter's way to say that a tensor is always 0.
    if not (np.isfinite(scales).all() and (scales > 0).all()):
        raise PlanError(f"tensor {name} has a scale that is not a positive number: quantise the model again")
    return scales, points, int(quantization.QuantizedDimension())


def _check_ends(tensors: dict[int, Tensor], operators: Sequence[Operator], source: int, result: int) -> None:
    """The input varies, and an operator computes the output."""
    if tensors[source].data is not None:
        raise PlanError(f"the model's input {tensors[source].label} is a constant: convert it again")
    output = f"the model's output {tensors[result].label}"
    if result == source:
        raise PlanError(f"{output} is its input, which no operator computes: convert it with a computed output")
    if tensors[result].data is not None:
        raise PlanError(f"{output} is a constant, which no operator computes: convert it with a computed output")
    if not operators:
        raise PlanError(f"{output} is what no operator writes: convert it again")


def _check_order(tensors: dict[int, Tensor], operators: Sequence[Operator], source: int) -> None:
    """Every activation is written once, before it is read."""
    written = {source}
    for operator in operators:
        for index in operator.inputs:
            if index != -1 and tensors[index].data is None and index not in written:
                label = tensors[index].label
                raise refuse(operator, f"reads tensor {label}, which nothing has written before: convert it again")
        (output,) = operator.outputs
        if tensors[output].data is not None:
            raise refuse(operator, f"writes the constant {tensors[output].label}: convert the model again")
        if output in written:
            raise refuse(operator, f"writes {tensors[output].label}, which is written already: convert the model again")
        written.add(output)
