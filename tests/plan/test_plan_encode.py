# SPDX-License-Identifier: Apache-2.0
"""What is in a plan: weights in the kernels' order, tables, offsets; and how far outputs may lie on inputs."""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from helpers.plan.engine_here import check
from helpers.tflite_builder import Op, T, constant, model
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_tools.errors import PlanError
from firmware_tools.plan import compile_plan, wire
from firmware_tools.plan import operators as plan
from firmware_tools.plan.encode import Port, Program, decode, encode

PLAN_H = Path(plan.__file__).parents[1] / "firmware" / "engine" / "plan.h"
OPTIONS = {"StrideH": 1, "StrideW": 1, "Padding": 0, "DilationHFactor": 1, "DilationWFactor": 1}
quick = settings(max_examples=200, deadline=None, derandomize=True, database=None)


def conv(out_c: int, in_c: int, kernel: int = 1, zero_point: int = 5) -> bytes:
    rng = np.random.default_rng(out_c)
    filters = constant(rng.integers(-127, 128, (out_c, kernel, kernel, in_c)), np.full(out_c, 0.01).tolist())
    tensors = [T((1, 6, 6, in_c), 0.1, zero_point), T((1, 6, 6, out_c), 0.5), filters]
    return model([*tensors, constant(range(out_c), None, "int32")], [Op("CONV_2D", [0, 2, 3], [1], OPTIONS)], [0], [1])


def test_kinds_and_record_sizes_are_those_of_plan_h() -> None:
    text = PLAN_H.read_text()
    records = re.findall(r"DO\(EN_(\w+), (\d+), \w+, (\d+),", text)
    ours = [(of.label.replace(" ", "_").upper(), str(of.kind), str(of.record_bytes)) for of in plan.OPERATORS]
    assert ours == records
    assert len({of.kind for of in plan.OPERATORS}) == len(plan.OPERATORS)
    assert f"EN_LANES {plan.LANES}u" in text
    assert f"EN_PIXELS {plan.PIXELS}u" in text


@pytest.mark.parametrize(("out_c", "in_c", "kernel"), [(4, 8, 1), (5, 3, 1), (3, 2, 3)])
def test_packed_weights(out_c: int, in_c: int, kernel: int) -> None:
    (operator,) = compile_plan(conv(out_c, in_c, kernel)).operators
    record = operator.record
    assert isinstance(record, plan.Conv)
    rows = np.random.default_rng(out_c).integers(-127, 128, (out_c, kernel, kernel, in_c)).reshape(out_c, -1)
    groups, blocks = plan.groups(rows.shape[1]), -(-out_c // 2)
    packed = np.frombuffer(record.weights, np.int8).reshape(blocks, groups, 2, 4)
    for channel in range(2 * blocks):
        for i in range(4 * groups):
            inside = channel < out_c and i < rows.shape[1]
            assert packed[channel // 2, i // 4, channel % 2, i % 4] == (rows[channel, i] if inside else 0)
    bias = np.frombuffer(record.requant.bias, "<i4")
    np.testing.assert_array_equal(bias[:out_c], np.arange(out_c) - 5 * rows.sum(axis=1))
    assert not bias[out_c:].any()
    shifts = np.frombuffer(record.requant.shift, np.int8)
    assert len(shifts) == len(bias) == 2 * blocks
    assert set(shifts[out_c:]) <= {-1}
    assert record.requant.fast == 1


@st.composite
def windows(draw: st.DrawFn) -> wire.Window:
    in_h, kernel, stride = draw(st.integers(1, 20)), draw(st.integers(1, 7)), draw(st.integers(1, 4))
    pad = draw(st.integers(0, kernel - 1))
    out_h = draw(st.integers(1, (in_h + pad - 1) // stride + 1))
    sizes = [draw(st.integers(1, 6)) for _ in range(4)]
    return wire.Window(in_h, sizes[0], sizes[1], out_h, sizes[2], sizes[3], kernel, 1, stride, 1, pad, 0, 0)


@quick
@given(windows())
def test_the_distance_is_the_largest_over_all_rows(w: wire.Window) -> None:
    rows = range(w.out_h)
    needed = [max(0, y * w.stride_h - w.pad_top) * w.in_w * w.in_c for y in rows]
    expected = max((y + 1) * w.out_w * w.out_c - needed[y] for y in rows)
    assert plan.conv_distance(w) == max(0, expected)


def test_equal_tables_are_stored_once() -> None:
    tensors = [T((1, 8)), T((1, 8)), T((1, 8))]
    ops = [Op("RELU6", [0], [1]), Op("RELU6", [1], [2])]
    one, two = (compile_plan(model(tensors, ops[:n], [0], [n])).blob for n in (1, 2))
    assert len(two) == len(one) + 20  # a second record, no second table


def test_the_header() -> None:
    blob = compile_plan(conv(4, 8)).blob
    fields_ = struct.unpack_from("<IHHII", blob)
    assert fields_ == (0x4E4C5045, 1, 1, len(blob), zlib.crc32(blob[16:]))
    program = decode(blob)
    assert program.input.scale == np.float32(0.1)
    assert (program.input.zero_point, program.input.bytes, program.output.bytes) == (5, 288, 144)
    # A pointwise convolution to no more channels writes over its input.
    assert program.output.offset <= program.input.offset
    assert program.arena_bytes == 288 + 24 * 2


def test_every_operator_survives_the_way_there_and_back() -> None:
    requant = wire.Requant(bytes(16), bytes(16), bytes(4), -1, -2, 3, 1)
    window = wire.Window(1, 2, 3, 4, 5, 4, 7, 1, 9, 10, 11, 12, -13)
    operators = (
        plan.Conv(1, 2, 3, bytes(range(96)), window, requant),
        plan.Dense(1, 2, 3, bytes(range(16)), 3, 4, requant),
        plan.Depthwise(1, 2, 3, bytes(range(28)), window, requant, 2),
        *(of(1, 2, 3, 4, 4, 5, 6, 7, -8, -9, 10, 11, -12, 13, -14, 15) for of in (plan.Add, plan.Mul)),
        plan.Add(1, b"abcd", 3, 8, 4, 5, 6, 7, -8, -9, 10, 11, -12, 13, -14, 15),
        *(of(1, 2, window, -3, 4) for of in (plan.AveragePool, plan.MaxPool)),
        plan.Mean(1, 2, 3, 4, 5, -6, -7, 8),
        plan.Copy(1, 2, 3, 4, 5, 6),
        plan.Fill(1, 2, -3),
        plan.Lut(1, 2, 3, bytes(range(256))),
        plan.Softmax(1, 2, 3, 4, bytes(1024)),
    )
    assert {type(operator) for operator in operators} == set(plan.OPERATORS)
    program = Program(operators, 64, Port(0, 4, -1, 0.5), Port(8, 4, 1, 0.25))
    assert decode(encode(program)) == program
    for operator in operators:
        assert [field.name for field in fields(operator)]


@pytest.mark.parametrize("height", [1, 5, 16, 33, 96])
def test_depthwise_strips_cost_little_memory(height: int) -> None:
    filters = constant(np.ones((1, 3, 3, 8)), np.full(8, 0.01).tolist(), axis=3)
    shape = (1, height, 20, 8)
    op = Op("DEPTHWISE_CONV_2D", [0, 2], [1], {**OPTIONS, "DepthMultiplier": 1})
    compiled = compile_plan(model([T(shape, 0.1), T(shape, 0.5), filters], [op], [0], [1]))
    record = compiled.operators[0].record
    assert isinstance(record, plan.Depthwise)
    assert 1 <= record.strip <= min(height, 16)
    assert record.input == record.output  # in place
    one_row = 4 * 3 * 24 * 2 + 48
    assert compiled.arena_bytes <= (height * 160 + one_row) * 9 / 8 + 4
    assert check(compiled.blob) == "EN_OK"


def test_a_plan_of_another_version() -> None:
    blob = bytearray(compile_plan(conv(4, 8)).blob)
    blob[4] = 2
    with pytest.raises(PlanError, match="plan version 2"):
        decode(bytes(blob))
    with pytest.raises(PlanError, match="does not begin with EPLN"):
        decode(bytes(64))
