"""The operators of a plan, as plan.h declares them: one frozen dataclass for each record.

Arena offsets are numbers; what a record points to inside the plan (weights, tables) is held as its bytes. Fields are in
the order of the C structs; PLAN.md says what they mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

PIXELS = 3  # a convolution computes at a time
CONV_CHANNELS = 2
DENSE_CHANNELS = 4
LANES = 4  # channels that a depthwise convolution gathers at a time
GROUP = 4  # inputs in a word


@dataclass(frozen=True)
class Requant:
    """en_requant: from accumulators to int8; tables with an entry for each packed channel."""

    bias: bytes  # int32
    multiplier: bytes  # int32
    shift: bytes  # int8
    zero_point: int
    low: int
    high: int
    fast: int


@dataclass(frozen=True)
class Window:
    """en_window: sizes, strides and padding of what slides over an input."""

    in_h: int
    in_w: int
    in_c: int
    out_h: int
    out_w: int
    out_c: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    pad_top: int
    pad_left: int
    in_zero_point: int

    @property
    def in_bytes(self) -> int:
        """Of the whole input."""
        return self.in_h * self.in_w * self.in_c

    @property
    def out_bytes(self) -> int:
        """Of the whole output."""
        return self.out_h * self.out_w * self.out_c


@dataclass(frozen=True)
class Operator:
    """What all records have in common: `kind` is the number of plan.h, `label` what people read."""

    kind: ClassVar[int]
    label: ClassVar[str]


@dataclass(frozen=True)
class Conv(Operator):
    """en_conv_op."""

    kind: ClassVar[int] = 1
    label: ClassVar[str] = "conv"
    input: int
    output: int
    scratch: int
    weights: bytes
    window: Window
    requant: Requant


@dataclass(frozen=True)
class Dense(Operator):
    """en_dense_op."""

    kind: ClassVar[int] = 2
    label: ClassVar[str] = "dense"
    input: int
    output: int
    scratch: int
    weights: bytes
    inputs: int
    outputs: int
    requant: Requant


@dataclass(frozen=True)
class Depthwise(Operator):
    """en_depthwise_op."""

    kind: ClassVar[int] = 3
    label: ClassVar[str] = "depthwise"
    input: int
    output: int
    scratch: int
    weights: bytes
    window: Window
    requant: Requant
    strip: int


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


@dataclass(frozen=True)
class Add(Binary):
    """en_binary_op as EN_ADD."""

    kind: ClassVar[int] = 4
    label: ClassVar[str] = "add"


@dataclass(frozen=True)
class Mul(Binary):
    """en_binary_op as EN_MUL."""

    kind: ClassVar[int] = 5
    label: ClassVar[str] = "mul"


@dataclass(frozen=True)
class Pool(Operator):
    """en_pool_op."""

    input: int
    output: int
    window: Window
    low: int
    high: int


@dataclass(frozen=True)
class AveragePool(Pool):
    """en_pool_op as EN_AVERAGE_POOL."""

    kind: ClassVar[int] = 6
    label: ClassVar[str] = "average pool"


@dataclass(frozen=True)
class MaxPool(Pool):
    """en_pool_op as EN_MAX_POOL."""

    kind: ClassVar[int] = 7
    label: ClassVar[str] = "max pool"


@dataclass(frozen=True)
class Mean(Operator):
    """en_mean_op."""

    kind: ClassVar[int] = 8
    label: ClassVar[str] = "mean"
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
    output: int
    count: int
    value: int


@dataclass(frozen=True)
class Lut(Operator):
    """en_lut_op."""

    kind: ClassVar[int] = 11
    label: ClassVar[str] = "lut"
    input: int
    output: int
    count: int
    table: bytes  # int8 [256], from -128 on


@dataclass(frozen=True)
class Softmax(Operator):
    """en_softmax_op."""

    kind: ClassVar[int] = 12
    label: ClassVar[str] = "softmax"
    input: int
    output: int
    rows: int
    depth: int
    table: bytes  # int32 [256]


OPERATORS: tuple[type[Operator], ...] = (
    *(Conv, Dense, Depthwise, Add, Mul, AveragePool, MaxPool, Mean, Copy, Fill, Lut, Softmax),
)


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
