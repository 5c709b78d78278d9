# SPDX-License-Identifier: Apache-2.0
"""Reads what a TFLite file says about itself: inputs, outputs, operators, buffers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgenas.artifacts.artifact import Tensor
from edgenas.errors import ConversionError


@dataclass(frozen=True)
class OperatorInfo:
    """One operator in execution order: its schema name, and the indices (into the list) of the operators it reads."""

    name: str
    reads: tuple[int, ...]


@dataclass(frozen=True)
class ModelInfo:
    """What a one-input, one-output model holds; `external_bytes` are weights stored outside the flatbuffer."""

    input: Tensor
    output: Tensor
    operators: tuple[OperatorInfo, ...]
    parameters: int
    external_bytes: int

    @property
    def operator_names(self) -> list[str]:
        """The different operators, sorted."""
        return sorted({operator.name for operator in self.operators})


def describe(tflite: bytes) -> ModelInfo:
    """Read the file. `parameters` counts the values of its weights and biases, not shapes or pads.

    Raises ConversionError (check "structure") if it is no TFLite file or has several graphs, inputs or outputs.
    """
    from ai_edge_litert import schema_py_generated as schema

    if tflite[4:8] != b"TFL3":
        raise ConversionError("this is not a TFLite file", check="structure")
    model = schema.ModelT.InitFromPackedBuf(tflite)
    graph = model.subgraphs[0]
    counts = (len(model.subgraphs), len(graph.inputs), len(graph.outputs))
    if counts != (1, 1, 1):
        message = "the model has {} graphs, {} inputs and {} outputs; edgenas converts models with one of each"
        raise ConversionError(message.format(*counts), check="structure")
    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    writer: dict[int, int] = {}
    operators = []
    for index, operator in enumerate(graph.operators):
        code = model.operatorCodes[operator.opcodeIndex]
        reads = tuple(sorted({writer[tensor] for tensor in operator.inputs if tensor in writer}))
        operators.append(OperatorInfo(names[max(code.builtinCode, code.deprecatedBuiltinCode)], reads))
        writer.update(dict.fromkeys(operator.outputs, index))
    return ModelInfo(
        input=_tensor(graph.tensors[graph.inputs[0]]),
        output=_tensor(graph.tensors[graph.outputs[0]]),
        operators=tuple(operators),
        parameters=_parameters(model, graph, names),
        external_bytes=sum(buffer.size for buffer in model.buffers if buffer.offset > 1),
    )


def _tensor(tensor: Any) -> Tensor:
    from ai_edge_litert import schema_py_generated as schema

    kinds = {value: name.lower() for name, value in vars(schema.TensorType).items() if not name.startswith("_")}
    quantised = tensor.quantization is not None and tensor.quantization.scale is not None
    return Tensor(
        shape=tuple(int(size) for size in tensor.shape),
        dtype=kinds[tensor.type],
        scale=float(tensor.quantization.scale[0]) if quantised else 0.0,
        zero_point=int(tensor.quantization.zeroPoint[0]) if quantised else 0,
    )


def _parameters(model: Any, graph: Any, names: dict[int, str]) -> int:
    """Values in the constants that operators with weights, and ADD and MUL, read."""
    constant = set()
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        name = names[max(code.builtinCode, code.deprecatedBuiltinCode)]
        if name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "MUL"):
            constant |= {
                tensor for tensor in operator.inputs if tensor >= 0 and _holds_data(model, graph.tensors[tensor])
            }
    total = 0
    for tensor in constant:
        count = 1
        for size in graph.tensors[tensor].shape:
            count *= int(size)
        total += count
    return total


def _holds_data(model: Any, tensor: Any) -> bool:
    buffer = model.buffers[tensor.buffer]
    return buffer.offset > 1 or (buffer.data is not None and len(buffer.data) > 0)
