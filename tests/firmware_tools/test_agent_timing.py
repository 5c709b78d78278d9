# SPDX-License-Identifier: Apache-2.0
"""Where the agent times, what it marks and repeats, and a governor that always comes back."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from helpers.firmware_tools.raw_agent import SHORT, RawAgent, children, gone, sha256, until

from firmware_tools.agent.parts import cores, disturbance
from firmware_tools.agent.parts import timing as timing_loops
from firmware_tools.agent.parts.runs import Runs
from firmware_tools.connect import connect
from firmware_tools.device import Device

PLAN = {"processes": 1, "repeats": 0, "warmup_s": 0.01, "threads": 1, "runtime": None, "silence_s": 60}


def core_files(folder: Path, name: str, values: list[int]) -> None:
    for core, value in enumerate(values):
        path = folder / f"cpu{core}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs Linux")
@pytest.mark.parametrize(
    ("name", "values", "least", "chosen"),
    [
        ("cpu_capacity", [446, 446, 446, 1024, 1024], 1, [3, 4]),
        ("cpu_capacity", [1024, 446, 446, 1024], 3, [0, 1, 2, 3]),
        ("cpu_capacity", [250, 250, 760, 1024], 2, [2, 3]),
        ("cpufreq/cpuinfo_max_freq", [1800000, 1800000, 2400000, 2400000], 1, [2, 3]),
        ("cpufreq/cpuinfo_max_freq", [4900000, 5000000, 3800000], 1, [0, 1]),  # turbo bins are no other kind
        ("nothing", [1, 1, 1], 2, [0, 1, 2]),
        ("cpu_capacity", [1024], 4, [0]),
    ],
)
def test_the_fastest_kind_of_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, values: list[int], least: int, chosen: list[int]
) -> None:
    core_files(tmp_path, name, values)
    monkeypatch.setattr(cores, "CPUS", str(tmp_path))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(len(values))))
    assert cores.fast_cores(least) == chosen


def quiet(model: int, **other: Any) -> dict[str, Any]:
    return {"model": model, "waited": 0.01, "others": 0.02, "clock_mhz": 1500.0, "pace": 50_000, **other}


def test_only_disturbed_models_are_timed_again_and_the_quietest_runs_count() -> None:
    runs = Runs(models=2, processes=2, repeats=2)
    runs.add(quiet(0))
    runs.add(quiet(1, waited=0.4))
    runs.end([])
    assert (runs.wanted(), runs.repeating()) == ([0, 1], False)
    runs.add(quiet(0))
    runs.add(quiet(1))
    runs.end([])
    assert (runs.wanted(), runs.repeating()) == ([1], True)
    runs.add(quiet(1, waited=0.03))
    runs.end([])
    assert runs.wanted() == []
    assert [run["process"] for run in runs.kept()[1]] == [1, 2]
    assert (runs.repeats(), runs.marked()) == ([0, 1], [[], []])


def test_what_stays_disturbed_is_marked_and_ends() -> None:
    runs = Runs(models=1, processes=2, repeats=9)
    for number, run in enumerate((quiet(0, others=0.5), quiet(0, clock_mhz=600.0, waited=None), quiet(0, others=0.9))):
        assert runs.wanted() == [0]
        runs.add(run)
        runs.end(["under-voltage"] if number == 2 else [])
    assert runs.wanted() == []
    assert runs.marked() == [
        [
            "clock 600 MHz, 1500 in another process (1 of 2 processes)",
            "other programs used 50% of the processor (1 of 2 processes)",
        ]
    ]


def test_a_throttled_run_gives_way_to_a_repetition() -> None:
    runs = Runs(models=1, processes=2, repeats=4)
    for throttled in (["under-voltage"], [], []):
        assert runs.wanted() == [0]
        runs.add(quiet(0))
        runs.end(throttled)
    assert (runs.wanted(), runs.repeats(), runs.marked()) == ([], [1], [[]])
    assert [run["process"] for run in runs.kept()[0]] == [1, 2]


@dataclass
class Core:
    """A core that others share from one moment to another, in milliseconds; everything then takes 1.6 times as long."""

    shared: tuple[float, float]
    now_ns: int = 0
    moves: int = 0

    @property
    def slower(self) -> float:
        start, end = self.shared
        return 1.6 if start <= self.now_ns / 1e6 < end else 1.0

    def perf_counter_ns(self) -> int:
        return self.now_ns

    def pace_ns(self) -> int:
        pace = int(50_000 * self.slower)
        self.now_ns += pace
        return pace

    def settle(self, cores: list[int] | None) -> int:
        self.moves += 1
        return self.pace_ns()

    def invoke(self) -> None:
        self.now_ns += int(1e6 * self.slower)


@pytest.mark.parametrize(
    ("shared", "longest", "pace", "took_ms", "moves"),
    [
        ((1e9, 1e9), 1_000_000, 50_000, 110, 1),  # quiet
        ((35, 135), 1_000_000, 50_000, 240, 7),  # some slices are not: others take their place
        ((0, 1e9), 1_600_000, 80_000, 110, 6),  # what lasts is not waited out
    ],
)
def test_a_run_is_made_of_slices_in_which_the_core_was_the_models_own(
    monkeypatch: pytest.MonkeyPatch, shared: tuple[float, float], longest: int, pace: int, took_ms: float, moves: int
) -> None:
    core = Core(shared)
    monkeypatch.setattr(timing_loops, "time", core)
    monkeypatch.setattr(timing_loops, "pace_ns", core.pace_ns)
    monkeypatch.setattr(timing_loops, "settle", core.settle)
    slices, quickest = timing_loops.timed_slices(core.invoke, 0.01, 0.1, [0, 1], 50_000.0)
    calls = [call for _, calls in slices for call in calls]
    assert (max(calls), max(slower for slower, _ in slices), quickest) == (longest, pace, 50_000)
    assert sum(calls) >= 100e6
    assert core.now_ns / 1e6 == pytest.approx(took_ms, rel=0.15)
    assert core.moves == pytest.approx(moves, abs=2)


def test_a_run_at_a_slow_pace_is_marked_also_if_a_later_one_is_quicker() -> None:
    runs = Runs(models=1, processes=2, repeats=2, pace=60_000)
    runs.add(quiet(0, pace=70_000))
    runs.end([])
    assert runs.marked() == [[]]
    runs.add(quiet(0, pace=50_000))
    runs.end([])
    assert runs.marked() == [["arithmetic took 1.4 times as long as before (1 of 2 processes)"]]
    assert runs.pace == 50_000


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs Linux")
def test_a_thread_settles_on_the_core_where_work_is_done_soonest(monkeypatch: pytest.MonkeyPatch) -> None:
    takes = {0: 80_000, 1: 50_000, 2: 60_000}
    core, at = Core((1e9, 1e9)), [0]

    def pace_ns() -> int:
        core.now_ns += 3 * takes[at[0]]
        return takes[at[0]]

    monkeypatch.setattr(disturbance, "time", core)
    monkeypatch.setattr(disturbance, "pace_ns", pace_ns)
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, cores: at.__setitem__(slice(None), list(cores)))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {at[0]})
    assert (disturbance.settle([0, 1, 2]), at) == (50_000, [1])
    assert (disturbance.settle([2]), disturbance.settle(None), at) == (50_000, 50_000, [1])  # nothing to choose from
    at[0] = 2
    assert (disturbance.pace_on([0, 1, 2]), at) == (50_000, [2])


def program(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)


@pytest.mark.skipif(os.name != "posix", reason="shell scripts")
def test_throttling_that_the_board_tells_is_marked_and_repeated(
    root: Path, tmp_path: Path, models: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = tmp_path / "answers"
    folder = tmp_path / "bin"
    # One line of the file for each call, the last one for ever.
    program(
        folder,
        "vcgencmd",
        f"head -n 1 {answers}; [ $(wc -l < {answers}) = 1 ] || sed -i 1d {answers}\n",
    )
    program(folder, "nvpmodel", "echo NV Power Mode: MAXN; echo 0\n")
    program(folder, "jetson_clocks", "exit 1\n")
    program(folder, "tegrastats", "while :; do echo RAM 1/2MB $*; sleep 1; done\n")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    with connect(f"local:?root={root}", home=root) as device:
        # Before; after the first process: under-voltage now and since; after the second; before the repetition; after.
        lines = ("0x0", "0x10001", "0x10004", "0x50000", "0x50000")
        answers.write_text("".join(f"throttled={bits}\n" for bits in lines))
        assert device.info().power_mode == "MAXN"
        once = device.time(models[:1], SHORT)[0].conditions
        reasons = " ".join(once.marked)
        assert "under-voltage (1 of 2 processes)" in reasons
        assert "throttled (1 of 2 processes)" in reasons
        assert (once.repeats, once.tools["nvpmodel -q"]) == (0, "NV Power Mode: MAXN; 0")
        assert once.tools["tegrastats"] == "RAM 1/2MB --interval 200"
        assert "jetson_clocks --show" not in once.tools
        answers.write_text("".join(f"throttled={bits}\n" for bits in ("0x0", "0x10001", "0x10000", "0x10000")))
        again = device.time(models[:1], replace(SHORT, repeats=4))[0]  # other tests may disturb it, too
    assert again.processes == 2
    assert again.conditions.repeats >= 1


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Path]:
    """The folder that an agent started by `python` in it finds as /sys/devices/system/cpu: a slow and a fast core."""
    cpus = tmp_path / "cpu"
    here = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(here) < 2 or shutil.which("unshare") is None:
        pytest.skip("needs Linux, two cores and unshare")
    for core in here:
        fast = core == here[-1]
        folder = cpus / f"cpu{core}"
        (folder / "cpufreq").mkdir(parents=True)
        (folder / "cpu_capacity").write_text("1024\n" if fast else "400\n")
        (folder / "cpufreq" / "scaling_governor").write_text("ondemand\n")
        (folder / "cpufreq" / "scaling_max_freq").write_text("1500000\n" if fast else "1000000\n")
        (folder / "cpufreq" / "scaling_available_governors").write_text("ondemand performance\n")
    for name in ("online", "possible", "present"):
        shutil.copy(f"/sys/devices/system/cpu/{name}", cpus)
    mount = f"mount --bind {cpus} /sys/devices/system/cpu"
    program(tmp_path, "python", f'exec unshare -m sh -c \'{mount} && exec {sys.executable} "$@"\' sh "$@"\n')
    if subprocess.run([tmp_path / "python", "-V"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no right to mount over /sys")
    return tmp_path


def governors(board: Path) -> list[str]:
    return [path.read_text().strip() for path in sorted((board / "cpu").glob("cpu*/cpufreq/scaling_governor"))]


def timing(board: Path, root: Path, model: bytes, timed_s: float) -> RawAgent:
    """An agent that is busy with a timing under the governor `performance`."""
    opened = RawAgent(root, str(board / "python"))
    data = base64.b64encode(model).decode()
    opened.ask("put", sha256=sha256(model), bytes=len(model), offset=0, data=data)
    hello = opened.ask("hello")["ok"]
    assert hello["governors"] == ["ondemand", "performance"]
    assert (hello["governor"], hello["max_clock_mhz"], hello["power_mode"]) == ("ondemand", 1500.0, None)
    request = {"do": "time", "models": [sha256(model)], **PLAN, "timed_s": timed_s, "governor": "performance"}
    opened.write(json.dumps({"id": 7, **request}).encode())
    return opened


def test_the_fast_core_alone_works_under_the_governor_and_it_comes_back(
    board: Path, root: Path, models: list[bytes]
) -> None:
    fast = max(os.sched_getaffinity(0))
    with timing(board, root, models[0], 3.0) as opened:
        watcher, worker = until(lambda: pids if len(pids := children(opened.process.pid)) == 2 else None)
        allowed = f"Cpus_allowed_list:\t{fast}\n"
        until(lambda: allowed in Path(f"/proc/{worker}/status").read_text())
        assert governors(board) == ["ondemand"] * (len(governors(board)) - 1) + ["performance"]
        conditions: dict[str, Any] = {}
        while not conditions:
            conditions = opened.read().get("ok", {}).get("conditions", {})
        assert (conditions["affinity"], conditions["governor"]) == ([fast], "performance")
        assert set(governors(board)) == {"ondemand"}
        assert gone(watcher)
        assert not (root / "governor.json").exists()


def killed(opened: RawAgent, watcher: int) -> None:
    opened.process.kill()


def hung_up(opened: RawAgent, watcher: int) -> None:
    for number in (signal.SIGHUP, signal.SIGTERM):
        os.kill(watcher, number)  # as the end of a login may
    opened.process.kill()


def closed(opened: RawAgent, watcher: int) -> None:
    os.kill(watcher, signal.SIGKILL)
    assert opened.close() == 0


@pytest.mark.parametrize("how", [killed, hung_up, closed])
def test_the_governor_comes_back_however_the_agent_ends(
    board: Path, root: Path, models: list[bytes], how: Callable[[RawAgent, int], None]
) -> None:
    with timing(board, root, models[0], 30) as opened:
        watcher, worker = until(lambda: pids if len(pids := children(opened.process.pid)) == 2 else None)
        assert "performance" in governors(board)
        how(opened, watcher)
        until(lambda: set(governors(board)) == {"ondemand"})
        until(lambda: gone(watcher) and gone(worker))


def test_the_governor_comes_back_with_the_next_agent_if_all_were_killed(
    board: Path, root: Path, models: list[bytes]
) -> None:
    with timing(board, root, models[0], 30) as opened:
        watcher, worker = until(lambda: pids if len(pids := children(opened.process.pid)) == 2 else None)
        os.kill(watcher, signal.SIGKILL)
        opened.process.kill()
        until(lambda: gone(worker))
    assert "performance" in governors(board)
    with RawAgent(root, str(board / "python")) as opened:
        assert "ok" in opened.ask("status")
        assert set(governors(board)) == {"ondemand"}
    assert not (root / "governor.json").exists()


def test_a_governor_that_cannot_be_set_for_all_is_set_for_none(board: Path, root: Path, models: list[bytes]) -> None:
    for path in (board / "cpu").glob("cpu*/cpu_capacity"):
        path.write_text("1024\n")  # both cores are used
    last = sorted((board / "cpu").glob("cpu*/cpufreq/scaling_governor"))[-1]
    last.unlink()
    last.mkdir()
    with connect(f"local:?root={root}&python={board / 'python'}", home=root) as device:
        with pytest.raises(Exception, match=r"performance cannot be set .*offers ondemand performance") as caught:
            device.time(models[:1], replace(SHORT, governor="performance"))
        assert caught.value.fields["kind"] == "governor"  # type: ignore[attr-defined]
        assert device.time(models[:1], SHORT)[0].conditions.governor == "ondemand"
    last.rmdir()
    assert set(governors(board)) == {"ondemand"}


def test_without_a_governor_no_process_watches(device: Device, root: Path, models: list[bytes]) -> None:
    met = device.time(models[:1], SHORT)[0].conditions
    if hasattr(os, "sched_getaffinity"):
        assert set(met.affinity or ()) <= os.sched_getaffinity(0)
    assert met.repeats == 0
