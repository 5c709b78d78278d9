"""A program as the bytes of a plan and back. plan.h declares the records, PLAN.md says what they mean."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from firmware_tools.errors import PlanError
from firmware_tools.plan import operators as plan

_MAGIC = 0x4E4C5045
_VERSION = 1
_PACKING = 1
_HEADER = struct.Struct("<IHHIIIIIIIIifIIif")
_OP = struct.Struct("<HH")
_WINDOW = struct.Struct("<6H6Bbx")
_REQUANT = struct.Struct("<IIIbbbB")
_BINARY = struct.Struct("<5I3i3b3bbbB3x")
_MEAN = struct.Struct("<4Iiibb2x")
_SIZES = (56, 44, 60, 48, 48, 36, 36, 32, 28, 16, 20, 24)  # of the records, in the order of their kinds
if (_HEADER.size, _WINDOW.size, _REQUANT.size) != (64, 20, 16):
    raise AssertionError("the header, en_window or en_requant differ from plan.h")


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

    operators: tuple[plan.Operator, ...]
    arena_bytes: int
    input: Port
    output: Port


def encode(program: Program) -> bytes:
    """The plan of a program. Equal tables are stored once."""
    ops_bytes = sum(_SIZES[operator.kind - 1] for operator in program.operators)
    constants = _Constants(_HEADER.size + ops_bytes)
    records = b"".join(_record(operator, constants) for operator in program.operators)
    body = records + b"".join(constants.parts)
    ports = [(port.offset, port.bytes, port.zero_point, port.scale) for port in (program.input, program.output)]
    size = _HEADER.size + len(body)
    fields = (program.arena_bytes, len(program.operators), _HEADER.size, ops_bytes, *ports[0], *ports[1])
    checked = _HEADER.pack(_MAGIC, _VERSION, _PACKING, size, 0, *fields)[16:] + body
    return _HEADER.pack(_MAGIC, _VERSION, _PACKING, size, zlib.crc32(checked), *fields) + body


class _Constants:
    """What lies behind the records; every table once, at a multiple of 4."""

    def __init__(self, start: int) -> None:
        self.parts: list[bytes] = []
        self._end = start
        self._known: dict[bytes, int] = {}

    def add(self, table: bytes) -> int:
        """The plan offset of a table."""
        if table not in self._known:
            self._known[table] = self._end
            padded = table + bytes(-len(table) % 4)
            self.parts.append(padded)
            self._end += len(padded)
        return self._known[table]


def _record(operator: plan.Operator, constants: _Constants) -> bytes:
    body = b"".join(_body(operator, constants))
    return _OP.pack(operator.kind, _OP.size + len(body)) + body


def _body(operator: plan.Operator, constants: _Constants) -> Iterator[bytes]:
    if isinstance(operator, plan.Conv | plan.Dense | plan.Depthwise):
        yield struct.pack("<4I", operator.input, operator.output, operator.scratch, constants.add(operator.weights))
        if isinstance(operator, plan.Dense):
            yield struct.pack("<II", operator.inputs, operator.outputs)
        else:
            yield _window(operator.window)
        yield _requant(operator.requant, constants)
        if isinstance(operator, plan.Depthwise):
            yield struct.pack("<I", operator.strip)
    elif isinstance(operator, plan.Binary):
        yield _binary(operator, constants)
    elif isinstance(operator, plan.Pool):
        yield struct.pack("<II", operator.input, operator.output) + _window(operator.window)
        yield struct.pack("<bb2x", operator.low, operator.high)
    elif isinstance(operator, plan.Mean):
        yield _MEAN.pack(
            *(operator.input, operator.output, operator.count, operator.channels),
            *(operator.multiplier, operator.bias, operator.shift, operator.zero_point),
        )
    elif isinstance(operator, plan.Copy):
        yield struct.pack(
            "<6I",
            *(operator.input, operator.output, operator.rows),
            *(operator.row_bytes, operator.in_stride, operator.out_stride),
        )
    elif isinstance(operator, plan.Fill):
        yield struct.pack("<IIb3x", operator.output, operator.count, operator.value)
    elif isinstance(operator, plan.Lut):
        yield struct.pack("<4I", operator.input, operator.output, operator.count, constants.add(operator.table))
    elif isinstance(operator, plan.Softmax):
        table = constants.add(operator.table)
        yield struct.pack("<5I", operator.input, operator.output, operator.rows, operator.depth, table)


def _window(window: plan.Window) -> bytes:
    return _WINDOW.pack(
        *(window.in_h, window.in_w, window.in_c, window.out_h, window.out_w, window.out_c),
        *(window.kernel_h, window.kernel_w, window.stride_h, window.stride_w, window.pad_top, window.pad_left),
        window.in_zero_point,
    )


def _requant(requant: plan.Requant, constants: _Constants) -> bytes:
    tables = (constants.add(table) for table in (requant.bias, requant.multiplier, requant.shift))
    return _REQUANT.pack(*tables, requant.zero_point, requant.low, requant.high, requant.fast)


def _binary(operator: plan.Binary, constants: _Constants) -> bytes:
    constant = isinstance(operator.input2, bytes)
    second = constants.add(operator.input2) if isinstance(operator.input2, bytes) else operator.input2
    return _BINARY.pack(
        *(operator.input1, second, operator.output, operator.count, operator.period),
        *(operator.multiplier1, operator.multiplier2, operator.multiplier),
        *(operator.shift1, operator.shift2, operator.shift),
        *(operator.zero_point1, operator.zero_point2, operator.zero_point),
        *(operator.low, operator.high, constant),
    )


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
    reader = _Reader(blob, at, at + ops_bytes)
    operators = tuple(reader.operator() for _ in range(min(count, len(blob))))
    if reader.at != reader.end:
        raise PlanError("the plan is damaged: its records take another size than it says; compile it again")
    return Program(operators, arena_bytes, Port(*ports[:4]), Port(*ports[4:]))


class _Reader:
    def __init__(self, blob: bytes, at: int, end: int) -> None:
        self.blob, self.at, self.end = blob, at, end

    def operator(self) -> plan.Operator:
        kind, size = self._take(_OP)
        if not 1 <= kind <= len(_SIZES) or size != _SIZES[kind - 1]:
            raise PlanError(f"the plan is damaged: a record of kind {kind} with {size} bytes; compile it again")
        of: Any = plan.OPERATORS[kind - 1]  # each branch knows its fields
        if issubclass(of, plan.Conv | plan.Depthwise | plan.Dense):
            return self._weighted(of)
        if issubclass(of, plan.Binary):
            return self._binary(of)
        if issubclass(of, plan.Pool):
            input_, output = self._words(2)
            window = plan.Window(*self._take(_WINDOW))
            low, high = self._take(struct.Struct("<bb2x"))
            pool: plan.Operator = of(input_, output, window, low, high)
            return pool
        if issubclass(of, plan.Mean):
            return plan.Mean(*self._take(_MEAN))
        if issubclass(of, plan.Copy):
            return plan.Copy(*self._words(6))
        if issubclass(of, plan.Fill):
            return plan.Fill(*self._take(struct.Struct("<IIb3x")))
        if issubclass(of, plan.Lut):
            input_, output, count, table = self._words(4)
            return plan.Lut(input_, output, count, self._table(table, 256))
        input_, output, rows, depth, table = self._words(5)
        return plan.Softmax(input_, output, rows, depth, self._table(table, 1024))

    def _weighted(self, of: type[plan.Operator]) -> plan.Operator:
        input_, output, scratch, weights = self._words(4)
        if of is plan.Dense:
            inputs, outputs = self._words(2)
            channels = -(-outputs // plan.DENSE_CHANNELS) * plan.DENSE_CHANNELS
            packed = self._table(weights, channels * plan.groups(inputs) * plan.GROUP)
            return plan.Dense(input_, output, scratch, packed, inputs, outputs, self._requant(channels))
        window = plan.Window(*self._take(_WINDOW))
        taps = window.kernel_h * window.kernel_w
        if of is plan.Depthwise:
            packed = self._table(weights, window.out_c * taps)
            requant = self._requant(window.out_c)
            (strip,) = self._words(1)
            return plan.Depthwise(input_, output, scratch, packed, window, requant, strip)
        channels = -(-window.out_c // plan.CONV_CHANNELS) * plan.CONV_CHANNELS
        packed = self._table(weights, channels * plan.groups(taps * window.in_c) * plan.GROUP)
        return plan.Conv(input_, output, scratch, packed, window, self._requant(channels))

    def _requant(self, channels: int) -> plan.Requant:
        bias, multiplier, shift, *rest = self._take(_REQUANT)
        tables = (self._table(bias, 4 * channels), self._table(multiplier, 4 * channels), self._table(shift, channels))
        return plan.Requant(*tables, *rest)

    def _binary(self, of: type[plan.Binary]) -> plan.Binary:
        input1, input2, output, count, period, *rest, constant = self._take(_BINARY)
        return of(input1, self._table(input2, period) if constant else input2, output, count, period, *rest)

    def _words(self, count: int) -> Sequence[int]:
        return self._take(struct.Struct(f"<{count}I"))

    def _take(self, fields: struct.Struct) -> tuple[int, ...]:
        if self.at + fields.size > min(self.end, len(self.blob)):
            raise PlanError("the plan is damaged: a record is cut off; compile it again")
        values = fields.unpack_from(self.blob, self.at)
        self.at += fields.size
        return values

    def _table(self, at: int, size: int) -> bytes:
        if at + size > len(self.blob):
            raise PlanError(f"the plan is damaged: {size} bytes at {at} lie outside it; compile it again")
        return self.blob[at : at + size]
