# SPDX-License-Identifier: Apache-2.0
"""A program as the bytes of a plan and back. plan.h declares the records, PLAN.md says what they mean."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from firmware_tools.errors import PlanError
from firmware_tools.plan import operators as plan
from firmware_tools.plan import wire
from firmware_tools.plan.wire import Constants, Reader

_MAGIC = 0x4E4C5045
_VERSION = 1
_PACKING = 1
_HEADER = struct.Struct("<IHHIIIIIIIIifIIif")
_OP = struct.Struct("<HH")
if _HEADER.size != 64:
    raise AssertionError("the header differs from plan.h")


@dataclass(frozen=True)
class Port:
    """Where a network's input or output lies, and what its int8 mean: real = scale (value - zero point)."""

    offset: int  # in the arena, bytes
    bytes: int
    zero_point: int
    scale: float


@dataclass(frozen=True)
class Program:
    """What a plan says: operators in execution order, their places, and the arena that they need."""

    operators: tuple[wire.Operator, ...]
    arena_bytes: int
    input: Port
    output: Port


def encode(program: Program) -> bytes:
    """The plan of a program. Equal tables are stored once."""
    ops_bytes = sum(operator.record_bytes for operator in program.operators)
    constants = Constants(_HEADER.size + ops_bytes)
    records = b"".join(_record(operator, constants) for operator in program.operators)
    body = records + b"".join(constants.parts)
    ports = [(port.offset, port.bytes, port.zero_point, port.scale) for port in (program.input, program.output)]
    size = _HEADER.size + len(body)
    fields = (program.arena_bytes, len(program.operators), _HEADER.size, ops_bytes, *ports[0], *ports[1])
    checked = _HEADER.pack(_MAGIC, _VERSION, _PACKING, size, 0, *fields)[16:] + body
    return _HEADER.pack(_MAGIC, _VERSION, _PACKING, size, zlib.crc32(checked), *fields) + body


def _record(operator: wire.Operator, constants: Constants) -> bytes:
    return _OP.pack(operator.kind, operator.record_bytes) + operator.pack(constants)


def decode(blob: bytes) -> Program:
    """The program of a plan; `encode` of it gives the same bytes if `encode` made them.

    Raises PlanError if the bytes are not a complete plan of this version. What the operators ask for is not checked:
    the engine does that.
    """
    if len(blob) < _HEADER.size:
        raise PlanError(f"not a plan: {len(blob)} bytes are less than its header of {_HEADER.size}; compile it again")
    magic, version, packing, size, crc, arena_bytes, count, at, ops_bytes, *ports = _HEADER.unpack_from(blob)
    if magic != _MAGIC:
        raise PlanError("not a plan: it does not begin with EPLN; compile one from a .tflite file")
    if (version, packing) != (_VERSION, _PACKING):
        raise PlanError(
            f"plan version {version}, packing {packing}: {_VERSION} and {_PACKING} are known; compile it again"
        )
    if size != len(blob) or zlib.crc32(blob[16:]) != crc:
        raise PlanError(
            f"the plan is damaged: {len(blob)} of {size} bytes, or another CRC-32; copy or compile it again"
        )
    reader = Reader(blob, at, at + ops_bytes)
    operators = tuple(_operator(reader) for _ in range(min(count, len(blob))))
    if reader.at != reader.end:
        raise PlanError("the plan is damaged: its records take another size than it says; compile it again")
    return Program(operators, arena_bytes, Port(*ports[:4]), Port(*ports[4:]))


def _operator(reader: Reader) -> wire.Operator:
    kind, size = reader.take(_OP)
    if not 1 <= kind <= len(plan.OPERATORS) or size != plan.OPERATORS[kind - 1].record_bytes:
        raise PlanError(f"the plan is damaged: a record of kind {kind} with {size} bytes; compile it again")
    return plan.OPERATORS[kind - 1].unpack(reader)
