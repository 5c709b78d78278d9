# SPDX-License-Identifier: Apache-2.0
"""`edgenas plan`: what people and programs read, and what cannot be planned."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
import pytest
from helpers.cli.cli_program import Program

BOARD = """
id = "small"
name = "a small board"
kind = "mcu"
device_url = "serial:"
precision = "int8"
threads = 1
statistic = "p50"
processes = 2
[limits]
ram_bytes = 1000
flash_bytes = 1_000_000
[facts]
kernels = "dsp"
"""


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """A home that does not exist yet, and the files that the tests name."""
    folder = tmp_path / "folder"
    (folder / "empty").mkdir(parents=True)
    (folder / "text.tflite").write_text("hello, world")
    (folder / "small.toml").write_text(BOARD)
    return Program(tmp_path / "home", folder)


@pytest.fixture
def model(program: Program) -> Path:
    """A convolution and a dense layer; and beside it the same cut off, the same as float32 and others."""
    pytest.importorskip("tflite", reason="needs the packages of edgenas[mcu]")
    from helpers.tflite_builder import Op, T, constant
    from helpers.tflite_builder import model as build

    rng = np.random.default_rng(0)
    tensors = [
        T((1, 8, 8, 3), 0.5, -3),
        constant(rng.integers(-127, 128, (16, 3, 3, 3)), 0.01),
        constant(rng.integers(-99, 99, 16), 0.005, "int32"),
        T((1, 8, 8, 16), 0.25, 4),
        constant(rng.integers(-127, 128, (5, 1024)), 0.01),
        constant(rng.integers(-99, 99, 5), 0.0025, "int32"),
        T((1, 5), 2.0, 1),
    ]
    ops = [
        Op("CONV_2D", [0, 1, 2], [3], {"StrideW": 1, "StrideH": 1}),
        Op("FULLY_CONNECTED", [3, 4, 5], [6]),
    ]
    path = program.folder / "model.tflite"
    path.write_bytes(build(tensors, ops, [0], [6]))
    behind = [Op("SOFTMAX", [6], [7]), Op("QUANTIZE", [7], [8])]
    unread = [*tensors, T((1, 5), 1 / 256, -128), T((1, 5), 0.5)]
    (program.folder / "logits.tflite").write_bytes(build(unread, [*ops, *behind], [0], [6]))
    state = [Op("VAR_HANDLE", [], [7]), Op("READ_VARIABLE", [7], [6])]
    (program.folder / "stream.tflite").write_bytes(build(unread, state, [0], [6]))
    (program.folder / "cut.tflite").write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    floats = [T(t.shape, None, 0, "float32", None if t.data is None else t.data.astype(np.float32)) for t in tensors]
    (program.folder / "float.tflite").write_bytes(build(floats, ops, [0], [6]))
    return path


def test_people_get_a_table_the_peak_and_what_limits(program: Program, model: Path) -> None:
    done = program.run("plan", model, "--board", "mps2-an386")
    assert (done.code, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["name", "kind", "output", "MACs", "weights", "live"]
    assert lines[1].split()[:5] == ["0", "CONV_2D", "conv", "1x8x8x16", f"{64 * 27 * 16:,}"]
    assert lines[2].split()[:4] == ["1*", "FULLY_CONNECTED", "dense", "1x5"]
    assert "of 4,194,304, limits first" in done.stdout
    assert not program.home.exists()


def test_operators_that_nothing_reads_are_left_out_and_named(program: Program, model: Path) -> None:
    whole = program.run("plan", model, "--board", "mps2-an386", "--json").json()
    found = program.run("plan", "logits.tflite", "--board", "mps2-an386", "--json").json()
    assert found["unused_operators"] == [{"index": 2, "name": "SOFTMAX"}, {"index": 3, "name": "QUANTIZE"}]
    assert whole["unused_operators"] == []
    assert [found[key] for key in ("plan", "operators", "ram")] == [whole[key] for key in ("plan", "operators", "ram")]
    shown = program.run("plan", "logits.tflite", "--board", "mps2-an386").stdout
    assert "unused   2 SOFTMAX, 3 QUANTIZE: left out, nothing reads what they compute" in shown


def test_programs_get_every_number_and_the_plan(program: Program, model: Path) -> None:
    found = program.run("plan", model, "--board", "mps2-an385", "--out", "new/model.plan", "--json").json()
    blob = (program.folder / "new" / "model.plan").read_bytes()
    assert found["plan"] == {"path": "new/model.plan", "bytes": len(blob), "arena_bytes": found["ram"]["model_bytes"]}
    assert blob[:4] == b"EPLN"
    assert struct.unpack_from("<I", blob, 16)[0] == found["plan"]["arena_bytes"]
    assert (found["fits"], found["kernels"], found["peak_operator"]) == (True, "portable", 1)
    assert found["latency"] is None
    assert [operator["macs"] for operator in found["operators"]] == [64 * 27 * 16, 1024 * 5]
    assert max(operator["live_bytes"] for operator in found["operators"]) <= found["plan"]["arena_bytes"]
    assert (found["input"]["shape"], found["input"]["zero_point"], found["output"]["scale"]) == ([1, 8, 8, 3], -3, 2.0)


def test_a_real_board_gets_a_latency_that_is_called_a_prior(program: Program, model: Path) -> None:
    done = program.run("plan", model, "--board", "nucleo-l4r5zi")
    found = program.run("plan", model, "--board", "nucleo-l4r5zi", "--json").json()["latency"]
    if found["missing"]:
        assert f"latency  not counted: {found['missing']}" in done.stdout
        pytest.skip(found["missing"])
    assert found["predicted_ms"] == pytest.approx(13 * found["counted_minsn"])
    assert 0 < found["counted_minsn"] < 1
    assert re.search(
        r"latency  predicted [\d.]+ (ms|us) \(prior: 1.56 cycles per instruction, not measured\)", done.stdout
    )
    assert found["prior"]["source"].startswith("MLPerf Tiny")


def test_the_same_file_gives_the_same_plan(program: Program, model: Path) -> None:
    for name in ("one.plan", "two.plan"):
        assert program.run("plan", model, "--board", "mps2-an386", "--out", name).code == 0
    assert (program.folder / "one.plan").read_bytes() == (program.folder / "two.plan").read_bytes()


def test_a_model_that_does_not_fit_is_shown_and_refused(program: Program, model: Path) -> None:
    done = program.run("plan", model, "--board", "./small.toml", "--out", "model.plan")
    assert done.code == 3
    assert "model.tflite does not fit board small" in done.message
    assert "limit 1,000: smaller tensors around operator 1 (FULLY_CONNECTED), or another board" in done.message
    assert "of 1,000: too much, limits first" in done.stdout
    assert "model.plan" not in done.stdout
    assert not (program.folder / "model.plan").exists()
    assert '"fits": false' in program.run("plan", model, "--board", "./small.toml", "--json").stdout


@pytest.mark.parametrize(
    ("name", "options", "code", "message"),
    [
        ("cut.tflite", (), 2, "cut.tflite: malformed .tflite file"),
        ("float.tflite", (), 2, "float32"),
        ("stream.tflite", (), 2, "operator 0 (VAR_HANDLE) keeps state"),
        ("text.tflite", (), 2, "text.tflite is not a TFLite model"),
        ("missing.tflite", (), 2, "missing.tflite cannot be read: No such file or directory"),
        ("empty", (), 2, "empty/manifest.json: cannot be read"),
        ("model.tflite", ("--board", "mps2-an387"), 2, "did you mean mps2-an386"),
        ("model.tflite", ("--board", "host"), 2, "board host is of kind linux"),
        ("model.tflite", ("--out", "text.tflite"), 2, "text.tflite exists: name another file"),
        ("model.tflite", ("--out", "empty"), 2, "empty exists: name another file"),
        ("model.tflite", ("--out", "/proc/model.plan"), 1, "/proc/model.plan cannot be written"),
        ("model.tflite", ("--out", "text.tflite/model.plan"), 1, "model.plan cannot be written"),
    ],
)
def test_what_cannot_be_planned_is_one_line(
    program: Program, model: Path, name: str, options: tuple[str, ...], code: int, message: str
) -> None:
    before = sorted(program.folder.rglob("*"))
    board = () if "--board" in options else ("--board", "mps2-an386")
    done = program.run("plan", model.with_name(name) if name == model.name else name, *board, *options)
    assert (done.code, done.stdout) == (code, "")
    assert message in done.message
    assert [path for path in sorted(program.folder.rglob("*")) if path not in before and path.name[:4] != ".std"] == []


def test_without_the_packages_the_line_says_what_to_install(program: Program, model: Path, tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "tflite.py").write_text("raise ModuleNotFoundError(\"No module named 'tflite'\", name='tflite')\n")
    done = program.run("plan", model, "--board", "mps2-an386", PYTHONPATH=str(hidden))
    assert (done.code, done.stdout) == (2, "")
    assert "pip install 'edgenas[mcu]'" in done.message
