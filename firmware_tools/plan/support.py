# SPDX-License-Identifier: Apache-2.0
"""Which of a model's operators its output needs, and what to use instead of those that the engine does not run."""

from __future__ import annotations

from collections.abc import Container, Sequence

from firmware_tools.errors import PlanError
from firmware_tools.plan.graph import Operator

# The one that says most to whoever wrote the model first: VAR_HANDLE makes what the others use.
_STATE = ("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE")
_OTHER_GRAPHS = ("IF", "WHILE", "CALL", "STABLEHLO_WHILE", "STABLEHLO_COMPOSITE")
_ANY = "use convolutions, FULLY_CONNECTED, ADD, MUL, pools, MEAN, CONCATENATION or an activation"
_STABLEHLO = "convert to TFLite's own operators"
_NEAREST = {
    "TRANSPOSE_CONV": "enlarge before the network, or use a CONV_2D on a smaller output",
    "RESIZE_BILINEAR": "enlarge before the network",
    "RESIZE_NEAREST_NEIGHBOR": "enlarge before the network",
    "SUB": "fold the sign into the weights before it and use ADD",
    "DIV": "multiply by the reciprocal with MUL",
    "SUM": "use MEAN, and scale the weights behind it",
    "REDUCE_MAX": "use MAX_POOL_2D over the whole input",
    "PRELU": "use LEAKY_RELU or RELU",
    "ELU": "use RELU, LEAKY_RELU or HARD_SWISH",
    "GELU": "use RELU or HARD_SWISH",
    "BATCH_MATMUL": "use FULLY_CONNECTED with constant weights",
    "DEQUANTIZE": "quantise to int8 throughout, inputs and outputs too",
    "TRANSPOSE": "keep channels last throughout",
    "STRIDED_SLICE": "use a stride or VALID padding in the convolution before it",
    "SLICE": "use a stride or VALID padding in the convolution before it",
    "SPLIT": "use two convolutions on the same input",
    "ARG_MAX": "end the model before it; the largest output is the class",
    "CONV_3D": "use CONV_2D",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "use convolutions over time",
    "UNIDIRECTIONAL_SEQUENCE_RNN": "use convolutions over time",
    "SVDF": "use a DEPTHWISE_CONV_2D over time",
    "CUSTOM": "replace it by built-in operators before converting",
}
_NEAREST_CUSTOM = {  # of other compilers' output, which is no use to this one
    "ethos-u": "give the file from before Vela compiled it",
    "edgetpu-custom-op": "give the file from before the Edge TPU compiler",
}


def refuse(operator: Operator, problem: str, **fields: object) -> PlanError:
    """The error that names an operator; `problem` says the value and the next step."""
    message = f"operator {operator.index} ({operator.label}) {problem}"
    return PlanError(message, operator=operator.index, name=operator.kind, **fields)


def check_graph(operators: Sequence[Operator]) -> None:
    """Raise PlanError for operators with which a model is more than one graph that computes its output anew each time.

    Whether the output needs them is not asked: what they do is not in the tensors that they write.
    """
    for kind in _STATE:
        for operator in operators:
            if operator.kind == kind:
                raise refuse(
                    operator,
                    "keeps state between inferences, which the engine does not: export the model without streaming, "
                    "with its whole window as input",
                )
    for operator in operators:
        if operator.kind in _OTHER_GRAPHS:
            raise refuse(operator, "runs another graph, which the engine does not: convert without control flow")


def split(operators: Sequence[Operator], outputs: Sequence[int]) -> tuple[tuple[Operator, ...], tuple[Operator, ...]]:
    """The operators that the tensors `outputs` need and those whose results nothing reads, each in their order.

    An operator whose results only such operators read is one of them.
    """
    writers: dict[int, list[Operator]] = {}
    for operator in operators:
        for tensor in operator.outputs:
            writers.setdefault(tensor, []).append(operator)
    needed: set[int] = set()
    tensors = list(outputs)
    while tensors:
        for operator in writers.pop(tensors.pop(), ()):
            if operator.index not in needed:
                needed.add(operator.index)
                tensors += [tensor for tensor in operator.inputs if tensor != -1]
    return (
        tuple(operator for operator in operators if operator.index in needed),
        tuple(operator for operator in operators if operator.index not in needed),
    )


def check_kinds(operators: Sequence[Operator], supported: Container[str]) -> None:
    """Raise PlanError for an operator that is not supported, however the model is converted.

    Another way to convert it removes DEQUANTIZE: types of inputs and outputs are checked first.
    """
    for operator in operators:
        if operator.kind != "DEQUANTIZE":
            check_kind(operator, supported)


def check_kind(operator: Operator, supported: Container[str]) -> None:
    """Raise PlanError for an operator that is not supported; says the nearest that is."""
    if operator.kind not in supported:
        other = _STABLEHLO if operator.kind.startswith("STABLEHLO_") else _ANY
        nearest = _NEAREST_CUSTOM.get(operator.custom) or _NEAREST.get(operator.kind, other)
        raise refuse(operator, f"is not supported: {nearest}")
