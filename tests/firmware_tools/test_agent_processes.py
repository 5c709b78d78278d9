# SPDX-License-Identifier: Apache-2.0
"""Agents, workers and hosts that die at the wrong moment."""

from __future__ import annotations

import base64
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.firmware_tools.raw_agent import SHORT, RawAgent, active_model, agent_pid, children, gone, sha256, until

from firmware_tools.connect import connect
from firmware_tools.device import Device, TimingPlan
from firmware_tools.errors import DeviceBusyError, DeviceLostError, InferenceError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals")

LONG = TimingPlan(processes=100, warmup_s=0.01, timed_s=0.2)
PLAN = {"processes": 1, "repeats": 0, "warmup_s": 0.01, "timed_s": 30, "threads": 1, "runtime": None}

HOST = """
import sys
from pathlib import Path
from firmware_tools.connect import connect
from firmware_tools.device import TimingPlan
model = Path(sys.argv[1]).read_bytes()
with connect("local:?root=" + sys.argv[2], home=Path(sys.argv[2])) as device:
    device.stage(model, {})
    print("ready", flush=True)
    device.time_staged(TimingPlan(processes=100, timed_s=30))
"""


def test_a_second_agent_is_told_the_pid_of_the_first(device: Device, root: Path) -> None:
    with pytest.raises(DeviceBusyError, match=f"process {agent_pid(root)} uses the device") as caught:
        connect(f"local:?root={root}", home=root)
    assert caught.value.fields["pid"] == agent_pid(root)
    assert device.status().active is None


def test_an_agent_killed_in_mid_timing(root: Path, models: list[bytes]) -> None:
    url = f"local:?root={root}"
    workers: list[int] = []

    def kill(done: int, total: int) -> None:
        if done > 1:  # reported before the agent was killed, read after
            return
        pid = agent_pid(root)
        workers.extend(children(pid) or until(lambda: children(pid)))
        os.kill(pid, signal.SIGKILL)

    with connect(url, home=root) as device:
        device.stage(models[0], {})
        device.commit()
        device.stage(models[1], {})
        with pytest.raises(DeviceLostError, match="the agent ended during time_staged"):
            device.time_staged(LONG, kill)
        with pytest.raises(DeviceLostError, match="connect again"):
            device.status()
    until(lambda: all(gone(worker) for worker in workers))
    assert workers
    assert active_model(root) == models[0]
    with connect(url, home=root) as device:
        assert device.time_staged(SHORT).sha256 == sha256(models[1])
        device.commit()
    assert active_model(root) == models[1]


def test_a_worker_that_crashes_is_told_and_the_session_goes_on(device: Device, root: Path, models: list[bytes]) -> None:
    def kill(done: int, total: int) -> None:
        if done > 1:
            return
        os.kill(until(lambda: children(agent_pid(root)))[0], signal.SIGKILL)

    with pytest.raises(InferenceError, match="ended of signal 9") as caught:
        device.time([models[0]] * 50, LONG, kill)
    assert caught.value.fields["reason"] == "crashed"
    assert device.time(models[:1], SHORT)[0].n > 0


def test_a_worker_that_hangs_is_ended_after_its_silence(root: Path, models: list[bytes]) -> None:
    model = models[0]
    with RawAgent(root) as agent:
        data = base64.b64encode(model).decode()
        agent.ask("put", sha256=sha256(model), bytes=len(model), offset=0, data=data)
        request = {"id": 7, "do": "time", "models": [sha256(model)], **PLAN, "silence_s": 5.0}
        agent.write(json.dumps(request).encode())
        worker = until(lambda: children(agent.process.pid))[0]
        os.kill(worker, signal.SIGSTOP)
        refused = agent.read()["error"]
        assert (refused["kind"], refused["reason"]) == ("inference", "hung")
        until(lambda: gone(worker))
        assert "ok" in agent.ask("status")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=lambda how: how.name)
def test_a_host_that_dies_leaves_no_process_behind(
    root: Path, tmp_path: Path, models: list[bytes], how: signal.Signals
) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(models[0])
    host = subprocess.Popen(
        [sys.executable, "-c", HOST, str(path), str(root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert host.stdout is not None
    assert host.stdout.readline() == b"ready\n"
    agent = agent_pid(root)
    worker = until(lambda: children(agent))[0]
    os.killpg(host.pid, how)
    host.wait(60)
    host.stdout.close()
    until(lambda: gone(agent) and gone(worker))
    with connect(f"local:?root={root}", home=root) as device:
        assert device.status().staged is not None


def test_sigint_and_a_closed_stdin_while_a_worker_runs(root: Path, models: list[bytes]) -> None:
    model = models[0]
    agent = RawAgent(root)
    data = base64.b64encode(model).decode()
    agent.ask("put", sha256=sha256(model), bytes=len(model), offset=0, data=data)
    request = {"id": 7, "do": "time", "models": [sha256(model)], **PLAN, "silence_s": 60}
    agent.write(json.dumps(request).encode())
    worker = until(lambda: children(agent.process.pid))[0]
    agent.process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    assert agent.process.poll() is None
    assert agent.close() == 0
    assert gone(worker)
    assert list((root / "scratch").iterdir()) == []


def test_a_kill_at_any_moment_leaves_a_whole_active_model(root: Path, models: list[bytes]) -> None:
    """Stage and commit changing models, kill the agent at a random moment, look at what an application would see."""
    rng = random.Random(1)
    requests = {}
    for model in models:
        what = {"sha256": sha256(model)}
        data = base64.b64encode(model).decode()
        lines = [
            {"do": "put", **what, "bytes": len(model)},  # as a host asks first: finishes what a kill left unfinished
            {"do": "put", **what, "bytes": len(model), "offset": 0, "data": data},
            {"do": "stage", **what, "manifest": {}},
            {"do": "activate"},
            {"do": "confirm", **what},
            {"do": "rollback"},
        ]
        requests[model] = b"\n".join(json.dumps({"id": 1, **line}).encode() for line in lines)
    with connect(f"local:?root={root}", home=root) as device:
        device.stage(models[2], {})
        device.commit()
    seen: set[bytes] = set()
    started = time.monotonic()
    # 6 seconds of kills, and on a slow disk on until every model was seen active, so that the test says something.
    while time.monotonic() < started + (6 if len(seen) == 3 else 60):
        agent = RawAgent(root)
        before = agent.ask("status")["ok"]
        assert before["active"]["valid"]
        for name in ("previous", "staged"):
            assert before[name] is None or (before[name]["valid"] and not before[name]["active"])
        agent.write(requests[rng.choice(models)])
        for _ in range(rng.randrange(6)):  # into each of the steps as often
            agent.read()
        time.sleep(rng.uniform(0, 0.006))
        agent.process.kill()
        agent.close()
        seen.add(active_model(root))
    assert len(seen) == 3
