# SPDX-License-Identifier: Apache-2.0
"""In which order the steps run and where everything lies in the arena."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from firmware_tools.plan import memory
from firmware_tools.plan import operators as plan
from firmware_tools.plan.graph import Graph
from firmware_tools.plan.lowering.context import Step
from firmware_tools.plan.order import order

_STRIPS = (16, 8, 4, 2, 1)  # output rows of a depthwise convolution: more are faster and take more scratch
_SPARE = 8  # 1/8 of the smallest arena is what speed may cost


@dataclass(frozen=True)
class Layout:
    """`offsets` of each buffer (a tensor's index), `scratch` of each step, `live` bytes during each step."""

    steps: tuple[Step, ...]
    offsets: Mapping[int, int]
    scratch: tuple[int, ...]
    live: tuple[int, ...]
    arena_bytes: int


def lay_out(graph: Graph, steps: Sequence[Step], roots: Mapping[int, int]) -> Layout:
    """The arrangement with the fewest bytes that was found, but for what wider depthwise strips take."""
    return _arranged(graph, [_with_strip(step) for step in _in_order(graph, steps)], roots)


def _in_order(graph: Graph, steps: Sequence[Step]) -> list[Step]:
    """The steps with the operators they came from in the order that keeps the fewest bytes alive."""
    groups: dict[int, list[Step]] = {}
    for step in steps:
        groups.setdefault(step.source.index, []).append(step)
    numbers: dict[int, int] = {}
    reads: list[list[int]] = []
    writes: list[list[int]] = []
    for group in groups.values():
        places = {place.buffer for step in group for place in step.reads.values()}
        reads.append([numbers.setdefault(buffer, len(numbers)) for buffer in sorted(places)])
        writes.append([numbers.setdefault(group[0].writes.buffer, len(numbers))])
    tensor_bytes = [graph.tensors[buffer].elements for buffer in numbers]
    all_groups = list(groups.values())
    return [step for number in order(reads, writes, tensor_bytes) for step in all_groups[number]]


def _with_strip(step: Step) -> Step:
    """A depthwise convolution with the widest strip, of about equally high ones, that costs little memory of its own.

    Its own tensors alone decide, so that what a layer takes does not depend on the network around it: a latency model
    that adds up layers can be right.
    """
    operator = step.operator
    if not isinstance(operator, plan.Depthwise):
        return step
    window = operator.window
    tensors = window.in_bytes + (0 if plan.overlap(operator) else window.out_bytes)
    least = tensors + plan.scratch_bytes(replace(operator, strip=1))
    for rows in _STRIPS:
        cut = replace(operator, strip=-(-window.out_h // -(-window.out_h // rows)))
        if tensors + plan.scratch_bytes(cut) <= least + least // _SPARE:
            return replace(step, operator=cut)
    return replace(step, operator=replace(operator, strip=1))


def _arranged(graph: Graph, steps: Sequence[Step], roots: Mapping[int, int]) -> Layout:
    lives: dict[int, list[int]] = {graph.input: [0]}
    for position, step in enumerate(steps):
        for place in (*step.reads.values(), step.writes):
            lives.setdefault(place.buffer, []).append(position)
    lives[roots[graph.output]].append(len(steps))  # it is read after the last step
    numbers = {buffer: number for number, buffer in enumerate(lives)}
    buffers = [memory.Buffer(graph.tensors[buffer].elements, min(live), max(live)) for buffer, live in lives.items()]
    overlaps = _overlaps(steps, buffers, numbers)
    scratch = [plan.scratch_bytes(step.operator) for step in steps]
    owners = [position for position, size in enumerate(scratch) if size]
    buffers += [memory.Buffer(scratch[position], position, position) for position in owners]
    offsets = memory.place(buffers, overlaps)
    where = dict(zip(owners, offsets[len(numbers) :], strict=True))
    return Layout(
        tuple(steps),
        {buffer: offsets[number] for buffer, number in numbers.items()},
        tuple(where.get(position, 0) for position in range(len(steps))),
        tuple(
            _union(
                [(at, buffer.bytes) for at, buffer in zip(offsets, buffers, strict=True) if _alive(buffer, position)]
            )
            for position in range(len(steps))
        ),
        memory.peak(buffers, offsets),
    )


def _overlaps(
    steps: Sequence[Step], buffers: Sequence[memory.Buffer], numbers: Mapping[int, int]
) -> list[memory.Overlap]:
    """Where an output may lie on top of an input: both begin at their buffers, and nobody reads that input later."""
    found: dict[tuple[int, int], memory.Overlap] = {}
    for position, step in enumerate(steps):
        out = numbers[step.writes.buffer]
        for name, distance, exact in plan.overlap(step.operator):
            place = step.reads[name]
            into = numbers[place.buffer]
            if place.at == step.writes.at == 0 and buffers[into].last == position == buffers[out].first:
                found[out, into] = memory.Overlap(out, into, distance, exact)
    return list(found.values())


def _alive(buffer: memory.Buffer, position: int) -> bool:
    return buffer.first <= position <= buffer.last


def _union(spans: Sequence[tuple[int, int]]) -> int:
    """How many bytes some spans (offset, bytes) cover together."""
    total = end = 0
    for at, size in sorted(spans):
        total += max(0, at + size - max(at, end))
        end = max(end, at + size)
    return total
