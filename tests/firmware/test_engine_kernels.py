"""The engine's kernels, built for this machine, against a naive reference over a grid of shapes."""

from __future__ import annotations

import ctypes
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

ENGINE = Path(__file__).parents[2] / "firmware_tools" / "firmware" / "engine"
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


class Model(ctypes.Structure):
    """en_model; the header is not read by a kernel."""

    _fields_ = (
        ("plan", ctypes.c_void_p),
        ("arena", ctypes.c_void_p),
        ("header", ctypes.c_void_p),
        ("op", ctypes.c_uint32),
    )


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler: install gcc or clang")
    library = tmp_path_factory.mktemp("engine") / "engine.so"
    sources = [str(ENGINE / name) for name in ("conv.c", "dense.c", "depthwise.c", "dot_portable.c")]
    command = [compiler, "-std=c11", "-O2", "-shared", "-fPIC", "-o", str(library), *sources]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(library))


def run(engine: ctypes.CDLL, case: Case, layout: Layout) -> Bytes:
    plan = plan_of(case, layout)
    guard = 64
    memory = np.full(layout.bytes + 2 * guard, 0x5A, np.int8)
    skew = -(memory.ctypes.data + guard) % 4
    arena = memory[guard + skew :]
    arena[layout.input : layout.input + case.input.size] = case.input.reshape(-1)
    words = np.frombuffer(plan.ljust((len(plan) + 3) // 4 * 4, b"\0"), np.uint32).copy()
    model = Model(words.ctypes.data, arena.ctypes.data, None, 0)
    kernel = {CONV: engine.en_conv, DENSE: engine.en_dense, DEPTHWISE: engine.en_depthwise}[case.kind]
    kernel(ctypes.byref(model), ctypes.c_void_p(words.ctypes.data))
    assert (memory[: guard + skew] == 0x5A).all(), "wrote before the arena"
    assert (arena[layout.bytes :] == 0x5A).all(), "wrote behind the arena"
    return arena[layout.output : layout.output + case.expected.size].reshape(case.expected.shape).copy()


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


def test_convolutions_of_any_shape(engine: ctypes.CDLL) -> None:
    rng = np.random.default_rng(1)
    for number in range(250):
        case = conv_case(rng, random_window(rng), bool(number % 3))
        np.testing.assert_array_equal(run(engine, case, separate(case, number % 4)), case.expected, str(number))


@pytest.mark.parametrize("channels", [4, 8, 20, 36])
def test_convolutions_of_whole_words(engine: ctypes.CDLL, channels: int) -> None:
    rng = np.random.default_rng(channels)
    for number in range(25):
        case = conv_case(rng, with_channels(random_window(rng), channels, number % 5 + 1), True)
        np.testing.assert_array_equal(run(engine, case, separate(case, number % 4)), case.expected, str(number))


def test_depthwise_convolutions_of_any_shape(engine: ctypes.CDLL) -> None:
    rng = np.random.default_rng(2)
    for number in range(300):
        window = random_window(rng)
        if number % 2:  # the common one
            window = Window(
                **{**window.__dict__, "kernel": (3, 3), "stride": (1, 1), "pads": (1, 1), "outputs": window.size}
            )
        window = with_channels(window, window.in_c, window.in_c * (number % 3 + 1))
        case = depthwise_case(rng, window, bool(number % 5), int(rng.integers(1, window.outputs[0] + 1)))
        np.testing.assert_array_equal(run(engine, case, separate(case, number % 4)), case.expected, str(number))


def test_dense_layers_of_any_size(engine: ctypes.CDLL) -> None:
    rng = np.random.default_rng(3)
    for inputs in (*range(1, 14), 64, 129):
        for outputs in range(1, 10):
            case = dense_case(rng, inputs, outputs, outputs != 5)
            np.testing.assert_array_equal(run(engine, case, separate(case, inputs % 4)), case.expected)
            np.testing.assert_array_equal(run(engine, case, overlapping(case, 0)), case.expected)


def needed_distance(window: Window) -> int:
    """PLAN.md, the arena: D of a convolution whose output overlaps its input."""
    row_in, row_out = window.size[1] * window.in_c, window.outputs[1] * window.out_c
    gaps = [
        (y + 1) * row_out - max(0, y * window.stride[0] - window.pads[0]) * row_in for y in range(window.outputs[0])
    ]
    return max(0, *gaps)


def test_a_convolution_may_overwrite_what_it_has_read(engine: ctypes.CDLL) -> None:
    rng = np.random.default_rng(4)
    for number in range(150):
        window = random_window(rng)
        case = conv_case(rng, window, True)
        layout = overlapping(case, needed_distance(window))
        np.testing.assert_array_equal(run(engine, case, layout), case.expected, str(number))


def test_a_1x1_convolution_works_in_place(engine: ctypes.CDLL) -> None:
    rng = np.random.default_rng(5)
    for channels in range(1, 12):
        size = (int(rng.integers(1, 6)), int(rng.integers(1, 6)))
        window = Window(size, channels, int(rng.integers(1, channels + 1)), (1, 1), (1, 1), (0, 0), size, 3)
        case = conv_case(rng, window, True)
        np.testing.assert_array_equal(run(engine, case, overlapping(case, 0)), case.expected)


def test_a_depthwise_convolution_works_in_place(engine: ctypes.CDLL) -> None:
    rng = np.random.default_rng(6)
    for number in range(100):
        kernel = (int(rng.integers(1, 8)), int(rng.integers(1, 8)))
        size = (int(rng.integers(1, 12)), int(rng.integers(1, 12)))
        pads = (int(rng.integers(0, kernel[0])), int(rng.integers(0, kernel[1])))
        channels = int(rng.integers(1, 10))
        window = Window(size, channels, channels, kernel, (1, 1), pads, size, -7)
        case = depthwise_case(rng, window, True, number % size[0] + 1)
        np.testing.assert_array_equal(run(engine, case, overlapping(case, 0)), case.expected, str(number))
