"""Reads a .tflite file into a graph. Whatever the bytes are: a graph, or one PlanError."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from firmware_tools.errors import PlanError
from firmware_tools.plan.graph import Array, Graph, Operator, Tensor, no_values

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


def read(tflite: bytes) -> Graph:
    """The graph of a .tflite file.

    Raises PlanError: not a readable file, or not one network of static shapes with one input and one output.
    """
    schema = _schema()
    if tflite[4:8] != b"TFL3":
        raise PlanError("not a .tflite file: it has no TFL3 at byte 4; give the file that the converter wrote")
    try:
        return _Reader(schema, tflite).graph()
    except _MALFORMED as error:
        raise PlanError(
            f"malformed .tflite file ({type(error).__name__} while reading it): copy or convert it again",
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

    def graph(self) -> Graph:
        if self.model.Version() != 3:
            raise PlanError(f"schema version {self.model.Version()} is not supported: convert to version 3")
        if (count := self.model.SubgraphsLength()) != 1:
            raise PlanError(f"the model has {count} subgraphs, 1 is supported: convert it without control flow")
        self.subgraph = self.model.Subgraphs(0)
        ends = [self._end("input", self.subgraph.InputsAsNumpy), self._end("output", self.subgraph.OutputsAsNumpy)]
        count = self.subgraph.OperatorsLength()
        if not 0 < count <= _MAX_OPERATORS:
            raise PlanError(f"the model has {count} operators: 1 to {_MAX_OPERATORS} are supported")
        operators = tuple(self._operator(index) for index in range(count))
        for index in ends:
            self._tensor(index)
        _check_order(self.tensors, operators, *ends)
        return Graph(self.tensors, operators, *ends)

    def _end(self, what: str, read: Callable[[], Any]) -> int:
        indices = _integers(read())
        if len(indices) != 1:
            raise PlanError(f"the model has {len(indices)} {what}s, 1 is supported: split it")
        return indices[0]

    def _operator(self, index: int) -> Operator:
        table = self.subgraph.Operators(index)
        code = self.model.OperatorCodes(self._below(table.OpcodeIndex(), self.model.OperatorCodesLength()))
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        kind = self.kinds.get(number, f"operator code {number}")
        inputs, outputs = _integers(table.InputsAsNumpy()), _integers(table.OutputsAsNumpy())
        if len(inputs) > _MAX_INPUTS or len(outputs) != 1:
            raise PlanError(
                f"operator {index} ({kind}) has {len(inputs)} inputs and {len(outputs)} outputs: at most "
                f"{_MAX_INPUTS} and exactly 1 are supported",
                operator=index,
                name=kind,
            )
        for tensor in (*inputs, *outputs):
            if tensor != -1:
                self._tensor(tensor)
        return Operator(index, kind, inputs, outputs, self._options(kind, table))

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
        name = (table.Name() or b"").decode("utf-8", "replace")[:80]
        name = "".join(letter if letter.isprintable() else "?" for letter in name)
        kind = self.types.get(table.Type(), f"type {table.Type()}")
        data = self._data(name, table, kind)
        shape = self._shape(name, table, data is not None)
        if data is not None:
            if data.size != math.prod(shape):
                raise PlanError(f"tensor {name} has {data.size} values for the shape {list(shape)}: convert it again")
            data = data.reshape(shape)
        if table.IsVariable() or table.Sparsity() is not None:
            raise PlanError(f"tensor {name} is a variable or sparse: convert without state and with dense weights")
        scales, zero_points, axis = _quantization(name, table)
        dtype = _DTYPES.get(kind, kind)
        self.tensors[index] = Tensor(name, shape, dtype, scales, zero_points, axis, data)

    def _shape(self, name: str, table: Any, constant: bool) -> tuple[int, ...]:
        shape, signature = _integers(table.ShapeAsNumpy()), _integers(table.ShapeSignatureAsNumpy())
        if len(shape) > _MAX_RANK:
            raise PlanError(f"tensor {name} has {len(shape)} dimensions: at most {_MAX_RANK} are supported")
        # A batch that is left open, with 1 as its value, is what converters write by default.
        open_sizes = [size for size in signature[1:] if size < 0] if len(signature) == len(shape) else []
        if not constant and (open_sizes or (signature[:1] == (-1,) and shape[:1] != (1,))):
            raise PlanError(f"tensor {name} has the dynamic shape {list(signature)}: convert with fixed sizes, batch 1")
        if any(size <= 0 for size in shape):
            raise PlanError(f"tensor {name} has the shape {list(shape)}: convert with fixed sizes of at least 1")
        if math.prod(shape) > MAX_TENSOR_BYTES:
            raise PlanError(f"tensor {name} has {math.prod(shape)} values: at most {MAX_TENSOR_BYTES} are supported")
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


def _check_order(tensors: dict[int, Tensor], operators: tuple[Operator, ...], source: int, result: int) -> None:
    """Every activation is written once, before it is read."""
    written = {source}
    if tensors[source].data is not None:
        raise PlanError("the model's input is a constant: convert it again")
    for operator in operators:
        where = {"operator": operator.index, "name": operator.kind}
        for index in operator.inputs:
            if index != -1 and tensors[index].data is None and index not in written:
                raise PlanError(
                    f"operator {operator.index} ({operator.kind}) reads tensor {tensors[index].name}, which nothing "
                    "has written before: convert the model again",
                    **where,
                )
        (output,) = operator.outputs
        if output in written or output == -1 or tensors[output].data is not None:
            raise PlanError(
                f"operator {operator.index} ({operator.kind}) writes a constant, or what is written already: convert "
                "the model again",
                **where,
            )
        written.add(output)
    if result == source or result not in written:
        raise PlanError("no operator writes the model's output: convert it again")
