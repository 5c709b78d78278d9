# SPDX-License-Identifier: Apache-2.0
"""Random operators for the engine's kernels: the record, the constants, and what a naive reference says."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

CONV, DENSE, DEPTHWISE = 1, 2, 3
Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Window:
    """Sizes as in PLAN.md; `pads`: top, left; `outputs`: rows, columns."""

    size: tuple[int, int]
    in_c: int
    out_c: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    pads: tuple[int, int]
    outputs: tuple[int, int]
    zero_point: int

    def pack(self) -> bytes:
        sizes = (*self.size, self.in_c, *self.outputs, self.out_c, *self.kernel, *self.stride, *self.pads)
        return struct.pack("<6H6BbB", *sizes, self.zero_point, 0)


@dataclass(frozen=True)
class Requant:
    """One entry of the tables for each output channel."""

    bias: Ints
    multiplier: Ints
    shift: Ints
    zero_point: int
    low: int
    high: int
    fast: bool


@dataclass(frozen=True)
class Case:
    """One operator: its record without offsets, its constants, and what has to come out."""

    kind: int
    body: bytes
    tail: bytes
    weights: bytes
    requant: Requant
    block: int
    scratch_bytes: int
    input: Bytes
    expected: Bytes


def multiply(value: int, multiplier: int, shift: int) -> int:
    """TFLite's MultiplyByQuantizedMultiplier with two roundings."""
    value <<= max(shift, 0)
    high = (value * multiplier + (1 << 30)) >> 31
    right = max(-shift, 0)
    if right == 0:
        return high
    magnitude = (abs(high) + (1 << (right - 1))) >> right
    return magnitude if high >= 0 else -magnitude


def finish(accumulators: Ints, requant: Requant) -> Bytes:
    """Accumulators [.., channels], biases included, to int8."""
    flat = accumulators.reshape(-1, accumulators.shape[-1])
    columns = []
    for channel in range(flat.shape[1]):
        multiplier, shift = int(requant.multiplier[channel]), int(requant.shift[channel])
        columns.append([multiply(int(value), multiplier, shift) for value in flat[:, channel]])
    values = np.array(columns, np.int64).T + requant.zero_point
    return np.clip(values, requant.low, requant.high).astype(np.int8).reshape(accumulators.shape)


def random_requant(rng: np.random.Generator, channels: int, fast: bool, sums: Ints) -> Requant:
    """Scales that spread the channels' accumulators, `sums` before the bias, over the range of int8."""
    bias = rng.integers(-3000, 3000, channels)
    reach = np.abs(sums.reshape(-1, channels)).max(axis=0) + 3000
    fraction, exponent = np.frexp(rng.uniform(60, 250, channels) / reach)
    multiplier = np.minimum((fraction * 2.0**31).astype(np.int64), 2**31 - 1)
    shift = np.minimum(exponent, -1)
    if not fast:
        shift[::2] = rng.integers(0, 3, len(shift[::2]))
        multiplier[-1:] = 0
    saturate = bool(rng.integers(2))
    low, high = (-128, 127) if saturate else sorted(rng.integers(-100, 101, 2).tolist())
    return Requant(bias, multiplier, shift.astype(np.int64), int(rng.integers(-128, 128)), low, high, fast)


def patches(window: Window, inputs: Bytes) -> Ints:
    """[out_h, out_w, kernel_h, kernel_w, in_c], what lies outside being the zero point."""
    (out_h, out_w), (kernel_h, kernel_w) = window.outputs, window.kernel
    (stride_h, stride_w), (top, left) = window.stride, window.pads
    height = max(window.size[0] + top, (out_h - 1) * stride_h + kernel_h)
    width = max(window.size[1] + left, (out_w - 1) * stride_w + kernel_w)
    padded = np.full((height, width, window.in_c), window.zero_point, np.int64)
    padded[top : top + window.size[0], left : left + window.size[1]] = inputs
    views = np.lib.stride_tricks.sliding_window_view(padded, window.kernel, (0, 1))
    picked = views[::stride_h, ::stride_w][:out_h, :out_w]
    return np.moveaxis(picked, 2, 4)


def pack(rows: Bytes, block: int) -> bytes:
    """[channels][inputs] in the order of PLAN.md, packed weights."""
    full = np.pad(rows, ((0, -rows.shape[0] % block), (0, -rows.shape[1] % 4)))
    return full.reshape(-1, block, full.shape[1] // 4, 4).transpose(0, 2, 1, 3).tobytes()


def int8s(rng: np.random.Generator, *shape: int) -> Bytes:
    return rng.integers(-128, 128, shape, dtype=np.int8)


def conv_case(rng: np.random.Generator, window: Window, fast: bool) -> Case:
    inputs = int8s(rng, *window.size, window.in_c)
    weights = int8s(rng, window.out_c, *window.kernel, window.in_c)
    sums = np.tensordot(patches(window, inputs), weights.astype(np.int64), ((2, 3, 4), (1, 2, 3)))
    requant = random_requant(rng, window.out_c, fast, sums)
    rows = weights.reshape(window.out_c, -1)
    scratch = 24 * -(-rows.shape[1] // 4)
    expected = finish(sums + requant.bias, requant)
    return Case(CONV, window.pack(), b"", pack(rows, 2), requant, 2, scratch, inputs, expected)


def depthwise_case(rng: np.random.Generator, window: Window, fast: bool, strip: int) -> Case:
    inputs = int8s(rng, *window.size, window.in_c)
    weights = int8s(rng, window.out_c, *window.kernel)
    repeated = np.repeat(patches(window, inputs), window.out_c // window.in_c, axis=4)
    sums = np.einsum("yxijc,cij->yxc", repeated, weights.astype(np.int64))
    requant = random_requant(rng, window.out_c, fast, sums)
    row = (window.outputs[1] - 1) * window.stride[1] + window.kernel[1] + 1
    rows = (strip - 1) * window.stride[0] + window.kernel[0]
    scratch = 8 * rows * (row + row % 2) + 4 * window.kernel[0] * (window.kernel[1] + 1)
    expected = finish(sums + requant.bias, requant)
    tail = struct.pack("<I", strip)
    return Case(DEPTHWISE, window.pack(), tail, weights.tobytes(), requant, 1, scratch, inputs, expected)


def dense_case(rng: np.random.Generator, inputs: int, outputs: int, fast: bool) -> Case:
    values, weights = int8s(rng, inputs), int8s(rng, outputs, inputs)
    sums = weights.astype(np.int64) @ values
    requant = random_requant(rng, outputs, fast, sums)
    expected = finish(sums + requant.bias, requant)
    body = struct.pack("<2I", inputs, outputs)
    return Case(DENSE, body, b"", pack(weights, 4), requant, 4, 8 * -(-inputs // 4), values, expected)


@dataclass(frozen=True)
class Layout:
    """Arena offsets, and the arena's size."""

    input: int
    output: int
    scratch: int
    bytes: int


def separate(case: Case, skew: int) -> Layout:
    """Everything in a place of its own; `skew` moves input and output off the multiples of 4."""
    output = case.input.size + skew + 5
    scratch = (output + case.expected.size + 3) // 4 * 4
    return Layout(skew, output, scratch, scratch + case.scratch_bytes)


def overlapping(case: Case, distance: int) -> Layout:
    """The output `distance` bytes before the input."""
    end = max(distance + case.input.size, case.expected.size)
    scratch = (end + 3) // 4 * 4
    return Layout(distance, 0, scratch, scratch + case.scratch_bytes)


def plan_of(case: Case, layout: Layout) -> bytes:
    """The operator's record and behind it the constants: what a kernel reads of a plan."""
    requant = case.requant
    fill = (0, -len(requant.bias) % case.block)
    tables = [np.pad(requant.bias, fill).astype("<i4"), np.pad(requant.multiplier, fill).astype("<i4")]
    shifts = np.pad(requant.shift, fill, constant_values=-1).astype(np.int8).tobytes()
    bias = 20 + len(case.body) + 16 + len(case.tail)
    multiplier = bias + tables[0].nbytes
    shift = multiplier + tables[1].nbytes
    weights = (shift + len(shifts) + 3) // 4 * 4
    offsets = struct.pack("<2H4I", case.kind, bias, layout.input, layout.output, layout.scratch, weights)
    points = struct.pack("<3I3bB", bias, multiplier, shift, requant.zero_point, requant.low, requant.high, requant.fast)
    record = offsets + case.body + points + case.tail
    return (record + tables[0].tobytes() + tables[1].tobytes() + shifts).ljust(weights, b"\0") + case.weights


def random_window(rng: np.random.Generator, out_c: int = 0) -> Window:
    """Pads as of SAME, or none, or anything that the plan allows."""
    kernel = (int(rng.integers(1, 8)), int(rng.integers(1, 8)))
    stride = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
    size = (int(rng.integers(1, 12)), int(rng.integers(1, 12)))
    pads = tuple(int(rng.integers(0, width)) for width in kernel)
    most = [(length + pad - 1) // step + 1 for length, pad, step in zip(size, pads, stride, strict=True)]
    outputs = (int(rng.integers(1, most[0] + 1)), int(rng.integers(1, most[1] + 1)))
    in_c = int(rng.integers(1, 10))
    channels = out_c or int(rng.integers(1, 10))
    return Window(size, in_c, channels, kernel, stride, (pads[0], pads[1]), outputs, int(rng.integers(-128, 128)))


def with_channels(window: Window, in_c: int, out_c: int) -> Window:
    values = {**window.__dict__, "in_c": in_c, "out_c": out_c}
    return Window(**values)


def needed_distance(window: Window) -> int:
    """PLAN.md, the arena: D of a convolution whose output overlaps its input."""
    row_in, row_out = window.size[1] * window.in_c, window.outputs[1] * window.out_c
    gaps = [
        (y + 1) * row_out - max(0, y * window.stride[0] - window.pads[0]) * row_in for y in range(window.outputs[0])
    ]
    return max(0, *gaps)
