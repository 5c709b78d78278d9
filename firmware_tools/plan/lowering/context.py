# SPDX-License-Identifier: Apache-2.0
"""From a graph to the operators of a plan, their arena fields still 0: `steps`.

Each function of `_LOWERINGS` takes one TFLite operator and appends what it becomes to a `Lowering`. Reshapes become
nothing: their output is the same buffer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from firmware_tools.plan import wire
from firmware_tools.plan.graph import Array, Graph, Operator, Tensor
from firmware_tools.plan.quantization import check_int8
from firmware_tools.plan.support import refuse

MAX_PLAN_BYTES = 1 << 26
_MAX_STEPS = 16384
RESHAPES = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")


@dataclass(frozen=True)
class Place:
    """Where a step reads or writes: `at` bytes into a buffer."""

    buffer: int
    at: int = 0


@dataclass(frozen=True)
class Step:
    """One operator of the plan, what its arena fields refer to, and what it came from."""

    operator: wire.Operator
    reads: Mapping[str, Place]
    writes: Place
    source: Operator
    shape: tuple[int, ...]  # of the output
    macs: int = 0


@dataclass
class Lowering:
    """What the lowering of one graph has come to."""

    graph: Graph
    roots: Mapping[int, int]  # which tensor's buffer holds a tensor
    steps: list[Step] = field(default_factory=list)
    constant_bytes: int = 0

    def tensor(self, operator: Operator, index: int) -> Tensor:
        """Input `index` of an operator."""
        if index >= len(operator.inputs) or operator.inputs[index] == -1:
            raise refuse(operator, f"lacks its input {index}: convert the model again")
        return self.graph.tensors[operator.inputs[index]]

    def optional(self, operator: Operator, index: int) -> Tensor | None:
        """Input `index` of an operator, if it has one."""
        if index >= len(operator.inputs) or operator.inputs[index] == -1:
            return None
        return self.graph.tensors[operator.inputs[index]]

    def constant(self, operator: Operator, index: int, what: str, dtype: str) -> Array:
        """The values of input `index`, which has to be a constant."""
        tensor = self.tensor(operator, index)
        if tensor.data is None or tensor.dtype != dtype:
            way = "make them constant" if tensor.data is None else "quantise to int8 throughout"
            kind = "computed" if tensor.data is None else tensor.dtype
            raise refuse(operator, f"has {kind} {what}: {dtype} constants are supported; {way}")
        return tensor.data

    def activation(self, operator: Operator, index: int) -> Tensor:
        """Input `index`, which has to be an int8 activation."""
        tensor = self.tensor(operator, index)
        if tensor.data is not None:
            raise refuse(operator, f"has a constant as its input {index}: let the converter fold constants")
        return check_int8(operator, tensor, "input")

    def output(self, operator: Operator) -> Tensor:
        """The output, which has to be int8."""
        return check_int8(operator, self.graph.tensors[operator.outputs[0]], "output")

    def add(
        self,
        source: Operator,
        operator: wire.Operator,
        reads: Mapping[str, int | Place],
        at: int = 0,
        macs: int = 0,
        constant_bytes: int = 0,
    ) -> None:
        """Append a step; `reads` are inputs of `source` by number, or places."""
        self.constant_bytes += constant_bytes
        if self.constant_bytes > MAX_PLAN_BYTES:
            raise refuse(source, f"takes the constants over {MAX_PLAN_BYTES} bytes: use fewer weights")
        if len(self.steps) == _MAX_STEPS:
            raise refuse(source, f"takes the plan over {_MAX_STEPS} steps: join or pad along fewer positions")
        places = {
            name: what if isinstance(what, Place) else Place(self.roots[source.inputs[what]])
            for name, what in reads.items()
        }
        output = source.outputs[0]
        shape = self.graph.tensors[output].shape
        self.steps.append(Step(operator, places, Place(self.roots[output], at), source, shape, macs))


def roots(graph: Graph) -> dict[int, int]:
    """The tensor whose buffer each activation shares; a reshape of the input into the output stays a copy."""
    result = {graph.input: graph.input}
    for operator in graph.operators:
        (output,) = operator.outputs
        result[output] = output
        if operator.kind in RESHAPES and operator.inputs and operator.inputs[0] in result:
            root = result[operator.inputs[0]]
            if not (output == graph.output and root == graph.input):
                result[output] = root
    return result
