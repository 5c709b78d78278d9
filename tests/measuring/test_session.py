# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from edgenas.boards.board import Board
from edgenas.costs.tflite_arena import arena_bytes
from edgenas.errors import UsageError
from edgenas.measuring import connection
from edgenas.measuring.resolve import precision_of, statistic_of
from edgenas.measuring.session import Session
from edgenas.progress import Silent
from edgenas.spaces.architecture import Architecture
from edgenas.spaces.space import SearchSpace
from firmware_tools.connect import connect
from firmware_tools.device import STATISTICS, Device, DeviceInfo, Progress, Timing, TimingPlan
from firmware_tools.errors import DeviceBusyError, RuntimeMissingError

SPACE = SearchSpace.load("tiny", (1, 8, 8), 10)
SMALL = Architecture.parse("stem-8s2/plain-16x1/plain-16x1/plain-32x1")
LARGE = Architecture.parse("stem-32s1/plain-48x2/plain-64x2/plain-128x1")


def test_what_is_measured_is_stored_and_refines_the_profile(home: Path) -> None:
    with Session(Board.load("host"), Silent()) as session:
        assert session.key.board == "host"
        assert (session.key.precision, session.key.threads, session.key.statistic) == ("int8", 1, "p10")
        measured = session.measure_untrained(SPACE, [LARGE, SMALL])
        assert [m.architecture for m in measured] == [str(LARGE), str(SMALL)]
        assert measured[0].latency_ms > measured[1].latency_ms > 0
        assert measured[0].model_sha256 != measured[1].model_sha256
        assert {m.session for m in measured} == {session.id}
        reference, *stored = session.store.read(session.key)
        assert stored == measured
        assert reference.conditions["reference"]
        profile = session.refined()
        assert profile.measurements == 3
        model = session.model()
        predicted = [model.bias_ms + sum(map(model.block_ms, SPACE.blocks(a))) for a in (LARGE, SMALL)]
        assert predicted[0] > predicted[1] > 0
        key = session.key
        stranger = [replace(m, space="of a file that is gone", latency_ms=1e6) for m in measured]
        session.store.append(stranger)
        assert session.refined() == replace(profile, provenance=session.refined().provenance)
    with Session(Board.load("host"), Silent()) as later:
        assert later.key == key
        assert later.id not in {m.session for m in later.store.read(key)}
        assert later.refined().measurements == 3
        mine = replace(SPACE, name="of a file that is gone")
        later.use(mine)
        assert later.refined().measurements == 5


def test_what_takes_more_memory_than_the_board_has_is_not_measured(home: Path) -> None:
    need = arena_bytes(SPACE.blocks(LARGE), "int8")
    with Session(Board.load("host"), Silent()) as session:
        for limits, fits in (
            ({"ram_bytes": need}, True),
            ({"ram_bytes": need - 1}, False),
            ({"flash_bytes": 9000}, False),
        ):
            session.board = replace(Board.load("host"), **limits)
            (large,) = session.measure_fitting(SPACE, [LARGE])
            assert (large is not None) == fits


def test_the_plan_is_the_boards_and_a_quick_one_is_quicker(home: Path) -> None:
    board = replace(Board.load("host"), processes=7, threads=2)
    with Session(board, Silent(), statistic="p95", precision="float32") as session:
        plan, quick = session.plan(), session.plan(quick=True)
        assert (plan.processes, plan.threads, plan.statistic) == (7, 2, "p95")
        assert (quick.threads, quick.statistic) == (2, "p95")
        assert quick.processes * (quick.warmup_s + quick.timed_s) < plan.processes * (plan.warmup_s + plan.timed_s) / 2
        assert (session.key.precision, session.key.statistic, session.key.threads) == ("float32", "p95", 2)
        assert session.limits.ram_bytes == board.ram_bytes
        versions = session.versions()
        assert versions[session.key.runtime] == session.key.runtime_version
        assert "absent" not in versions.values()


def test_a_device_is_used_by_one_session_at_a_time_and_let_go_of(home: Path) -> None:
    board = Board.load("host")
    with Session(board, Silent()), pytest.raises(DeviceBusyError):
        Session(board, Silent())
    with Session(board, Silent()):
        pass


def test_a_device_without_a_runtime_is_let_go_of(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect_board = connection.connect

    class Bare:
        """The real device, but it says that it has no runtime."""

        def __init__(self, url: str, **options: Any) -> None:
            self.device = connect_board(url, **options)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.device, name)

        def __enter__(self) -> Bare:
            return self

        def __exit__(self, *error: object) -> None:
            self.device.close()

        def info(self) -> DeviceInfo:
            return replace(self.device.info(), runtimes=(), notes=("numpy is missing",))

    with monkeypatch.context() as patch:
        patch.setattr("edgenas.measuring.connection.connect", Bare)
        with pytest.raises(RuntimeMissingError, match=r"on the device \(numpy is missing\): run pip install"):
            Session(Board.load("host"), Silent())
    with connect(Board.load("host").device_url, home=home):
        pass  # nobody holds it


def test_names_are_checked_before_the_device_is_opened() -> None:
    board = replace(Board.load("host"), device_url="nowhere:")
    with pytest.raises(UsageError, match="unknown precision 'int4': choose one of int8, float32"):
        Session(board, Silent(), precision="int4")
    with pytest.raises(UsageError, match="unknown statistic 'mean'"):
        Session(board, Silent(), statistic="mean")


def test_known_names() -> None:
    assert [precision_of(name) for name in ("int8", "float32")] == ["int8", "float32"]
    assert [statistic_of(name) for name in STATISTICS] == list(STATISTICS)


@pytest.mark.alone
def test_what_contradicts_the_profile_is_timed_again_before_it_is_believed(home: Path) -> None:
    class Hiccup:
        """The real device, but the first time it is asked after `hiccup` the last model takes ten times as long."""

        def __init__(self, device: Device) -> None:
            self.device, self.asked, self.hiccup = device, list[int](), False

        def __getattr__(self, name: str) -> Any:
            return getattr(self.device, name)

        def time(self, models: Sequence[bytes], plan: TimingPlan, progress: Progress | None = None) -> list[Timing]:
            timings = self.device.time(models, plan, progress)
            self.asked.append(len(models))
            if not self.hiccup:
                return timings
            self.hiccup = False
            last = timings[-1]
            assert last.relative is not None
            certain = 9 * last.latency_ms, 11 * last.latency_ms  # on a busy computer the interval may hold anything
            slow = replace(last, latency_ms=10 * last.latency_ms, ci95_ms=certain)
            return [*timings[:-1], replace(slow, relative=10 * last.relative)]

    with Session(Board.load("host"), Silent()) as session:
        device = Hiccup(session.device)
        session.device = cast("Device", device)
        before = session.measure_untrained(SPACE, [SMALL, LARGE])
        assert not any("contradicted" in m.conditions for m in before)  # there is no profile yet
        session.refined().save()
        device.asked, device.hiccup = [], True
        believed = session.measure_untrained(SPACE, [SMALL, LARGE])
        stored = session.store.read(session.key)[3:]  # the reference is the first
        session.info = replace(session.info, unit="Minsn")
        assert session.doubts(SPACE, [LARGE], session.device.time([b"x"] * 0, session.plan())) == {}
    assert believed[1].corrected_ms < 5 * before[1].corrected_ms
    assert device.asked[:2] == [2, 1]
    assert len(device.asked) <= 4
    (flagged,) = (m for m in stored if "contradicted" in m.conditions and m.architecture == str(LARGE))
    assert flagged.corrected_ms > 5 * before[1].corrected_ms
    assert flagged.conditions["predicted_ms"] == pytest.approx(before[1].corrected_ms, rel=2)
    assert len([m for m in stored if m.architecture == str(LARGE)]) >= 2


def test_what_disturbs_is_said_once_and_counted(home: Path) -> None:
    lines: list[str] = []

    class Listener(Silent):
        def say(self, line: str) -> None:
            lines.append(line)

    with Session(Board.load("host"), Listener()) as session:
        (timing,) = session.device.time(list(session.convert_untrained(SPACE, [SMALL])), session.plan(quick=True))
        conditions = replace(timing.conditions, marked=("other programs used 60% of the processor (3 of 3 processes)",))
        for marked in (False, True, True, True):
            met = conditions if marked else replace(conditions, marked=())
            session.record(SPACE, [SMALL], [replace(timing, conditions=met)], trained=False)
        session.refined().save()
        slow = replace(timing, latency_ms=50.0, ci95_ms=(50.0, 50.0))
        assert all(session.doubts(SPACE, [SMALL], [slow]) for _ in range(3))
    assert (session.retiming.effort.timings, session.retiming.effort.disturbed) == (4, 3)
    (disturbed,) = (line for line in lines if "disturbed" in line)
    assert "other programs used 60%" in disturbed
    assert len(disturbed) < 200
    assert len([line for line in lines if "contradict the profile" in line]) == 1
