# SPDX-License-Identifier: Apache-2.0
"""The operators of a plan, as plan.h declares them: one frozen dataclass for each record, and its bytes.

Arena offsets are numbers; what a record points to inside the plan (weights, tables) is held as its bytes. Fields are in
the order of the C structs; PLAN.md says what they mean.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from firmware_tools.plan.wire import Constants, Operator, Reader, Requant, Window

if TYPE_CHECKING:
    from typing_extensions import Self

PIXELS = 3  # a convolution computes at a time
CONV_CHANNELS = 2
DENSE_CHANNELS = 4
LANES = 4  # channels that a depthwise convolution gathers at a time
GROUP = 4  # inputs in a word
_BINARY = struct.Struct("<5I3i3b3bbbB3x")
_CLAMP = struct.Struct("<bb2x")


@dataclass(frozen=True)
class Conv(Operator):
    """en_conv_op."""

    kind: ClassVar[int] = 1
    label: ClassVar[str] = "conv"
    record_bytes: ClassVar[int] = 56
    input: int
    output: int
    scratch: int
    weights: bytes
    window: Window
    requant: Requant

    def pack(self, constants: Constants) -> bytes:
        """As wire.Operator."""
        return _places(self, constants) + self.window.pack() + self.requant.pack(constants)

    @classmethod
    def unpack(cls, reader: Reader) -> Self:
        """As wire.Operator."""
        input_, output, scratch, weights = reader.words(4)
        window = Window.unpack(reader)
        channels = _up(window.out_c, CONV_CHANNELS)
        packed = reader.table(weights, channels * groups(window.taps * window.in_c) * GROUP)
        return cls(input_, output, scratch, packed, window, Requant.unpack(reader, channels))


@dataclass(frozen=True)
class Dense(Operator):
    """en_dense_op."""

    kind: ClassVar[int] = 2
    label: ClassVar[str] = "dense"
    record_bytes: ClassVar[int] = 44
    input: int
    output: int
    scratch: int
    weights: bytes
    inputs: int
    outputs: int
    requant: Requant

    def pack(self, constants: Constants) -> bytes:
        """As wire.Operator."""
        sizes = struct.pack("<II", self.inputs, self.outputs)
        return _places(self, constants) + sizes + self.requant.pack(constants)

    @classmethod
    def unpack(cls, reader: Reader) -> Self:
        """As wire.Operator."""
        input_, output, scratch, weights, inputs, outputs = reader.words(6)
        channels = _up(outputs, DENSE_CHANNELS)
        packed = reader.table(weights, channels * groups(inputs) * GROUP)
        return cls(input_, output, scratch, packed, inputs, outputs, Requant.unpack(reader, channels))


@dataclass(frozen=True)
class Depthwise(Operator):
    """en_depthwise_op."""

    kind: ClassVar[int] = 3
    label: ClassVar[str] = "depthwise"
    record_bytes: ClassVar[int] = 60
    input: int
    output: int
    scratch: int
    weights: bytes
    window: Window
    requant: Requant
    strip: int

    def pack(self, constants: Constants) -> bytes:
        """As wire.Operator."""
        strip = struct.pack("<I", self.strip)
        return _places(self, constants) + self.window.pack() + self.requant.pack(constants) + strip

    @classmethod
    def unpack(cls, reader: Reader) -> Self:
        """As wire.Operator."""
        input_, output, scratch, weights = reader.words(4)
        window = Window.unpack(reader)
        packed = reader.table(weights, window.out_c * window.taps)
        requant = Requant.unpack(reader, window.out_c)
        (strip,) = reader.words(1)
        return cls(input_, output, scratch, packed, window, requant, strip)


@dataclass(frozen=True)
class Binary(Operator):
    """en_binary_op: operand 2 is an arena offset, or bytes of the plan."""

    input1: int
    input2: int | bytes
    output: int
    count: int
    period: int
    multiplier1: int
    multiplier2: int
    multiplier: int
    shift1: int
    shift2: int
    shift: int
    zero_point1: int
    zero_point2: int
    zero_point: int
    low: int
    high: int

    def pack(self, constants: Constants) -> bytes:
        """As wire.Operator."""
        constant = isinstance(self.input2, bytes)
        second = constants.add(self.input2) if isinstance(self.input2, bytes) else self.input2
        return _BINARY.pack(
            *(self.input1, second, self.output, self.count, self.period),
            *(self.multiplier1, self.multiplier2, self.multiplier, self.shift1, self.shift2, self.shift),
            *(self.zero_point1, self.zero_point2, self.zero_point, self.low, self.high, constant),
        )

    @classmethod
    def unpack(cls, reader: Reader) -> Self:
        """As wire.Operator."""
        input1, input2, output, count, period, *rest, constant = reader.take(_BINARY)
        return cls(input1, reader.table(input2, period) if constant else input2, output, count, period, *rest)


@dataclass(frozen=True)
class Add(Binary):
    """en_binary_op as EN_ADD."""

    kind: ClassVar[int] = 4
    label: ClassVar[str] = "add"
    record_bytes: ClassVar[int] = 48


@dataclass(frozen=True)
class Mul(Binary):
    """en_binary_op as EN_MUL."""

    kind: ClassVar[int] = 5
    label: ClassVar[str] = "mul"
    record_bytes: ClassVar[int] = 48


@dataclass(frozen=True)
class Pool(Operator):
    """en_pool_op."""

    input: int
    output: int
    window: Window
    low: int
    high: int

    def pack(self, constants: Constants) -> bytes:
        """As wire.Operator."""
        return struct.pack("<II", self.input, self.output) + self.window.pack() + _CLAMP.pack(self.low, self.high)

    @classmethod
    def unpack(cls, reader: Reader) -> Self:
        """As wire.Operator."""
        input_, output = reader.words(2)
        window = Window.unpack(reader)
        low, high = reader.take(_CLAMP)
        return cls(input_, output, window, low, high)


@dataclass(frozen=True)
class AveragePool(Pool):
    """en_pool_op as EN_AVERAGE_POOL."""

    kind: ClassVar[int] = 6
    label: ClassVar[str] = "average pool"
    record_bytes: ClassVar[int] = 36


@dataclass(frozen=True)
class MaxPool(Pool):
    """en_pool_op as EN_MAX_POOL."""

    kind: ClassVar[int] = 7
    label: ClassVar[str] = "max pool"
    record_bytes: ClassVar[int] = 36


@dataclass(frozen=True)
class Mean(Operator):
    """en_mean_op."""

    kind: ClassVar[int] = 8
    label: ClassVar[str] = "mean"
    record_bytes: ClassVar[int] = 32
    layout: ClassVar[struct.Struct] = struct.Struct("<4Iiibb2x")
    input: int
    output: int
    count: int
    channels: int
    multiplier: int
    bias: int
    shift: int
    zero_point: int


@dataclass(frozen=True)
class Copy(Operator):
    """en_copy_op."""

    kind: ClassVar[int] = 9
    label: ClassVar[str] = "copy"
    record_bytes: ClassVar[int] = 28
    layout: ClassVar[struct.Struct] = struct.Struct("<6I")
    input: int
    output: int
    rows: int
    row_bytes: int
    in_stride: int
    out_stride: int


@dataclass(frozen=True)
class Fill(Operator):
    """en_fill_op."""

    kind: ClassVar[int] = 10
    label: ClassVar[str] = "fill"
    record_bytes: ClassVar[int] = 16
    layout: ClassVar[struct.Struct] = struct.Struct("<IIb3x")
    output: int
    count: int
    value: int


@dataclass(frozen=True)
class Lut(Operator):
    """en_lut_op."""

    kind: ClassVar[int] = 11
    label: ClassVar[str] = "lut"
    record_bytes: ClassVar[int] = 20
    input: int
    output: int
    count: int
    table: bytes  # int8 [256], from -128 on

    def pack(self, constants: Constants) -> bytes:
        """As wire.Operator."""
        return struct.pack("<4I", self.input, self.output, self.count, constants.add(self.table))

    @classmethod
    def unpack(cls, reader: Reader) -> Self:
        """As wire.Operator."""
        input_, output, count, table = reader.words(4)
        return cls(input_, output, count, reader.table(table, 256))


@dataclass(frozen=True)
class Softmax(Operator):
    """en_softmax_op."""

    kind: ClassVar[int] = 12
    label: ClassVar[str] = "softmax"
    record_bytes: ClassVar[int] = 24
    input: int
    output: int
    rows: int
    depth: int
    table: bytes  # int32 [256]

    def pack(self, constants: Constants) -> bytes:
        """As wire.Operator."""
        return struct.pack("<5I", self.input, self.output, self.rows, self.depth, constants.add(self.table))

    @classmethod
    def unpack(cls, reader: Reader) -> Self:
        """As wire.Operator."""
        input_, output, rows, depth, table = reader.words(5)
        return cls(input_, output, rows, depth, reader.table(table, 1024))


OPERATORS: tuple[type[Operator], ...] = (
    *(Conv, Dense, Depthwise, Add, Mul, AveragePool, MaxPool, Mean, Copy, Fill, Lut, Softmax),
)


def _places(operator: Conv | Dense | Depthwise, constants: Constants) -> bytes:
    weights = constants.add(operator.weights)
    return struct.pack("<4I", operator.input, operator.output, operator.scratch, weights)


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def groups(inputs: int) -> int:
    """Words of 4 that so many inputs take."""
    return -(-inputs // GROUP)


def scratch_bytes(operator: Operator) -> int:
    """What an operator needs beside its input and output, in bytes."""
    if isinstance(operator, Conv):
        window = operator.window
        return 2 * GROUP * PIXELS * groups(window.kernel_h * window.kernel_w * window.in_c)
    if isinstance(operator, Dense):
        return 2 * GROUP * groups(operator.inputs)
    if isinstance(operator, Depthwise):
        window = operator.window
        row = ((window.out_w - 1) * window.stride_w + window.kernel_w + 2) // 2 * 2
        rows = (operator.strip - 1) * window.stride_h + window.kernel_h
        return LANES * rows * row * 2 + window.kernel_h * (window.kernel_w + 1) * 4
    return 0


def conv_distance(window: Window) -> int:
    """How far behind its input a convolution's or a pool's output may begin: D of PLAN.md, in bytes."""
    row, in_row = window.out_w * window.out_c, window.in_w * window.in_c
    # It grows by `row` while the window is in the padding, changes by less in the next row, then by a constant.
    last = window.out_h - 1
    padded = min(window.pad_top // window.stride_h, last)
    rows = (padded, min(padded + 1, last), last)
    return max(0, *((y + 1) * row - max(0, y * window.stride_h - window.pad_top) * in_row for y in rows))


def overlap(operator: Operator) -> tuple[tuple[str, int, bool], ...]:
    """Which inputs the output may share bytes with, as PLAN.md's table: (field, distance, exact)."""
    if isinstance(operator, Conv | Pool):
        in_step = isinstance(operator, Conv) and _pointwise(operator.window)
        return (("input", 0 if in_step else conv_distance(operator.window), False),)
    if isinstance(operator, Depthwise):
        window = operator.window
        same = (window.in_h, window.in_w, window.in_c) == (window.out_h, window.out_w, window.out_c)
        return (("input", 0, True),) if same and window.stride_h == window.stride_w == 1 else ()
    if isinstance(operator, Binary):
        second = operator.period == operator.count and not isinstance(operator.input2, bytes)
        return (("input1", 0, False), *((("input2", 0, False),) if second else ()))
    if isinstance(operator, Lut):
        return (("input", 0, False),)
    if isinstance(operator, Softmax):
        return (("input", 0, True),)
    return ()


def _pointwise(window: Window) -> bool:
    ones = (window.kernel_h, window.kernel_w, window.stride_h, window.stride_w)
    return ones == (1, 1, 1, 1) and not window.pad_top and not window.pad_left and window.out_c <= window.in_c
