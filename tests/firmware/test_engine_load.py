# SPDX-License-Identifier: Apache-2.0
"""en_load: whatever is wrong with a plan has its status, and what it accepts runs cleanly."""

from __future__ import annotations

import shutil
import struct
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.firmware.tiny_plans import SEEDS, build_eater, eat, fields, get, put, put_table, signed

from firmware_tools.errors import PlanError
from firmware_tools.plan import simulate

pytestmark = pytest.mark.skipif(
    not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="the engine is compiled by the machine's C compiler"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engine")


@pytest.mark.parametrize("name", SEEDS)
def test_valid_plans_are_accepted(name: str, folder: Path) -> None:
    assert simulate.check(SEEDS[name], folder) == "EN_OK"


@pytest.mark.parametrize(
    ("field", "value", "status"),
    [
        ("magic", 0x12345678, "EN_BAD_MAGIC"),
        ("version", 2, "EN_BAD_VERSION"),
        ("packing", 2, "EN_BAD_VERSION"),
        ("plan_bytes", 1 << 20, "EN_BAD_SIZE"),
        ("plan_bytes", 60, "EN_BAD_SIZE"),
        ("plan_bytes", 98, "EN_BAD_SIZE"),
        ("plan_bytes", 0xFFFFFFFC, "EN_BAD_SIZE"),
        ("crc32", 1, "EN_BAD_CRC"),
        ("arena_bytes", 4094, "EN_BAD_ALIGNMENT"),
        ("arena_bytes", 0xFFFFFFFC, "EN_ARENA_TOO_SMALL"),
        ("arena_bytes", 508, "EN_BAD_OFFSET"),
        ("op_count", 0, "EN_BAD_OPERATOR"),
        ("op_count", 2, "EN_BAD_OPERATOR"),
        ("op_count", 0xFFFFFFFF, "EN_BAD_OPERATOR"),
        ("ops", 66, "EN_BAD_ALIGNMENT"),
        ("ops", 60, "EN_BAD_OFFSET"),
        ("ops", 0xFFFFFFF0, "EN_BAD_OFFSET"),
        ("ops_bytes", 0, "EN_BAD_OPERATOR"),
        ("ops_bytes", 32, "EN_BAD_OPERATOR"),
        ("ops_bytes", 48, "EN_BAD_OFFSET"),
        ("input", 4000, "EN_BAD_OFFSET"),
        ("input_bytes", 0, "EN_BAD_SHAPE"),
        ("input_bytes", 4097, "EN_BAD_OFFSET"),
        ("input_zero_point", 128, "EN_BAD_VALUE"),
        ("input_zero_point", -129, "EN_BAD_VALUE"),
        ("output", 0xFFFFFFFF, "EN_BAD_OFFSET"),
        ("output_bytes", 0, "EN_BAD_SHAPE"),
        ("output_zero_point", 1 << 30, "EN_BAD_VALUE"),
    ],
)
def test_header(field: str, value: int, status: str, folder: Path) -> None:
    assert simulate.check(put(SEEDS["average"], "header", **{field: value}), folder) == status


@pytest.mark.parametrize(
    ("name", "field", "values", "status"),
    [
        ("conv", "kind", (0, 2, 13, 0xFFFF), "EN_BAD_OPERATOR"),
        ("conv", "bytes", (0, 4, 52, 60, 0xFFFF), "EN_BAD_OPERATOR"),
        *(
            (name, "in", (4090, 0xFFFFFFFF), "EN_BAD_OFFSET")
            for name in ("conv", "dense", "lut", "softmax", "mean", "copy")
        ),
        *((name, "out", (4090, 0xFFFFFFFF), "EN_BAD_OFFSET") for name in ("conv", "dense", "add", "average", "fill")),
        *((name, "weights", (0xFFFFFFFC, 300), "EN_BAD_OFFSET") for name in ("conv", "dense", "depthwise")),
        *((name, "weights", (122,), "EN_BAD_ALIGNMENT") for name in ("conv", "dense", "depthwise")),
        *((name, "scratch", (1026,), "EN_BAD_ALIGNMENT") for name in ("conv", "dense", "depthwise")),
        *((name, "scratch", (4092, 0xFFFFFFFC), "EN_BAD_OFFSET") for name in ("conv", "dense", "depthwise")),
        *((name, "scratch", (0, 512), "EN_BAD_OVERLAP") for name in ("conv", "dense", "depthwise")),
        *((name, "bias", (1000, 0xFFFFFFFC), "EN_BAD_OFFSET") for name in ("conv", "dense", "depthwise")),
        *((name, "bias", (126,), "EN_BAD_ALIGNMENT") for name in ("conv", "dense", "depthwise")),
        *((name, "multiplier", (0xFFFFFFFC,), "EN_BAD_OFFSET") for name in ("conv", "dense", "depthwise")),
        *((name, "shift", (0xFFFFFFFC, 2000), "EN_BAD_OFFSET") for name in ("conv", "dense", "depthwise")),
        *((name, "fast", (2, 255), "EN_BAD_VALUE") for name in ("conv", "dense", "depthwise")),
        *((name, "high", (-129 + 256 - 256 + 1,), "EN_BAD_VALUE") for name in ("pointwise", "max")),
        *((name, "in_h", (0, 2), "EN_BAD_SHAPE") for name in ("conv", "depthwise", "average")),
        *((name, "in_c", (0,), "EN_BAD_SHAPE") for name in ("conv", "depthwise", "average", "max")),
        *((name, "out_c", (0,), "EN_BAD_SHAPE") for name in ("conv", "depthwise", "average", "max")),
        *((name, "out_w", (0, 65535), "EN_BAD_SHAPE") for name in ("conv", "depthwise", "average", "max")),
        *((name, "kernel_w", (0,), "EN_BAD_SHAPE") for name in ("conv", "depthwise", "average", "max")),
        *((name, "stride_h", (0, 200), "EN_BAD_SHAPE") for name in ("conv", "depthwise", "average", "max")),
        *((name, "pad_top", (3, 255), "EN_BAD_SHAPE") for name in ("conv", "depthwise", "average", "max")),
        *((name, "pad_left", (3, 255), "EN_BAD_SHAPE") for name in ("conv", "depthwise", "average", "max")),
        ("depthwise", "out_c", (7,), "EN_BAD_SHAPE"),
        ("average", "out_c", (12,), "EN_BAD_SHAPE"),
        ("depthwise", "strip", (0, 7, 0xFFFFFFFF), "EN_BAD_SHAPE"),
        ("dense", "inputs", (0,), "EN_BAD_SHAPE"),
        ("dense", "outputs", (0, 0xFFFFFFFF), "EN_BAD_SHAPE"),
        ("dense", "inputs", (100, 1 << 20, 0xFFFFFFFF), "EN_BAD_OFFSET"),
        ("add", "count", (0, 25), "EN_BAD_SHAPE"),
        ("add", "period", (0, 7, 48), "EN_BAD_SHAPE"),
        ("add", "shift1", (1, -32), "EN_BAD_VALUE"),
        ("add", "shift2", (1, -32), "EN_BAD_VALUE"),
        ("add", "shift", (1, -32), "EN_BAD_VALUE"),
        ("mul", "shift", (31, -32), "EN_BAD_VALUE"),
        ("add", "multiplier1", (-1,), "EN_BAD_VALUE"),
        ("add", "multiplier2", (-1,), "EN_BAD_VALUE"),
        ("mul", "multiplier", (-1,), "EN_BAD_VALUE"),
        ("add", "constant", (2,), "EN_BAD_VALUE"),
        ("add", "in2", (4090,), "EN_BAD_OFFSET"),
        ("bias", "in2", (200, 0xFFFFFFFF), "EN_BAD_OFFSET"),
        ("add", "out", (1, 23, 257, 279), "EN_BAD_OVERLAP"),
        ("mean", "count", (0,), "EN_BAD_SHAPE"),
        ("mean", "channels", (0,), "EN_BAD_SHAPE"),
        ("mean", "count", (0xFFFFFFFF,), "EN_BAD_VALUE"),
        ("mean", "channels", (1 << 31,), "EN_BAD_OFFSET"),
        ("mean", "bias", (-(1 << 31), (1 << 31) - 1), "EN_BAD_VALUE"),
        ("mean", "shift", (31, -32), "EN_BAD_VALUE"),
        ("mean", "out", (0, 139), "EN_BAD_OVERLAP"),
        ("copy", "rows", (0,), "EN_BAD_SHAPE"),
        ("copy", "row_bytes", (0, 10), "EN_BAD_SHAPE"),
        ("copy", "out_stride", (0, 4), "EN_BAD_SHAPE"),
        ("copy", "rows", (1 << 30,), "EN_BAD_OFFSET"),
        ("copy", "in_stride", (0xFFFFFFFF,), "EN_BAD_OFFSET"),
        ("copy", "out", (0, 25), "EN_BAD_OVERLAP"),
        ("fill", "count", (0,), "EN_BAD_SHAPE"),
        ("lut", "count", (0,), "EN_BAD_SHAPE"),
        ("lut", "table", (400, 0xFFFFFFFF), "EN_BAD_OFFSET"),
        ("lut", "out", (1, 29), "EN_BAD_OVERLAP"),
        ("softmax", "rows", (0,), "EN_BAD_SHAPE"),
        ("softmax", "depth", (0, 4096), "EN_BAD_SHAPE"),
        ("softmax", "table", (90,), "EN_BAD_ALIGNMENT"),
        ("softmax", "table", (92, 0xFFFFFFFC), "EN_BAD_OFFSET"),
        ("softmax", "out", (1, 29), "EN_BAD_OVERLAP"),
    ],
)
def test_operator(name: str, field: str, values: tuple[int, ...], status: str, folder: Path) -> None:
    for value in values:
        assert simulate.check(put(SEEDS[name], name, **{field: value}), folder) == status, value


@pytest.mark.parametrize(
    ("name", "table", "code", "value"),
    [
        ("conv", "bias", "<i", 1 << 30),  # an accumulator could leave what the fast way can hold
        ("pointwise", "bias", "<i", -(1 << 31)),  # or overflow
        ("conv", "multiplier", "<i", -1),
        ("conv", "shift", "<b", -23),
        ("conv", "shift", "<b", 0),
        ("pointwise", "shift", "<b", 31),
        ("pointwise", "shift", "<b", -32),
        ("softmax", "table", "<i", 0x7FFFFFFE),  # a sum could be 0
    ],
)
def test_values_in_tables(name: str, table: str, code: str, value: int, folder: Path) -> None:
    plan = put_table(SEEDS[name], get(SEEDS[name], name, table), code, value)
    assert simulate.check(plan, folder) == "EN_BAD_VALUE"


def test_a_negative_exponential(folder: Path) -> None:
    plan = put_table(SEEDS["softmax"], get(SEEDS["softmax"], "softmax", "table") + 4, "<i", -1)
    assert simulate.check(plan, folder) == "EN_BAD_VALUE"


def test_truncated_plans(folder: Path) -> None:
    for length in (0, 1, 63, len(SEEDS["conv"]) - 1):
        assert simulate.check(SEEDS["conv"][:length], folder) == "EN_BAD_SIZE"


def test_what_lies_behind_a_plan_does_not_matter(folder: Path) -> None:
    assert simulate.check(SEEDS["conv"] + b"\xff" * 99, folder) == "EN_OK"


def test_the_message_names_status_and_operator(folder: Path) -> None:
    plan = put(SEEDS["average"], "average", stride_h=0)
    with pytest.raises(PlanError, match="EN_BAD_SHAPE in operator 0") as caught:
        simulate.simulate(plan, np.zeros((1, 512), np.int8), folder)
    assert caught.value.fields == {"status": "EN_BAD_SHAPE", "operator": 0}


def test_the_message_names_the_header(folder: Path) -> None:
    plan = put(SEEDS["average"], "header", input_zero_point=128)
    with pytest.raises(PlanError, match="EN_BAD_VALUE in the header") as caught:
        simulate.simulate(plan, np.zeros((1, 512), np.int8), folder)
    assert caught.value.fields == {"status": "EN_BAD_VALUE", "operator": None}


def test_inputs_of_another_size(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"int8 \[n, 512\]"):
        simulate.simulate(SEEDS["average"], np.zeros((2, 511), np.int8), folder)


def test_no_compiler(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(PlanError, match="CC=no-such-compiler is not a program: install one, or set CC"):
        simulate.check(SEEDS["average"], folder)


def test_the_sanitized_engine_gives_the_same(folder: Path) -> None:
    inputs = np.random.default_rng(3).integers(-128, 128, (4, 512)).astype(np.int8)
    for plan in SEEDS.values():
        assert (simulate.simulate(plan, inputs, folder) == simulate.simulate(plan, inputs, folder, sanitize=True)).all()


def test_one_table_for_thousands_of_operators_is_refused_quickly(folder: Path) -> None:
    record, rest = SEEDS["softmax"][64:88], SEEDS["softmax"][88:]
    record = record[:20] + struct.pack("<I", 64 + 40000 * 24)
    plan = SEEDS["softmax"][:64] + record * 40000 + rest
    plan = put(plan, "header", plan_bytes=len(plan), op_count=40000, ops_bytes=40000 * 24)
    began = time.monotonic()
    assert simulate.check(plan, folder) == "EN_BAD_SHAPE"
    assert time.monotonic() - began < 60  # milliseconds, and the compiler's run: only quadratic time is caught


@pytest.mark.parametrize("name", [name for name in SEEDS if name != "all"])
def test_any_spoilt_field_is_refused_or_harmless(name: str, folder: Path, tmp_path: Path) -> None:
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))))
    eater = folder / "eater" if (folder / "eater").exists() else build_eater(compiler, folder)
    plans = [signed(SEEDS[name])]
    for record in ("header", name):
        for field, (_, code) in fields(record).items():
            if field in ("crc32", "plan_bytes"):
                continue
            now, bits = get(SEEDS[name], record, field), struct.calcsize(code) * 8
            for value in (
                0,
                1,
                now - 1,
                now + 1,
                2 * now,
                now // 2,
                now + 4,
                now - 4,
                (1 << bits) - 1,
                1 << (bits - 1),
            ):
                wrapped = value % (1 << bits)
                if code[1].islower() and wrapped >> (bits - 1):
                    wrapped -= 1 << bits
                plans.append(put(SEEDS[name], record, **{field: wrapped}))
    eat(eater, plans, tmp_path)
