# SPDX-License-Identifier: Apache-2.0
"""Whatever the bytes of a .tflite file are: a plan, or one line."""

from __future__ import annotations

import struct
import sys
import time
from typing import Any

import numpy as np
import pytest
from helpers.plan.engine_here import check
from helpers.tflite_builder import Op, T, constant, model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware_tools.errors import PlanError
from firmware_tools.plan import compile_plan
from firmware_tools.plan.encode import decode

CONV = {"StrideH": 1, "StrideW": 1, "Padding": 1, "DilationHFactor": 1, "DilationWFactor": 1}


def conv(**more: Any) -> list[T]:
    """Input, output, weights and biases of a convolution of 4x4x2 to 2x2x3."""
    changed = {"input": T((1, 4, 4, 2), 0.1), "output": T((1, 2, 2, 3), 0.2, 3)}
    changed |= {"weights": constant(np.arange(54).reshape(3, 3, 3, 2), [0.1, 0.2, 0.3])}
    changed |= {"bias": constant([1, 2, 3], None, "int32")}
    return list((changed | more).values())


def network() -> bytes:
    """A convolution, a pool, a dense layer and a softmax."""
    tensors = [
        *conv(),
        *(T((1, 1, 1, 3), 0.2, 3), T((1, 3), 0.2, 3), T((1, 5), 0.1), T((1, 5), 1 / 256, -128)),
        *(constant([1, 3], None, "int32"), constant(np.arange(15).reshape(5, 3), 0.1)),
    ]
    pool = {"StrideH": 1, "StrideW": 1, "Padding": 1, "FilterHeight": 2, "FilterWidth": 2}
    ops = [
        Op("CONV_2D", [0, 2, 3], [1], CONV),
        Op("AVERAGE_POOL_2D", [1], [4], pool),
        Op("RESHAPE", [4, 8], [5]),
        Op("FULLY_CONNECTED", [5, 9, -1], [6]),
        Op("SOFTMAX", [6], [7], {"Beta": 1.0}),
    ]
    return model(tensors, ops, [0], [7])


def compiles(tflite: bytes) -> bool:
    """Whether it does; if not, there is one line and nothing else."""
    start, text, code = time.monotonic(), "", 2
    try:
        assert check(compile_plan(tflite).blob) == "EN_OK"  # what is compiled, the engine accepts
    except PlanError as error:
        text, code = str(error), error.exit_code
    assert time.monotonic() - start < 60  # a tenth of a second: only a hang is caught
    assert "\n" not in text
    assert len(text) < 200
    assert code == 2
    return not text


def refused(tflite: bytes) -> str:
    with pytest.raises(PlanError) as caught:
        compile_plan(tflite)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_truncation() -> None:
    whole = network()
    assert compiles(whole)
    for size in range(len(whole)):
        compiles(whole[:size])
    assert not any(compiles(whole[:size]) for size in range(0, len(whole) // 2, 8))


@pytest.mark.filterwarnings("error")
def test_flipped_bits() -> None:
    whole = network()
    rng = np.random.default_rng(0)
    for _ in range(2500):
        damaged = bytearray(whole)
        for _ in range(rng.integers(1, 4)):
            damaged[rng.integers(len(whole))] ^= 1 << int(rng.integers(8))
        compiles(bytes(damaged))


def test_extreme_words() -> None:
    whole = network()
    for at in range(0, len(whole) - 3, 4):
        for value in (0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, 0x00010000, len(whole)):
            compiles(whole[:at] + struct.pack("<I", value) + whole[at + 4 :])


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=200), st.booleans())
def test_arbitrary_bytes(data: bytes, marked: bool) -> None:
    assert not compiles(data[:4] + b"TFL3" + data[4:] if marked else data)


def test_fields_name_the_operator() -> None:
    with pytest.raises(PlanError) as caught:
        compile_plan(model(conv(), [Op("TRANSPOSE_CONV", [0, 2, 3], [1])], [0], [1]))
    assert caught.value.fields["operator"] == 0
    assert caught.value.fields["name"] == "TRANSPOSE_CONV"


def test_a_batch_that_is_left_open_is_batch_1() -> None:
    tensors = [T((1, 4), signature=(-1, 4)), T((1, 4), signature=(-1, 4))]
    assert compile_plan(model(tensors, [Op("RELU6", [0], [1])], [0], [1])).input.shape == (1, 4)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = network()
    monkeypatch.setitem(sys.modules, "tflite", None)
    assert "pip install 'edgenas[mcu]'" in refused(whole)


def test_damaged_plans() -> None:
    blob = compile_plan(network()).blob
    for size in range(len(blob)):
        with pytest.raises(PlanError):
            decode(blob[:size])
    for at in range(len(blob)):
        with pytest.raises(PlanError):
            decode(blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :])
