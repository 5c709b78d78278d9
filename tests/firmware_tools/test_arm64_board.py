# SPDX-License-Identifier: Apache-2.0
"""The virtual arm64 board: what `edgenas board prepare` finds there, and a model that runs on it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.arm64_board import Arm64Board, unless_silent
from helpers.firmware_tools.raw_agent import fully_connected
from helpers.ssh_server import at_home

import edgenas
from firmware_tools.connect import connect
from firmware_tools.device import Device, TimingPlan

pytestmark = pytest.mark.slow

_EMULATED_PREPARE = "EDGENAS_TEST_EMULATED_PREPARE"
_SHORT = TimingPlan(processes=2, warmup_s=0.0, timed_s=0.01)


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arm64Board]:
    with Arm64Board(tmp_path_factory.mktemp("arm64")) as server, at_home(server):
        yield server


def _run(device: Device) -> None:
    model = fully_connected(0)
    staged = device.stage(model, {})
    assert device.infer_staged(np.ones((2, 16), np.float32)).shape[0] == 2
    timing = device.time_staged(_SHORT)
    assert timing.sha256 == staged.sha256
    assert timing.latency_ms > 0


def test_a_dry_run_changes_nothing(board: Arm64Board) -> None:
    made = edgenas.prepare(board.url(root="/board/home/new"), offline=True, dry_run=True).to_json()
    assert (made["machine"], made["python"], made["glibc"], made["done"]) == ("aarch64", "3.11", "2.36", False)
    assert made["runtime"] == {"name": "litert", "package": "ai-edge-litert", "version": "2.3.0"}
    download = made["steps"][0]["command"]
    assert {"manylinux_2_27_aarch64", "3.11", "cp311"} <= set(download)
    assert not (board.home / "new").exists()


def test_a_model_runs_there(board: Arm64Board, tmp_path: Path) -> None:
    def used(name: str) -> None:
        with connect(board.url(root=f"/board/home/{name}"), home=tmp_path) as device:
            info = device.info()
            assert (info.machine, [runtime.name for runtime in info.runtimes]) == ("aarch64", ["litert"])
            _run(device)

    unless_silent(used)


@pytest.mark.skipif(_EMULATED_PREPARE not in os.environ, reason=f"takes minutes, set {_EMULATED_PREPARE}=1 to run it")
def test_wheels_from_here_are_installed_there(board: Arm64Board, tmp_path: Path) -> None:
    url = board.url(root="/board/home/prepared")
    made = edgenas.prepare(url, offline=True).to_json()
    assert [runtime["name"] for runtime in made["agent"]["runtimes"]] == ["litert"]
    with connect(url, home=tmp_path) as device:
        _run(device)
