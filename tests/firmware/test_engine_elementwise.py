# SPDX-License-Identifier: Apache-2.0
"""Elementwise operators, pools and softmax give what PLAN.md says, on the quick ways and on the general ones."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from firmware_tools.plan import fixed_point as fp
from firmware_tools.plan import operators as plan
from firmware_tools.plan import simulate, wire
from firmware_tools.plan.encode import Port, Program, encode

pytestmark = pytest.mark.skipif(
    not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="the engine is compiled by the machine's C compiler"
)
_HALF = (1 << 30, 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engine")


def _run(step: wire.Operator, inputs: int, outputs: int, data: np.ndarray, folder: Path) -> list[int]:
    """One inference with the input at 0 and the output behind it."""
    arena = -(-(inputs + outputs) // 4) * 4
    blob = encode(Program((step,), arena, Port(0, inputs, 0, 1.0), Port(inputs, outputs, 0, 1.0)))
    return [int(value) for value in simulate.simulate(blob, data.reshape(1, -1), folder)[0]]


def _clamp(value: int, low: int, high: int) -> int:
    return max(low, min(high, value))


def _expected(step: plan.Binary, x1: int, x2: int) -> int:
    first, second = x1 - step.zero_point1, x2 - step.zero_point2
    if isinstance(step, plan.Add):
        value = fp.multiply(first << 20, step.multiplier1, step.shift1)
        value += fp.multiply(second << 20, step.multiplier2, step.shift2)
    else:
        value = first * second
    return _clamp(fp.multiply(value, step.multiplier, step.shift) + step.zero_point, step.low, step.high)


@pytest.mark.parametrize("kind", [plan.Add, plan.Mul])
@pytest.mark.parametrize("period", ["all", "row", "one"])
def test_binary(kind: type[plan.Binary], period: str, folder: Path) -> None:
    rng = np.random.default_rng(5)
    for number in range(60):
        count = int(rng.integers(1, 40)) * 6
        repeated = {"all": count, "row": 6, "one": 1}[period]
        free = (int(rng.integers(1 << 30, 1 << 31)), -int(rng.integers(0, 7)))
        (m1, s1), (m2, s2) = [(_HALF, free), (free, _HALF), (free, free), (_HALF, _HALF)][number % 4]
        shift = -int(rng.integers(14, 23) if kind is plan.Add else rng.integers(-3, 12))
        points = (int(value) for value in rng.integers(-128, 128, 3))
        low, high = [(-128, 127), sorted(map(int, rng.integers(-128, 128, 2)))][number // 4 % 2]
        multipliers = (m1, m2, int(rng.integers(1 << 30, 1 << 31)))
        constant = rng.integers(-128, 128, repeated).astype(np.int8)
        at2: int | bytes = constant.tobytes() if number % 3 == 0 else count
        step = kind(0, at2, 2 * count, count, repeated, *multipliers, s1, s2, shift, *points, low, high)
        data = rng.integers(-128, 128, 2 * count).astype(np.int8)
        second = constant if number % 3 == 0 else data[count : count + repeated]
        got = _run(step, 2 * count, count, data, folder)
        pairs = zip(data[:count].tolist(), np.tile(second, count // repeated).tolist(), strict=True)
        assert got == [_expected(step, *pair) for pair in pairs], step


def test_mean(folder: Path) -> None:
    rng = np.random.default_rng(6)
    for _ in range(60):
        count, channels = (int(value) for value in rng.integers(1, 30, 2))
        step = plan.Mean(
            *(0, count * channels, count, channels, int(rng.integers(1 << 29, 1 << 31))),
            *(int(rng.integers(-4000, 4000)), int(rng.integers(-8, 2)), int(rng.integers(-128, 128))),
        )
        data = rng.integers(-128, 128, (count, channels)).astype(np.int8)
        sums = data.sum(0, np.int64).tolist()
        scaled = (fp.multiply(step.bias + value, step.multiplier, step.shift) for value in sums)
        expected = [_clamp(value + step.zero_point, -128, 127) for value in scaled]
        assert _run(step, count * channels, channels, data, folder) == expected, step


@pytest.mark.parametrize("kind", [plan.AveragePool, plan.MaxPool])
def test_pools(kind: type[plan.Pool], folder: Path) -> None:
    rng = np.random.default_rng(7)
    for _ in range(60):
        height, width, channels, kernel, stride = (
            int(value) for value in rng.integers((2, 2, 1, 1, 1), (9, 9, 10, 4, 4))
        )
        pad = int(rng.integers(0, kernel))
        outs = [int(rng.integers(1, (size + pad - 1) // stride + 2)) for size in (height, width)]
        window = wire.Window(height, width, channels, *outs, channels, kernel, kernel, stride, stride, pad, pad, 0)
        step = kind(0, window.in_bytes, window, -90, 80)
        data = rng.integers(-128, 128, (height, width, channels)).astype(np.int8)
        expected = []
        for y in range(outs[0]):
            for x in range(outs[1]):
                top, left = y * stride - pad, x * stride - pad
                part = data[max(0, top) : top + kernel, max(0, left) : left + kernel].reshape(-1, channels)
                if kind is plan.MaxPool:
                    values = part.max(0).tolist()
                else:
                    means = part.sum(0, np.int64) / len(part)
                    values = [fp.round_away(mean) for mean in means.tolist()]
                expected += [_clamp(value, -90, 80) for value in values]
        assert _run(step, window.in_bytes, window.out_bytes, data, folder) == expected, step


def test_softmax_is_a_distribution(folder: Path) -> None:
    """That it is the reference's is shown with whole models; here, that the extremes of depth and table are sound."""
    for depth, slope in ((1, 0.1), (2, 2.0), (10, 0.05), (511, 0.0), (512, 0.0), (4095, 0.0), (4095, 0.01)):
        exact = [min(math.exp(-i * slope) * 2**31, 2**31 - 1) for i in range(256)]
        table = np.array(exact).astype("<i4").tobytes()
        data = np.random.default_rng(depth).integers(-128, 128, depth).astype(np.int8)
        got = np.array(_run(plan.Softmax(0, depth, 1, depth, table), depth, depth, data, folder)) + 128
        weights = np.array(exact)[int(data.max()) - data.astype(int)]
        assert np.abs(got - np.minimum(255, 256 * weights / weights.sum())).max() <= 1


def test_copies_fills_and_tables(folder: Path) -> None:
    data = np.arange(60).astype(np.int8)
    rows = plan.Copy(0, 60, 5, 4, 12, 4)
    assert _run(rows, 60, 20, data, folder) == [12 * (i // 4) + i % 4 for i in range(20)]
    assert _run(replace(rows, in_stride=4), 60, 20, data, folder) == list(range(20))
    assert _run(plan.Fill(60, 7, -9), 60, 7, data, folder) == [-9] * 7
    table = np.arange(127, -129, -1).astype(np.int8).tobytes()
    assert _run(plan.Lut(0, 60, 59, table), 60, 59, data, folder) == [-1 - i for i in range(59)]
