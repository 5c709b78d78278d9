# SPDX-License-Identifier: Apache-2.0
"""A deploy to an emulated microcontroller: real firmware, the real wire, and what is printed of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tty
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.short_deploys import make_home

import edgenas
from edgenas import latency
from edgenas.artifacts.artifact import Artifact
from edgenas.boards.board import Board
from edgenas.errors import BudgetError, InfeasibleError, UsageError
from edgenas.measuring.instruction_time import ms_per_minsn
from edgenas.measuring.session import Session
from edgenas.profiles.measurement import blocks_of
from edgenas.profiles.profile import BoardProfile, ProfileKey
from edgenas.progress import Silent
from edgenas.runtimes.engine import counted
from edgenas.spaces.architecture import Architecture
from edgenas.spaces.space import SearchSpace
from edgenas.units import MINSN
from edgenas.workflows.result import Result
from firmware_tools.connect import connect
from firmware_tools.device import TimingPlan
from firmware_tools.mcu.images import FIRMWARE

BOARD = "mps2-an386"
CLOCKED = """
id = "clocked"
name = "this computer as a microcontroller"
kind = "mcu"
device_url = "serial:"
precision = "int8"
threads = 1
statistic = "p50"
processes = 2
[facts]
firmware = "host"
clock_mhz = 1000
kernels = "portable"
[prior]
cycles_per_instruction = 1.0
counted_on = "mps2-an385"
source = "none"
"""
OPTIONS: dict[str, Any] = {"data": "digits", "latency": "40%", "epochs": 2}
pytest.importorskip("tflite", reason="needs the packages of edgenas[mcu]")


@dataclass(frozen=True)
class Deployed:
    home: Path
    device: str
    result: Result


@pytest.fixture(scope="module", params=["unicorn", "qemu"])
def emulator(request: pytest.FixtureRequest) -> str:
    """An emulator that is there."""
    name = str(request.param)
    if name == "unicorn" and find_spec("unicorn") is None:
        pytest.skip("needs pip install unicorn")
    if name == "qemu" and shutil.which("qemu-system-arm") is None:
        pytest.skip("needs apt-get install qemu-system-arm")
    return name


@pytest.fixture(scope="module")
def deployed(emulator: str, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    folder = tmp_path_factory.mktemp("mcu")
    home, device = make_home(folder / "home"), f"{emulator}:"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGENAS_HOME", str(home))
        edgenas.profile(BOARD, device=device, input_shape=(1, 8, 8), minutes=5 / 60)
        result = edgenas.deploy(BOARD, device=device, **OPTIONS, layers=True, runs=folder / "runs")
    return Deployed(home, device, result)


@pytest.mark.slow
def test_the_committed_model_is_within_the_budget_and_says_so_in_instructions(deployed: Deployed) -> None:
    result = deployed.result
    assert result.committed
    assert result.timing.latency_ms <= result.budget_ms
    assert result.timing.unit == "Minsn"
    assert result.timing.ci95_ms == (result.timing.latency_ms, result.timing.latency_ms)
    table = result.to_json()
    text = json.dumps(table)
    assert table["unit"] == "Minsn"
    assert table["measured"]["latency_minsn"] == result.timing.latency_ms
    assert re.search(r'_ms"|"ms"', text) is None
    assert {row["plan_bytes"] > 0 for row in table["rows"]} == {True}
    assert table["runtimes"] == []
    layers = table["layers"]
    assert layers["whole_minsn"] == result.timing.latency_ms
    told = sum(operator["latency_minsn"] for operator in layers["operators"])
    assert told + layers["rest_minsn"] == pytest.approx(layers["whole_minsn"])


@pytest.mark.slow
def test_what_it_takes_is_exactly_the_plan(deployed: Deployed) -> None:
    result, board = deployed.result, Board.load(BOARD)
    planned = edgenas.plan(Path(result.folder), board=BOARD)
    assert (result.row.plan_bytes, result.peak_ram_bytes) == (len(planned.plan.blob), planned.ram.bytes)
    assert result.timing.peak_ram_bytes == planned.plan.arena_bytes
    assert board.ram_bytes is not None
    assert planned.ram.bytes <= board.ram_bytes


@pytest.mark.slow
def test_the_board_runs_the_model_and_a_second_measurement_counts_the_same(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGENAS_HOME", str(deployed.home))
    result = deployed.result
    measured = edgenas.measure(result.folder, board=BOARD, device=deployed.device)
    assert measured.timing.latency_ms == result.timing.latency_ms
    assert measured.to_json()["measured"]["peak_ram_bytes"] == result.peak_ram_bytes  # with the engine's stack
    artifact = Artifact.load(Path(result.folder))
    with Session(Board.load(BOARD), Silent(), device=deployed.device) as session:
        status = session.device.status()
        assert status.active is not None
        assert status.active.sha256 == result.model_sha256
        exact = session.simulated(artifact)
        if exact is None:
            pytest.skip("needs a C compiler")
        session.device.stage(artifact.tflite, artifact.manifest)
        outputs = session.device.infer_staged(artifact.golden_vectors()[0])
        assert np.array_equal(outputs.reshape(exact.shape), exact)
        assert (
            session.device.time_staged(TimingPlan(processes=2, statistic="max")).latency_ms == result.timing.latency_ms
        )
        session.device.discard()


@pytest.mark.slow
def test_the_refined_profile_knows_what_was_installed(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGENAS_HOME", str(deployed.home))
    result = deployed.result
    with Session(Board.load(BOARD), Silent(), device=deployed.device) as session:
        assert session.key.runtime == "edgenas-engine"
        profile = BoardProfile.load(session.key)
        assert profile is not None
        model = latency.load(profile.latency)
        (last,) = {m.architecture for m in session.store.read(session.key)[-1:]}
        blocks = blocks_of(session.store.read(session.key)[-1])
        assert blocks is not None
        mean, _ = model.predict([blocks])
    assert last == result.row.architecture
    assert abs(mean[0] / result.timing.latency_ms - 1) < 0.01


@pytest.mark.slow
def test_a_search_for_a_board_that_nobody_measured_goes_by_its_prior_and_leaves_it_alone(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if deployed.device != "unicorn:":
        pytest.skip("once is enough: unicorn: counts as qemu: does")
    monkeypatch.setenv("EDGENAS_HOME", str(deployed.home))
    before = BoardProfile.load(_key(deployed))
    searched = edgenas.search("nucleo-l4r5zi", data="digits", latency="150kinsn", epochs=2, runs=tmp_path)
    found = searched.to_json()
    assert found["notes"][0].startswith("10 classes of ")
    assert (found["unit"], found["prior"]["ms_per_minsn"]) == ("ms", 13.0)
    assert found["budget"]["latency_ms"] == pytest.approx(13 * 0.15)
    for candidate in found["finalists"]:
        assert candidate["measured_ms"] is None
        assert candidate["predicted_ms"] == pytest.approx(13 * candidate["counted_minsn"])
        assert candidate["predicted_ms"] <= found["budget"]["latency_ms"]
    assert not Board.load("nucleo-l4r5zi").measured
    after = BoardProfile.load(_key(deployed))
    assert before is not None
    assert after is not None
    assert after.measurements > before.measurements  # what was counted is the counting board's
    with pytest.raises(InfeasibleError, match=r"\(prior: 1\.56 cycles per instruction, not measured\)"):
        edgenas.search("nucleo-l4r5zi", data="digits", latency="1us", device="unicorn:", epochs=2, runs=tmp_path)


@pytest.mark.slow
def test_a_board_with_a_clock_has_a_measured_scale_of_instructions(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The firmware of this computer behind a pty: a real board, for all that edgenas knows."""
    if deployed.device != "unicorn:" or shutil.which("gcc") is None:
        pytest.skip("once is enough, and needs gcc and unicorn")
    monkeypatch.setenv("EDGENAS_HOME", str(deployed.home))
    (tmp_path / "board.toml").write_text(CLOCKED)
    build, board = tmp_path / "build", Board.load(tmp_path)
    subprocess.run(["make", "--silent", "-C", str(FIRMWARE), f"BUILD={build}", "host-board"], check=True)
    space = SearchSpace.load("tiny", (1, 8, 8), 10)
    networks = [
        Architecture.parse(text)
        for text in ("stem-8s2/plain-8x1/plain-16x1/plain-32x1", "stem-16s1/plain-24x2/plain-32x1/plain-64x1")
    ]
    board_end, port = os.openpty()
    tty.setraw(port)
    with subprocess.Popen([build / "host-board", tmp_path / "flash.bin"], stdin=board_end, stdout=board_end) as running:
        try:
            with Session(board, Silent(), device=f"serial://{os.ttyname(port)}") as session:
                measured = session.measure_untrained(space, networks)
                scale = ms_per_minsn(session, space, networks)
                counts = [counted(board.prior, m) for m in session.convert_untrained(space, networks) if board.prior]
        finally:
            running.kill()
            os.close(board_end)
            os.close(port)
    assert scale == pytest.approx(sum(m.latency_ms for m in measured) / sum(counts), rel=0.3)
    assert board.measured is False  # only a profile says so, and none was saved


def _key(deployed: Deployed) -> ProfileKey:
    with Session(Board.load(BOARD), Silent(), device=deployed.device) as session:
        return session.key


@pytest.mark.slow
def test_another_board_is_refused_before_anything_is_staged(
    deployed: Deployed, emulator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGENAS_HOME", str(deployed.home))
    with pytest.raises(UsageError, match="the device calls itself 'mps2-an386', board mps2-an500"):
        edgenas.measure(deployed.result.folder, board="mps2-an500", device=f"{emulator}:{BOARD}")
    with pytest.raises(UsageError, match="calls itself"):
        edgenas.rollback("mps2-an500", device=f"{emulator}:{BOARD}")
    with connect(f"{emulator}:{BOARD}", home=deployed.home) as device:
        assert device.status().staged is None


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"latency": "20ms"}, BudgetError, "is a time, but this board counts instructions: write kinsn, Minsn or %"),
        ({"latency": "40%", "precision": "float32"}, UsageError, "computes in int8 alone"),
    ],
)
def test_what_the_board_cannot_do_is_one_line_before_the_data_are_loaded(
    options: dict[str, Any], error: type[UsageError], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message) as caught:
        edgenas.deploy(BOARD, data="no such data", **options, runs=tmp_path)
    assert "\n" not in caught.value.message
    assert list(tmp_path.iterdir()) == []
    assert MINSN is Board.load(BOARD).unit
