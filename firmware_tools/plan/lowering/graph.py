# SPDX-License-Identifier: Apache-2.0
"""The lowering of a whole graph, operator by operator.

Each function of a module's `LOWERINGS` takes one TFLite operator and appends what it becomes to a `Lowering`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from firmware_tools.errors import PlanError
from firmware_tools.plan.fold import fold_pads
from firmware_tools.plan.graph import Graph, Operator
from firmware_tools.plan.lowering import elementwise, move, weights
from firmware_tools.plan.lowering.context import Lowering, Step, roots
from firmware_tools.plan.quantization import unquantised
from firmware_tools.plan.support import check_kind

_LOWERINGS: Mapping[str, Callable[[Lowering, Operator], None]] = {
    **weights.LOWERINGS,
    **elementwise.LOWERINGS,
    **move.LOWERINGS,
}


def kinds() -> frozenset[str]:
    """The operators that there is a lowering for, by schema name."""
    return frozenset(_LOWERINGS)


def lower(graph: Graph) -> tuple[list[Step], dict[int, int]]:
    """The plan's operators in the graph's order, and the buffer (a tensor's index) of every activation.

    Raises PlanError: an operator or an option that the engine does not have; says the nearest that it has.
    """
    graph = fold_pads(graph)
    shared = roots(graph)
    _check_batch(graph)
    result = Lowering(graph, shared)
    for operator in graph.operators:
        check_kind(operator, _LOWERINGS)
        _LOWERINGS[operator.kind](result, operator)
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
