# SPDX-License-Identifier: Apache-2.0
"""A PAD in front of a convolution becomes the convolution's own padding: neither time nor memory for a copy."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from firmware_tools.plan.graph import Graph, Operator

_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
_VALID = 1


def fold_pads(graph: Graph) -> Graph:
    """The graph without the PADs whose only reader is a convolution that can do it; its options say PadTop and so on.

    The values are the same: both fill with the zero point.
    """
    uses = Counter(index for operator in graph.operators for index in operator.inputs)
    uses[graph.output] += 1
    readers = {operator.inputs[0]: operator for operator in graph.operators if operator.inputs}
    changed: dict[int, Operator] = {}
    dropped: set[int] = set()
    for operator in graph.operators:
        pads = _pads(graph, operator)
        reader = readers.get(operator.outputs[0])
        if pads is None or reader is None or uses[operator.outputs[0]] != 1 or not _takes(graph, reader, pads):
            continue
        options = {**reader.options, "PadTop": pads[0], "PadBottom": pads[1], "PadLeft": pads[2], "PadRight": pads[3]}
        changed[reader.index] = replace(reader, inputs=(operator.inputs[0], *reader.inputs[1:]), options=options)
        dropped.add(operator.index)
    kept = [operator for operator in graph.operators if operator.index not in dropped]
    return replace(graph, operators=tuple(changed.get(operator.index, operator) for operator in kept))


def _pads(graph: Graph, operator: Operator) -> tuple[int, int, int, int] | None:
    """Top, bottom, left and right of a PAD that fills height and width with the zero point."""
    if operator.kind != "PAD" or len(operator.inputs) != 2 or -1 in operator.inputs:
        return None
    source, amounts = (graph.tensors[index] for index in operator.inputs)
    output = graph.tensors[operator.outputs[0]]
    if amounts.data is None or amounts.dtype != "int32" or amounts.shape != (4, 2) or len(source.shape) != 4:
        return None
    if source.data is not None or source.dtype != "int8" or output.dtype != "int8" or len(source.scales) != 1:
        return None
    if source.scales.tolist() != output.scales.tolist() or source.zero_points.tolist() != output.zero_points.tolist():
        return None
    batch, height, width, channels = amounts.data.tolist()
    sizes = [size + sum(pair) for size, pair in zip(source.shape, amounts.data.tolist(), strict=True)]
    if batch != [0, 0] or channels != [0, 0] or min(*height, *width) < 0 or sizes != list(output.shape):
        return None
    return height[0], height[1], width[0], width[1]


def _takes(graph: Graph, reader: Operator, pads: tuple[int, int, int, int]) -> bool:
    """Whether no window would lie in the padding only, which the engine does not allow."""
    if reader.kind not in _CONVOLUTIONS or reader.options.get("Padding") != _VALID or len(reader.inputs) < 2:
        return False
    weights = graph.tensors.get(reader.inputs[1])
    if weights is None or len(weights.shape) != 4:
        return False
    ends = (pads[0], pads[1], weights.shape[1]), (pads[2], pads[3], weights.shape[2])
    return all(before < kernel and after < kernel for before, after, kernel in ends)
