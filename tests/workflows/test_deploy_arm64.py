"""`edgenas deploy` to a 64-bit Arm board over SSH: a real userland and a real runtime, under QEMU's user mode."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("asyncssh", reason="needs pip install 'edgenas[ssh]'")

from arm64_board import Arm64Board
from small_space import write_small_space
from ssh_server import at_home

import edgenas
from edgenas.artifact import Artifact
from firmware_tools.connect import connect

BOARD = "linux-aarch64"
pytestmark = pytest.mark.slow


def test_digits_are_deployed(home: Path, tmp_path: Path) -> None:
    # A commit implies that the board measured within the budget, and that its outputs for the golden inputs agreed.
    with Arm64Board(tmp_path / "arm64") as board, at_home(board):
        url = board.url(root="/board/home/deployed")
        # As short as a profile can be: emulated, everything takes ten times as long.
        space = str(write_small_space(tmp_path))
        edgenas.profile(BOARD, device=url, space=space, minutes=1 / 60, input_shape=(1, 8, 8))
        # A second round, should other tests have been in the first measurement's way.
        result = edgenas.deploy(
            BOARD, device=url, data="digits", latency="80%", space=space, epochs=2, rounds=2, runs=tmp_path / "runs"
        )
        with connect(url, home=home) as device:
            status = device.status()
    assert result.committed
    assert result.timing.latency_ms <= result.budget_ms
    assert result.timing.conditions.runtime == "litert"
    assert status.active is not None
    assert (status.active.sha256, status.active.valid, status.confirmed) == (result.model_sha256, True, True)
    assert Artifact.load(Path(result.folder)).tflite == (board.home / "deployed/active/model.tflite").read_bytes()
