# SPDX-License-Identifier: Apache-2.0
"""`edgenas measure --layers`: the table that people read and the object that programs do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.cli.cli_program import Program

BOARD = """
id = "quick"
name = "this computer, in two processes"
kind = "linux"
device_url = "local:"
precision = "float32"
threads = 1
statistic = "p10"
processes = 2
"""


def test_operators_as_a_table_and_as_json(tmp_path: Path) -> None:
    pytest.importorskip("tflite", reason="needs the packages of edgenas[mcu]")
    from helpers.tflite_builder import Op, T, constant, model

    weights = constant(np.ones((8, 8)), None, "float32")
    real = T((1, 8), None, dtype="float32")
    ops = [Op("FULLY_CONNECTED", (0, 1, -1), (2,)), Op("SOFTMAX", (2,), (3,), {"Beta": 1.0})]
    (tmp_path / "two.tflite").write_bytes(model([real, weights, real, real], ops, (0,), (3,)))
    (tmp_path / "quick.toml").write_text(BOARD)
    program = Program(tmp_path / "home", tmp_path)
    asked = ("measure", tmp_path / "two.tflite", "--board", tmp_path / "quick.toml", "--layers")

    table = program.run(*asked)
    assert table.code == 0, table.stderr
    rows = [line.split()[:4] for line in table.stdout.splitlines()]
    assert ["0", "FULLY_CONNECTED", "1x8", "64"] in rows
    assert ["1", "SOFTMAX", "1x8", "-"] in rows
    assert "as models of their own they take" in table.stdout

    found = program.run(*asked, "--json").json()
    layers = found["layers"]
    assert layers["whole_ms"] == found["measured"]["latency_ms"]
    assert [operator["name"] for operator in layers["operators"]] == ["FULLY_CONNECTED", "SOFTMAX"]
    assert sum(operator["latency_ms"] for operator in layers["operators"]) == pytest.approx(layers["whole_ms"])
