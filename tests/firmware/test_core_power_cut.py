# SPDX-License-Identifier: Apache-2.0
"""Power cut in every write and erase of flash, and again in every one of the recovery after it; `make
campaign-powercut` does it with larger plans."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.firmware.core_build import MISSING, build
from helpers.firmware.power_cuts import SCENARIOS, CutBoard, cut_processes, explore
from helpers.firmware.tiny_plans import SEEDS
from helpers.firmware.wire_board import ACTIVE, NONE, Board

OLD, NEW = SEEDS["lut"], SEEDS["mean"]

pytestmark = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fastest builds: thousands of boards are started."""
    return tmp_path_factory.mktemp("build")


@pytest.fixture(scope="module")
def program(folder: Path) -> Path:
    return build("host-board", folder)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_way_to_tear_every_operation_twice(scenario: str, folder: Path, tmp_path: Path) -> None:
    found = explore(build("power-cut", folder), tmp_path, scenario, tables=1)
    assert found.operations[0] >= 1
    assert found.operations[1] > 20
    assert all(cuts >= 6 * number for cuts, number in zip(found.cuts, found.operations, strict=True))
    assert all(number > 3 * tried for number, tried in zip(found.different, found.operations[:1], strict=False))


def test_every_flash_operation_and_every_one_of_its_recovery(program: Path, tmp_path: Path) -> None:
    cuts, recoveries = cut_processes(CutBoard(program, tmp_path / "flash", NEW), OLD, NEW)
    print(f"power cut at {cuts} flash operations of an install, and at {recoveries} of the recoveries")
    assert cuts > 20
    assert recoveries > 200


def test_a_first_install(program: Path, tmp_path: Path) -> None:
    """There is no old model yet: none is active until the new one is."""
    flash, cuts = tmp_path / "flash", 0
    cut = CutBoard(program, flash, NEW)
    while True:
        flash.unlink(missing_ok=True)
        if not cut.cut(cuts + 1):
            break
        cuts += 1
        with Board([program, flash]) as board:
            assert board.status().active == NONE or board.infer(ACTIVE, bytes(512))
            cut.install(board)
            assert board.infer(ACTIVE, bytes(512))
    assert cuts > 20
