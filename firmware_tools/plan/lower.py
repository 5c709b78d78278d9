"""From a graph to the operators of a plan, their arena fields still 0: `steps`.

Each function of `_LOWERINGS` takes one TFLite operator and appends what it becomes to a `Lowering`. Reshapes become
nothing: their output is the same buffer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from firmware_tools.errors import PlanError
from firmware_tools.plan import fixed_point
from firmware_tools.plan import operators as plan
from firmware_tools.plan.fold import fold_pads
from firmware_tools.plan.graph import Array, Graph, Operator, Tensor
from firmware_tools.plan.support import check_kind, refuse

MAX_PLAN_BYTES = 1 << 26
_MAX_STEPS = 16384
RESHAPES = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
ACTIVATIONS = {0: (None, None), 1: (0.0, None), 2: (-1.0, 1.0), 3: (0.0, 6.0)}


@dataclass(frozen=True)
class Place:
    """Where a step reads or writes: `at` bytes into a buffer."""

    buffer: int
    at: int = 0


@dataclass(frozen=True)
class Step:
    """One operator of the plan, what its arena fields refer to, and what it came from."""

    operator: plan.Operator
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
        operator: plan.Operator,
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


def check_int8(operator: Operator, tensor: Tensor, what: str) -> Tensor:
    """The tensor, if it is int8 with one scale and zero point."""
    if tensor.dtype != "int8":
        raise refuse(
            operator,
            f"has the {what} {tensor.label} of type {tensor.dtype}: quantise to int8 throughout, inputs, outputs too",
            dtype=tensor.dtype,
        )
    if (problem := unquantised(tensor)) is not None:
        raise refuse(operator, f"has the {what} {tensor.label} with {problem}: quantise the model again")
    return tensor


def unquantised(tensor: Tensor) -> str | None:
    """What an int8 tensor has in place of one scale and an int8 zero point; None if it has those."""
    if len(tensor.scales) != 1:
        return f"{len(tensor.scales)} scales in place of 1" if len(tensor.scales) else "no scale"
    point = int(tensor.zero_points[0])
    return None if -128 <= point <= 127 else f"the zero point {point}, not one of -128 to 127"


def quantization(tensor: Tensor) -> tuple[float, int]:
    """Scale (a float32's value) and zero point of an activation."""
    return float(tensor.scales[0]), int(tensor.zero_points[0])


def clamp(operator: Operator, output: Tensor) -> tuple[int, int]:
    """Lowest and highest output under the fused activation, as CalculateActivationRangeQuantized."""
    number = int(operator.options.get("FusedActivationFunction", 0))
    if number not in ACTIVATIONS:
        raise refuse(operator, f"has the fused activation {number}: use none, RELU, RELU6 or RELU_N1_TO_1")
    scale, zero_point = np.float32(output.scales[0]), int(output.zero_points[0])
    bounds = []
    for real, limit in zip(ACTIVATIONS[number], (-128, 127), strict=True):
        with np.errstate(over="ignore"):
            steps = 0.0 if real is None else float(np.float32(real) / scale)
        if abs(steps) > 2**31:
            raise refuse(
                operator, f"has the output scale {float(scale):g}: its activation does not fit an int32; quantise again"
            )
        bounds.append(limit if real is None else zero_point + fixed_point.round_away(steps))
    return max(-128, bounds[0]), min(127, bounds[1])


def requantize(operator: Operator, real: float) -> tuple[int, int]:
    """A quantised multiplier whose shift the engine can apply."""
    multiplier, shift = fixed_point.quantize_multiplier(real) if math.isfinite(real) else (0, 99)
    if shift > 30:
        raise refuse(operator, f"rescales by {real:g}: at most 2^30 is supported; quantise the model again")
    return multiplier, shift


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


def _lowerings() -> Mapping[str, Callable[[Lowering, Operator], None]]:
    from firmware_tools.plan import lower_elementwise, lower_move, lower_weights

    return {**lower_weights.LOWERINGS, **lower_elementwise.LOWERINGS, **lower_move.LOWERINGS}


def kinds() -> frozenset[str]:
    """The operators that there is a lowering for, by schema name."""
    return frozenset(_lowerings())


def steps(graph: Graph) -> tuple[list[Step], dict[int, int]]:
    """The plan's operators in the graph's order, and the buffer (a tensor's index) of every activation.

    Raises PlanError: an operator or an option that the engine does not have; says the nearest that it has.
    """
    lowerings = _lowerings()
    graph = fold_pads(graph)
    shared = roots(graph)
    _check_batch(graph)
    result = Lowering(graph, shared)
    for operator in graph.operators:
        check_kind(operator, lowerings)
        lowerings[operator.kind](result, operator)
    return result.steps, shared


def _check_batch(graph: Graph) -> None:
    for what, index in (("input", graph.input), ("output", graph.output)):
        tensor = graph.tensors[index]
        named = f"the model's {what} {tensor.label}"
        if tensor.dtype != "int8":
            raise PlanError(
                f"{named} is {tensor.dtype}: convert with full integer quantisation, int8 inputs and outputs",
                dtype=tensor.dtype,
            )
        if (problem := unquantised(tensor)) is not None:
            raise PlanError(f"{named} has {problem}: convert with full integer quantisation")
        if len(tensor.shape) > 1 and tensor.shape[0] != 1:
            raise PlanError(f"{named} has the shape {list(tensor.shape)}: convert it with batch 1", shape=tensor.shape)
