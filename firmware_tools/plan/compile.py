# SPDX-License-Identifier: Apache-2.0
"""From a .tflite file to a plan: read, lower, lay out, encode."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field, replace
from functools import lru_cache

from firmware_tools.plan import encode, layout, tflite_file, wire
from firmware_tools.plan import operators as plan
from firmware_tools.plan.graph import Graph, Tensor
from firmware_tools.plan.lowering.context import Step
from firmware_tools.plan.lowering.graph import kinds, lower
from firmware_tools.plan.quantization import quantization

_MAX_PLANS = 8  # that are kept: one deploy asks for the plan of the same file several times


@dataclass(frozen=True)
class Port:
    """A network's input or output: real = scale (int8 - zero point). `offset` is where it lies in the arena, bytes."""

    name: str
    shape: tuple[int, ...]
    scale: float
    zero_point: int
    offset: int

    @property
    def bytes(self) -> int:
        """One int8 for each value."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class PlannedOperator:
    """One operator of a plan, and what it costs."""

    kind: str  # the plan's: conv, dense, depthwise, add, ...
    index: int  # of the TFLite operator that it came from, and its schema name
    name: str
    output_shape: tuple[int, ...]
    macs: int
    weight_bytes: int  # as packed
    live_bytes: int  # of the arena, while it runs
    scratch_bytes: int
    record: wire.Operator  # as encoded, arena offsets included


@dataclass(frozen=True)
class UnusedOperator:
    """An operator of the .tflite file, by index and schema name, whose result nothing reads: a plan leaves it out."""

    index: int
    name: str


@dataclass(frozen=True)
class Plan:
    """A compiled network. `blob` is what goes to the board: its size is the flash, `arena_bytes` the RAM it takes."""

    blob: bytes
    arena_bytes: int
    operators: tuple[PlannedOperator, ...]
    input: Port
    output: Port
    unused: tuple[UnusedOperator, ...] = ()


def compile_plan(tflite: bytes) -> Plan:
    """The plan of an int8 .tflite file, without the operators whose results nothing reads: `Plan.unused`.

    Raises PlanError: the file is malformed, not int8 throughout, or has an operator or an option that the engine does
    not have; the message names it and what to use instead.
    """
    return _compiled(_Source(hashlib.sha256(tflite).digest(), tflite))


@dataclass(frozen=True)
class _Source:
    """A .tflite file; two are equal if their digests are."""

    sha256: bytes
    tflite: bytes = field(compare=False, repr=False)


@lru_cache(maxsize=_MAX_PLANS)
def _compiled(file: _Source) -> Plan:
    graph = tflite_file.read(file.tflite, kinds())
    steps, roots = lower(graph)
    arranged = layout.lay_out(graph, steps, roots)
    operators = tuple(_placed(arranged, position) for position in range(len(arranged.steps)))
    source, result = (_port(graph, index, arranged.offsets[roots[index]]) for index in (graph.input, graph.output))
    ports = [encode.Port(port.offset, port.bytes, port.zero_point, port.scale) for port in (source, result)]
    blob = encode.encode(encode.Program(operators, arranged.arena_bytes, *ports))
    planned = tuple(
        _planned(operator, step, live)
        for operator, step, live in zip(operators, arranged.steps, arranged.live, strict=True)
    )
    unused = tuple(UnusedOperator(operator.index, operator.kind) for operator in graph.unused)
    return Plan(blob, arranged.arena_bytes, planned, source, result, unused)


def _placed(arranged: layout.Layout, position: int) -> wire.Operator:
    step = arranged.steps[position]
    places = {**step.reads, "output": step.writes}
    fields = {name: arranged.offsets[place.buffer] + place.at for name, place in places.items()}
    if plan.scratch_bytes(step.operator):
        fields["scratch"] = arranged.scratch[position]
    return replace(step.operator, **fields)


def _port(graph: Graph, index: int, offset: int) -> Port:
    tensor: Tensor = graph.tensors[index]
    return Port(tensor.name, tensor.shape, *quantization(tensor), offset)


def _planned(operator: wire.Operator, step: Step, live: int) -> PlannedOperator:
    weights = getattr(operator, "weights", b"")
    return PlannedOperator(
        *(operator.label, step.source.index, step.source.kind, step.shape, step.macs, len(weights), live),
        plan.scratch_bytes(operator),
        operator,
    )
