# SPDX-License-Identifier: Apache-2.0
"""Profiling sessions that last: boards that drift, and programs that are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.short_deploys import make_home
from helpers.workflows.sittings import Recorder

from edgenas import latency
from edgenas.boards.board import Board
from edgenas.measuring import connection
from edgenas.measuring.connection import connect
from edgenas.measuring.session import Session
from edgenas.profiles.measurement import Measurement
from edgenas.profiles.profile import BoardProfile
from edgenas.profiles.refine import refine
from edgenas.profiles.store import Store
from edgenas.spaces.architecture import Architecture
from edgenas.spaces.space import SearchSpace
from edgenas.workflows.profile import Profiled, Until, profile_session
from firmware_tools.device import Device, DeviceInfo, Progress, Timing, TimingPlan

pytest.importorskip("unicorn", reason="needs the packages of edgenas[mcu]")
pytestmark = pytest.mark.slow
BOARD = "mps2-an386"
TINY = SearchSpace.load("tiny", (1, 4, 4), 10)
# How much slower the board is than at first, call by call: in its second batch it jumps, and comes back warmer.
DRIFT = (1.0, 1.5, 1.1)


@dataclass
class Warming:
    """The emulated board, as if it had a clock and got warm; `truth` is what it takes when cold, by sha256."""

    device: Device
    calls: int = 0
    truth: dict[str, float] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.device, name)

    def __enter__(self) -> Warming:
        self.device.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.device.__exit__(*error)

    def info(self) -> DeviceInfo:
        return replace(self.device.info(), unit="ms")

    def time(self, models: Sequence[bytes], plan: TimingPlan, progress: Progress | None = None) -> list[Timing]:
        factor = DRIFT[self.calls]
        self.calls += 1
        timings = self.device.time(models, replace(plan, processes=2), progress)
        self.truth |= {timing.sha256: timing.latency_ms for timing in timings}
        return [_slower(timing, factor) for timing in timings]


def _slower(timing: Timing, factor: float) -> Timing:
    values = tuple(factor * value for value in timing.per_process_ms)
    return replace(timing, latency_ms=factor * timing.latency_ms, per_process_ms=values, unit="ms")


@dataclass(frozen=True)
class Drifted:
    profiled: Profiled
    measurements: list[Measurement]
    truth: dict[str, float]
    said: list[str]


@pytest.fixture(scope="module")
def drifted(tmp_path_factory: pytest.TempPathFactory) -> Drifted:
    folder = tmp_path_factory.mktemp("drifted")
    table = (Board.load(BOARD).file).read_text().replace('unit = "Minsn"', 'unit = "ms"')
    (folder / "board.toml").write_text(table)
    warming: list[Warming] = []

    def warmed(url: str, **options: Any) -> Warming:
        warming.append(Warming(connect(url, **options)))
        return warming[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGENAS_HOME", str(make_home(folder / "home")))
        patch.setattr(connection, "connect", warmed)
        recorder = Recorder()
        with Session(Board.load(folder / "board.toml"), recorder, device="unicorn:") as opened:
            profiled = profile_session(opened, TINY, Until(inf, most=24))
            measurements = opened.store.read(opened.key)
    return Drifted(profiled, measurements, warming[0].truth, recorder.lines)


def test_latencies_are_stored_as_measured_and_believed_without_the_drift(drifted: Drifted) -> None:
    raw = [m.latency_ms / drifted.truth[m.model_sha256] for m in drifted.measurements]
    assert sorted(set(np.round(raw, 6))) == [1.0, 1.1]
    for m in drifted.measurements:
        assert m.corrected_ms == pytest.approx(drifted.truth[m.model_sha256], rel=1e-3)


def test_the_prices_are_those_of_the_board_as_it_was_at_first(drifted: Drifted) -> None:
    cold = [
        replace(m, latency_ms=drifted.truth[m.model_sha256], conditions={"reference_ratio": None})
        for m in drifted.measurements
    ]
    key = drifted.profiled.profile.key
    right = refine(
        None, key, cold, lambda m: TINY.blocks(Architecture.parse(m.architecture)), model="engine", exact=True
    )
    blocks = [TINY.blocks(Architecture.parse(m.architecture)) for m in cold]
    expected, _ = latency.load(right.latency).predict(blocks)
    mean, _ = latency.load(drifted.profiled.profile.latency).predict(blocks)
    assert mean == pytest.approx(expected, rel=2e-3)


def test_a_batch_in_which_the_board_jumped_is_measured_again(drifted: Drifted) -> None:
    assert drifted.profiled.repeated == 1
    assert drifted.profiled.drift == pytest.approx(0.1, abs=1e-3)
    assert any("measured again" in line for line in drifted.said)
    assert drifted.profiled.measured == len(drifted.measurements) == 24
    assert drifted.profiled.stopped_by == "count"


def test_a_session_that_was_killed_goes_on(tmp_path: Path) -> None:
    home, log = make_home(tmp_path / "home"), tmp_path / "log"
    command = [sys.executable, "-m", "edgenas", "profile", "--board", BOARD, "--device", "unicorn:"]
    command += ["--input-shape", "1x4x4", "--json", "--minutes"]
    environment = {**os.environ, "EDGENAS_HOME": str(home)}
    with log.open("wb") as err:
        killed = subprocess.Popen([*command, "30"], env=environment, stdout=subprocess.DEVNULL, stderr=err)
        end = time.monotonic() + 120
        while "12 measured" not in log.read_text():
            assert killed.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
    before = _stored(home)
    assert len(before) >= 12
    done = subprocess.run([*command, "0.05"], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    result, after = json.loads(done.stdout), _stored(home)
    assert after[: len(before)] == before
    assert len({m.architecture for m in after}) == len(after) == result["measured"] == result["measurements"]
    assert len({m.session for m in after}) == 1
    assert len(after) > len(before)
    assert (result["stopped_by"], result["drift"]) == ("time", None)
    assert 0 < result["mape"] < 0.05
    assert 0.5 < result["coverage"]["operators"] <= 1


def _stored(home: Path) -> list[Measurement]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGENAS_HOME", str(home))
        with Session(Board.load(BOARD), Recorder(), device="unicorn:") as opened, Store() as store:
            assert BoardProfile.load(opened.key) is None or opened.key.board == BOARD
            return store.read(opened.key)
