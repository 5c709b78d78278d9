# SPDX-License-Identifier: Apache-2.0
"""Cuts a TFLite file into models of one operator each, which any runtime can time by themselves."""

from __future__ import annotations

import copy
import math
import struct
from dataclasses import dataclass
from typing import Any

from edgenas.conversion.repack import pack, repack
from edgenas.errors import ConversionError

# Their values are only data: an operator takes as long whatever they are. Those of other types are shapes, indices,
# conditions or handles, and noise in them means nothing.
_DATA = ("FLOAT32", "FLOAT16", "INT8", "UINT8", "INT16")
_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
_MALFORMED = (struct.error, IndexError, KeyError, ValueError, TypeError, OverflowError, AttributeError)


@dataclass(frozen=True)
class Piece:
    """One operator of a model, `index` in execution order.

    `tflite` is a model of it alone, or None and `reason` says why there is none; `within` is the index of the operator
    whose model has it in, if that is why. `macs` are None of an operator without weights.
    """

    index: int
    name: str
    output_shape: tuple[int, ...]
    macs: int | None
    tflite: bytes | None
    reason: str = ""
    within: int | None = None


def cut(tflite: bytes) -> tuple[Piece, ...]:
    """The operators of the model's main graph, in order.

    Each has its real weights, options, shapes and quantisation; what it reads of other operators becomes its inputs. A
    PAD stays with the one convolution that reads it: runtimes compute the two as one, and alone it takes longer.
    Raises ConversionError (check "structure") if the file cannot be read.
    """
    try:
        cutter = _Cutter(tflite)
        return tuple(cutter.piece(index) for index in range(len(cutter.graph.operators)))
    except _MALFORMED as error:
        message = f"the .tflite file is malformed ({type(error).__name__} while reading it): copy or convert it again"
        raise ConversionError(message, check="structure") from error


class _Cutter:
    def __init__(self, tflite: bytes) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema = schema
        self.model = schema.ModelT.InitFromPackedBuf(repack(tflite))
        self.graph = self.model.subgraphs[0]
        self.kinds = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
        self.types = {value: name for name, value in vars(schema.TensorType).items() if not name.startswith("_")}
        self.names = [self._name(operator) for operator in self.graph.operators]
        # From a PAD to the convolution that it stays with, and back.
        self.within = {index: reader for index in range(len(self.names)) if (reader := self._reader(index)) is not None}
        self.pads = {reader: index for index, reader in self.within.items()}

    def piece(self, index: int) -> Piece:
        operator, name = self.graph.operators[index], self.names[index]
        shape = self._shape(operator.outputs[0]) if len(operator.outputs) else ()
        macs = _macs(name, shape, [self._shape(tensor) for tensor in operator.inputs if tensor >= 0])
        if index in self.within:
            reader = self.within[index]
            reason = f"it is timed with {reader} {self.names[reader]}, as runtimes compute the two as one"
            return Piece(index, name, shape, macs, None, reason, reader)
        together = [self.graph.operators[self.pads[index]]] if index in self.pads else []
        together.append(operator)
        written = {int(tensor) for each in together for tensor in each.outputs}
        read = dict.fromkeys(int(tensor) for each in together for tensor in each.inputs if tensor >= 0)
        varying = [tensor for tensor in read if tensor not in written and not self._constant(tensor)]
        reason = self._reason(operator, varying)
        return Piece(index, name, shape, macs, None if reason else self._model(together, varying), reason)

    def _name(self, operator: Any) -> str:
        code = self.model.operatorCodes[operator.opcodeIndex]
        return str(self.kinds[max(code.builtinCode, code.deprecatedBuiltinCode)])

    def _reader(self, index: int) -> int | None:
        """The only operator that reads a PAD's output, if that is a convolution."""
        if self.names[index] != "PAD":
            return None
        output = self.graph.operators[index].outputs[0]
        readers = [at for at, operator in enumerate(self.graph.operators) if output in operator.inputs]
        if len(readers) != 1 or output in self.graph.outputs or self.names[readers[0]] not in _CONVOLUTIONS:
            return None
        return readers[0]

    def _reason(self, operator: Any, varying: list[int]) -> str:
        """Why an operator that reads the tensors `varying` cannot stand alone; "" if it can."""
        if operator.builtinOptions is not None and any(
            "ubgraphIndex" in name for name in vars(operator.builtinOptions)
        ):
            return "it runs another graph"
        tensors = [self.graph.tensors[tensor] for tensor in varying]
        if any(tensor.isVariable for tensor in tensors):
            return "it keeps a state"
        if not tensors:
            return "it reads constants alone"
        for tensor in tensors:
            if self.types[tensor.type] not in _DATA:
                return f"its input of type {self.types[tensor.type].lower()} is more than data"
        return ""

    def _model(self, operators: list[Any], varying: list[int]) -> bytes:
        schema, used = self.schema, dict.fromkeys(varying)
        for operator in operators:
            for part in _tensors(operator):
                used.update(dict.fromkeys(int(tensor) for tensor in part if tensor >= 0))
        place = {-1: -1, **{tensor: at for at, tensor in enumerate(used)}}  # -1: an input that is left out
        model, graph, buffers = schema.ModelT(), schema.SubGraphT(), [schema.BufferT()]
        graph.name, graph.tensors, graph.operators = "main", [], []
        for index in used:
            tensor = copy.copy(self.graph.tensors[index])
            if self._constant(index):
                buffers.append(self.model.buffers[tensor.buffer])
            tensor.buffer = len(buffers) - 1 if self._constant(index) else 0
            graph.tensors.append(tensor)
        for at, operator in enumerate(operators):
            only = copy.copy(operator)
            only.opcodeIndex = at
            parts = ([place[int(tensor)] for tensor in part] for part in _tensors(operator))
            only.inputs, only.outputs, only.intermediates = parts
            graph.operators.append(only)
        graph.inputs, graph.outputs = [place[tensor] for tensor in varying], graph.operators[-1].outputs
        model.version, model.subgraphs, model.buffers = self.model.version, [graph], buffers
        model.operatorCodes = [self.model.operatorCodes[operator.opcodeIndex] for operator in operators]
        return pack(model, sum(len(buffer.data) for buffer in buffers if buffer.data is not None))

    def _constant(self, tensor: int) -> bool:
        data = self.model.buffers[self.graph.tensors[tensor].buffer].data
        return data is not None and len(data) > 0

    def _shape(self, tensor: int) -> tuple[int, ...]:
        shape = self.graph.tensors[tensor].shape
        return () if shape is None else tuple(int(size) for size in shape)


def _tensors(operator: Any) -> tuple[Any, Any, Any]:
    return operator.inputs, operator.outputs, () if operator.intermediates is None else operator.intermediates


def _macs(name: str, output: tuple[int, ...], reads: list[tuple[int, ...]]) -> int | None:
    """Multiply-accumulates by the weights' shape, the second input's; None for an operator without weights."""
    if name not in (*_CONVOLUTIONS, "FULLY_CONNECTED") or len(reads) < 2:
        return None
    weights = reads[1]
    # Of one output: [out, height, width, in] and [out, in], but [1, height, width, out] if depthwise.
    each = math.prod(weights[1:3]) if name == "DEPTHWISE_CONV_2D" else math.prod(weights[1:])
    return math.prod(output) * each
