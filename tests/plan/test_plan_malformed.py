"""Whatever the bytes of a .tflite file are: a plan, or one line."""

from __future__ import annotations

import struct
import sys
import time
from typing import Any

import numpy as np
import pytest
from engine_here import check
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tflite_builder import Op, T, constant, model

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
    assert len(text) < 400
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


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"input": T((1, 4, 4, 2), None, dtype="float32")}, "float32"),
        ({"input": T((2, 4, 4, 2), 0.1), "output": T((2, 2, 2, 3), 0.2)}, "batch 1"),
        ({"input": T((1, -1, 4, 2), 0.1)}, "fixed sizes"),
        ({"input": T((1, 4, 4, 2), 0.1, signature=(1, -1, 4, 2))}, "dynamic shape"),
        ({"input": T((1, 1 << 30, 4, 2), 0.1)}, "at most 16777216"),
        ({"input": T((1, 4, 4, 2), [0.1, 0.2])}, "2 scales"),
        ({"input": T((1, 4, 4, 2), 0.1, 200)}, "int8"),
        ({"input": T((1, 4, 4, 2), float("nan"))}, "not a positive number"),
        ({"input": T((1, 4, 4, 4), 0.1)}, "2 groups"),
        ({"output": T((1, 3, 2, 3), 0.2)}, "[2, 2] follow"),
        ({"output": T((1, 2, 2, 3), 1e-30)}, "at most 2^30"),
        ({"weights": T((3, 3, 3, 2), 0.1)}, "nothing has written"),
        ({"weights": constant(np.zeros((3, 3, 3, 2)), None, "float32")}, "float32 weights: int8"),
        ({"weights": constant(np.zeros((3, 3, 3, 2)), [0.1, 0.2, 0.3], axis=3)}, "3 weight scales"),
        ({"weights": T((3, 3, 3, 2), 0.1, 5, data=np.zeros((3, 3, 3, 2), np.int8))}, "symmetrically"),
        ({"weights": T((3, 3, 3, 2), 0.1, data=np.zeros(7, np.int8))}, "7 values"),
        ({"bias": constant([1, 2], None, "int32")}, "2 biases"),
        ({"bias": constant([2**31 - 1, 0, 0], None, "int32")}, "leave an int32"),
    ],
)
def test_tensors(changes: dict[str, T], said: str) -> None:
    text = refused(model(conv(**changes), [Op("CONV_2D", [0, 2, 3], [1], CONV)], [0], [1]))
    assert said in text


@pytest.mark.parametrize(
    ("op", "said"),
    [
        (Op("CONV_2D", [0, 2, 3], [1], {**CONV, "DilationHFactor": 2}), "dilation 2: use dilation 1"),
        (Op("CONV_2D", [0, 2, 3], [1], {**CONV, "StrideH": 0}), "strides [0, 1]"),
        (Op("CONV_2D", [0, 2, 3], [1], {**CONV, "FusedActivationFunction": 4}), "use none, RELU"),
        (Op("CONV_2D", [0], [1], CONV), "lacks its input 1"),
        (Op("CONV_2D", [0, 2, 9], [1], CONV), "malformed"),
        (Op("CONV_2D", [0, 2, 3], [2], CONV), "writes a constant"),
        (Op("TRANSPOSE_CONV", [0, 2, 3], [1]), "operator 0 (TRANSPOSE_CONV) is not supported: enlarge"),
        (Op("COS", [0], [1]), "operator 0 (COS) is not supported: use convolutions"),
        (Op("ADD", [0, 0], [1]), "equal shapes"),
        (Op("MEAN", [0, 3], [1]), "convert"),
        (Op("SOFTMAX", [0], [1]), "1/256 and -128 are supported"),
        (Op("CONCATENATION", [0, 0], [1], {"Axis": 7}), "zero point"),
        (Op("PAD", [0, 3], [1]), "zero point"),
        (Op("RESHAPE", [0], [1]), "[1, 4, 4, 2] to [1, 2, 2, 3]"),
    ],
)
def test_operators(op: Op, said: str) -> None:
    text = refused(model(conv(), [op], [0], [1]))
    assert said in text
    if "operator 0" in text:
        assert op.kind in text


def test_fields_name_the_operator() -> None:
    with pytest.raises(PlanError) as caught:
        compile_plan(model(conv(), [Op("TRANSPOSE_CONV", [0, 2, 3], [1])], [0], [1]))
    assert caught.value.fields["operator"] == 0
    assert caught.value.fields["name"] == "TRANSPOSE_CONV"


def test_graphs() -> None:
    relu = [T((1, 4)), T((1, 4)), T((1, 4))]
    assert "0 operators" in refused(model(relu, [], [0], [1]))
    assert "2 inputs" in refused(model(relu, [Op("RELU6", [0], [2])], [0, 1], [2]))
    assert "0 outputs" in refused(model(relu, [Op("RELU6", [0], [2])], [0], []))
    circle = [Op("RELU6", [2], [1]), Op("RELU6", [1], [2])]
    assert "nothing has written before" in refused(model(relu, circle, [0], [1]))
    twice = [Op("RELU6", [0], [1]), Op("RELU6", [0], [1])]
    assert "written already" in refused(model(relu, twice, [0], [1]))
    assert "no operator writes" in refused(model(relu, [Op("RELU6", [0], [1])], [0], [2]))
    assert "no operator writes" in refused(model(relu, [Op("RELU6", [0], [1])], [0], [0]))


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
