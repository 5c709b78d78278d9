# SPDX-License-Identifier: Apache-2.0
"""Where the output may overlap the input: as near as allowed gives the same values, nearer is refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from firmware_tools.plan import operators as plan
from firmware_tools.plan import simulate, wire
from firmware_tools.plan.encode import Port, Program, encode

pytestmark = pytest.mark.skipif(
    not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="the engine is compiled by the machine's C compiler"
)
Windowed = plan.Conv | plan.Depthwise | plan.Pool


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engine")


def _window(rng: np.random.Generator, same_channels: bool) -> wire.Window:
    kernels, strides = rng.integers(1, 5, 2), rng.integers(1, 4, 2)
    pads = [int(rng.integers(0, kernel)) for kernel in kernels]
    ins = rng.integers(1, 9, 2)
    # As many as begin inside: more than most converters make.
    most = [(size + pad - 1) // stride + 1 for size, pad, stride in zip(ins, pads, strides, strict=True)]
    outs = [int(rng.integers(1, count + 1)) for count in most]
    in_c = int(rng.integers(1, 10))
    out_c = in_c if same_channels else int(rng.integers(1, 20))
    return wire.Window(*map(int, (*ins, in_c, *outs, out_c, *kernels, *strides, *pads, rng.integers(-128, 128))))


def _distance(window: wire.Window) -> int:
    """D by its definition."""
    row, in_row = window.out_w * window.out_c, window.in_w * window.in_c
    rows = range(window.out_h)
    return max((y + 1) * row - max(0, y * window.stride_h - window.pad_top) * in_row for y in rows)


def _requant(rng: np.random.Generator, channels: int) -> wire.Requant:
    return wire.Requant(
        rng.integers(-9999, 9999, channels).astype("<i4").tobytes(),
        rng.integers(1 << 30, 1 << 31, channels).astype("<i4").tobytes(),
        rng.integers(-12, -6, channels).astype(np.int8).tobytes(),
        *(7, -128, 127, int(rng.integers(0, 2))),
    )


def _conv(rng: np.random.Generator, window: wire.Window) -> plan.Conv:
    packed = -(-window.out_c // 2) * 2
    count = packed * plan.groups(window.kernel_h * window.kernel_w * window.in_c) * 4
    weights = rng.integers(-128, 128, count).astype(np.int8).tobytes()
    return plan.Conv(0, 0, 0, weights, window, _requant(rng, packed))


def _blob(step: Windowed, at_input: int, at_output: int) -> bytes:
    window = step.window
    scratch = -(-max(at_input + window.in_bytes, at_output + window.out_bytes) // 4) * 4
    arena = -(-(scratch + plan.scratch_bytes(step)) // 4) * 4
    placed = replace(step, input=at_input, output=at_output)
    if not isinstance(placed, plan.Pool):
        placed = replace(placed, scratch=scratch)
    ports = Port(at_input, window.in_bytes, 0, 1.0), Port(at_output, window.out_bytes, 0, 1.0)
    return encode(Program((placed,), arena, *ports))


def _inputs(rng: np.random.Generator, window: wire.Window) -> np.ndarray:
    return rng.integers(-128, 128, (2, window.in_bytes)).astype(np.int8)


@pytest.mark.parametrize("kind", ["conv", "average", "max"])
def test_as_near_as_allowed(kind: str, folder: Path) -> None:
    rng = np.random.default_rng(7)
    for _ in range(150):
        window = _window(rng, kind != "conv")
        pools = {"average": plan.AveragePool(0, 0, window, -128, 127), "max": plan.MaxPool(0, 0, window, -128, 127)}
        step = _conv(rng, window) if kind == "conv" else pools[kind]
        inputs = _inputs(rng, window)
        apart = simulate.simulate(_blob(step, 0, window.in_bytes), inputs, folder)
        near = _distance(window)
        in_step = (window.kernel_h, window.kernel_w, window.stride_h, window.stride_w) == (1, 1, 1, 1)
        if kind == "conv" and in_step and window.out_c <= window.in_c:
            near = 0
        together = simulate.simulate(_blob(step, near, 0), inputs, folder)
        assert (together == apart).all(), step
        if 0 < near <= window.out_bytes:
            assert simulate.check(_blob(step, near - 1, 0), folder) == "EN_BAD_OVERLAP", step


def test_depthwise_in_place(folder: Path) -> None:
    rng = np.random.default_rng(8)
    for _ in range(150):
        window = _window(rng, True)
        window = replace(window, stride_h=1, stride_w=1, out_h=window.in_h, out_w=window.in_w)
        count = window.out_c * window.kernel_h * window.kernel_w
        weights = rng.integers(-128, 128, count).astype(np.int8).tobytes()
        strip = int(rng.integers(1, window.out_h + 1))
        step = plan.Depthwise(0, 0, 0, weights, window, _requant(rng, window.out_c), strip)
        inputs = _inputs(rng, window)
        apart = simulate.simulate(_blob(step, 0, window.in_bytes), inputs, folder)
        assert (simulate.simulate(_blob(step, 0, 0), inputs, folder) == apart).all(), step
        if window.in_bytes > 1:
            assert simulate.check(_blob(step, 1, 0), folder) == "EN_BAD_OVERLAP", step
