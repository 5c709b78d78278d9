#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Small valid plans, one for each kind of operator and some variants: what the fuzzers begin with.

seeds.py FOLDER writes each as a file of its name.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from firmware_tools.plan import operators as plan
from firmware_tools.plan import wire
from firmware_tools.plan.encode import Port, Program, encode

_OUT = 512  # arena offsets: the input is at 0
_SCRATCH = 1024
_ARENA = 4096


def _window(height: int, width: int, in_c: int, out_c: int, kernel: int, stride: int) -> wire.Window:
    """The window with "same" padding."""
    outs = [-(-size // stride) for size in (height, width)]
    pads = [max(0, (out - 1) * stride + kernel - size) // 2 for out, size in zip(outs, (height, width), strict=True)]
    return wire.Window(
        height, width, in_c, outs[0], outs[1], out_c, kernel, kernel, stride, stride, pads[0], pads[1], -3
    )


def _requant(channels: int, fast: int) -> wire.Requant:
    rng = np.random.default_rng(channels)
    shifts = rng.integers(-9, -5, channels) if fast else rng.integers(-9, 3, channels)
    return wire.Requant(
        rng.integers(-2000, 2000, channels).astype("<i4").tobytes(),
        rng.integers(1 << 30, 1 << 31, channels).astype("<i4").tobytes(),
        shifts.astype(np.int8).tobytes(),
        *(5, -128 if fast else -100, 127, fast),
    )


def _weights(count: int) -> bytes:
    return np.random.default_rng(count).integers(-128, 128, count).astype(np.int8).tobytes()


def _conv(window: wire.Window, fast: int) -> plan.Conv:
    packed = -(-window.out_c // 2) * 2
    inputs = plan.groups(window.kernel_h * window.kernel_w * window.in_c) * 4
    return plan.Conv(0, _OUT, _SCRATCH, _weights(packed * inputs), window, _requant(packed, fast))


def _depthwise(window: wire.Window, strip: int) -> plan.Depthwise:
    weights = _weights(window.out_c * window.kernel_h * window.kernel_w)
    return plan.Depthwise(0, _OUT, _SCRATCH, weights, window, _requant(window.out_c, 1), strip)


def _binary(kind: type[plan.Binary], input2: int | bytes, period: int, shifts: tuple[int, int, int]) -> plan.Binary:
    multipliers = (1 << 30, 1518500250, 1717986918)
    return kind(0, input2, _OUT, 24, period, *multipliers, *shifts, -3, 4, 5, -128, 127)


def _softmax() -> plan.Softmax:
    table = np.minimum(np.exp(-np.arange(256) / 16) * 2**31, 2**31 - 1).astype("<i4")
    return plan.Softmax(0, _OUT, 3, 10, table.tobytes())


def operators() -> dict[str, wire.Operator]:
    """Operators that read their input at 0 and write their output at 512, by a name."""
    return {
        "conv": _conv(_window(5, 6, 3, 5, 3, 2), 1),
        "pointwise": _conv(_window(3, 3, 8, 6, 1, 1), 0),
        "dense": plan.Dense(0, _OUT, _SCRATCH, _weights(12 * 8), 10, 7, _requant(8, 1)),
        "depthwise": _depthwise(_window(6, 5, 6, 6, 3, 1), 2),
        "multiplied": _depthwise(_window(6, 5, 2, 4, 3, 2), 3),
        "add": _binary(plan.Add, 256, 24, (0, -1, -18)),
        "bias": _binary(plan.Add, _weights(8), 8, (-2, 0, -18)),
        "mul": _binary(plan.Mul, 256, 24, (0, 0, -7)),
        "scale": _binary(plan.Mul, _weights(1), 1, (0, 0, 2)),
        "average": plan.AveragePool(0, _OUT, _window(5, 5, 6, 6, 3, 2), -128, 127),
        "max": plan.MaxPool(0, _OUT, _window(5, 5, 5, 5, 2, 1), -100, 100),
        "mean": plan.Mean(0, _OUT, 20, 7, 1518500250, 60, -4, 5),
        "copy": plan.Copy(0, _OUT, 4, 5, 7, 9),
        "fill": plan.Fill(_OUT, 30, -3),
        "lut": plan.Lut(0, _OUT, 30, _weights(256)),
        "softmax": _softmax(),
    }


def output_bytes(step: wire.Operator) -> int:
    """What an operator writes from 512 on."""
    if isinstance(step, plan.Conv | plan.Depthwise | plan.Pool):
        return step.window.out_bytes
    if isinstance(step, plan.Dense):
        return step.outputs
    if isinstance(step, plan.Mean):
        return step.channels
    if isinstance(step, plan.Copy):
        return step.row_bytes  # of the first row: what lies between two rows is not written
    if isinstance(step, plan.Softmax):
        return step.rows * step.depth
    assert isinstance(step, plan.Binary | plan.Fill | plan.Lut)
    return step.count


def program(steps: tuple[wire.Operator, ...]) -> bytes:
    """A plan of these, with an input of 512 bytes at 0; the last one writes the output."""
    ports = Port(0, _OUT, -3, 0.5), Port(_OUT, output_bytes(steps[-1]), 5, 0.25)
    return encode(Program(steps, _ARENA, *ports))


def seeds() -> dict[str, bytes]:
    """A plan for each operator, and one of all."""
    steps = operators()
    return {**{name: program((step,)) for name, step in steps.items()}, "all": program(tuple(steps.values()))}


if __name__ == "__main__":
    for seed, blob in seeds().items():
        Path(sys.argv[1], seed).write_bytes(blob)
