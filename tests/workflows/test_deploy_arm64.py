# SPDX-License-Identifier: Apache-2.0
"""`edgenas deploy` to a 64-bit Arm board over SSH: a real userland and a real runtime, under QEMU's user mode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("asyncssh", reason="needs pip install 'edgenas[ssh]'")

from helpers.arm64_board import Arm64Board, unless_silent
from helpers.short_deploys import SMALL
from helpers.ssh_server import at_home

import edgenas
from edgenas.artifacts.artifact import Artifact
from edgenas.workflows.result import Result
from firmware_tools.connect import connect
from firmware_tools.device import SlotInfo

BOARD = "linux-aarch64"
pytestmark = pytest.mark.slow


def test_digits_are_deployed(home: Path, tmp_path: Path) -> None:
    # A commit implies that the board measured within the budget, and that its outputs for the golden inputs agreed.
    with Arm64Board(tmp_path / "arm64") as board, at_home(board):
        result, active, installed = unless_silent(lambda name: _deployed(board, home, tmp_path / name))
    assert result.committed
    assert result.timing.latency_ms <= result.budget_ms
    assert result.timing.conditions.runtime == "litert"
    assert (active.sha256, active.valid) == (result.model_sha256, True)
    assert Artifact.load(Path(result.folder)).tflite == installed


def _deployed(board: Arm64Board, home: Path, folder: Path) -> tuple[Result, SlotInfo, bytes]:
    """What a deploy gave, what the board says of its model, and its file there; all in a folder of that name."""
    folder.mkdir()
    url = board.url(root=f"/board/home/{folder.name}")
    # As short as a profile can be: emulated, everything takes ten times as long.
    edgenas.profile(BOARD, device=url, space=SMALL, minutes=1 / 60, input_shape=(1, 8, 8))
    # A budget that an emulator meets, whatever other tests do meanwhile.
    options: dict[str, Any] = {"data": "digits", "latency": "2ms", "space": SMALL, "epochs": 8, "rounds": 1}
    result = edgenas.deploy(BOARD, device=url, **options, runs=folder / "runs")
    with connect(url, home=home) as device:
        status = device.status()
    assert status.active is not None
    assert status.confirmed
    return result, status.active, (board.home / folder.name / "active" / "model.tflite").read_bytes()
