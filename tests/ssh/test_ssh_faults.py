# SPDX-License-Identifier: Apache-2.0
"""Connections that are cut, agents and hosts that are killed: the active model stays, the next run completes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from helpers.ssh.ssh_models import SHORT, active_model, sha256, until
from helpers.ssh_server import Proxy, SshServer

from firmware_tools.connect import connect
from firmware_tools.device import Device, TimingPlan
from firmware_tools.errors import DeviceBusyError, DeviceLostError, UnreachableError
from firmware_tools.linux import ssh, ssh_login
from firmware_tools.linux.session import AgentSession
from firmware_tools.linux.ssh_connection import Connection, Target

LONG = TimingPlan(processes=100, warmup_s=0.01, timed_s=0.2)
HOST = """
import sys
from pathlib import Path
from firmware_tools.connect import connect
from firmware_tools.device import TimingPlan
with connect(sys.argv[1], home=Path("/nowhere")) as device:
    device.stage(Path(sys.argv[2]).read_bytes(), {})
    print("ready", flush=True)
    device.time_staged(TimingPlan(processes=100, timed_s=30))
"""


def opened(server: SshServer, root: Path, port: int | None = None) -> Device:
    return connect(server.url(str(root), port, python=sys.executable), home=Path("/nowhere"))


def again(server: SshServer, root: Path) -> Device:
    """The next run; the cut session's agent may need a moment to see that it is alone."""
    for _ in range(10):
        try:
            return opened(server, root)
        except DeviceBusyError:
            continue
    raise AssertionError("the agent of the cut session lives on")


@pytest.fixture
def installed(server: SshServer, root: Path, models: list[bytes]) -> Path:
    """A board whose active model is the first."""
    with opened(server, root) as device:
        device.stage(models[0], {})
        device.commit()
    return root


@pytest.mark.parametrize("step", ["hello", "put", "stage", "time_staged", "activate", "confirm", "rollback"])
def test_a_cut_at_every_step(
    server: SshServer,
    proxy: Proxy,
    installed: Path,
    models: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    """The request is on its way, its answer will not come."""
    awaited = AgentSession._answer

    def answer(self: AgentSession, do: str, timeout_s: float) -> dict[str, Any]:
        if do == step:
            proxy.cut()
        return awaited(self, do, timeout_s)

    monkeypatch.setattr(AgentSession, "_answer", answer)

    def walk() -> None:
        with opened(server, installed, proxy.port) as device:
            device.stage(models[1], {})
            if step == "time_staged":
                device.time_staged(SHORT)
            device.commit()
            device.rollback()

    with pytest.raises(DeviceLostError) as caught:
        walk()
    monkeypatch.undo()
    assert "\n" not in caught.value.message
    assert active_model(installed) in models[:2]
    with again(server, installed) as device:
        device.stage(models[2], {})
        device.commit()
    assert active_model(installed) == models[2]


def test_a_network_that_goes_away_in_silence_frees_the_board(
    server: SshServer, proxy: Proxy, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh_login, "_KEEPALIVE_S", 2)
    monkeypatch.setattr(ssh, "_ALIVE_EVERY_S", 0.5)
    monkeypatch.setattr(ssh, "_SILENCE_S", 8)
    with opened(server, installed, proxy.port) as device:
        time.sleep(8.5)  # longer than the agent would wait for a host that is gone
        device.status()
        proxy.mute = True
        with pytest.raises(DeviceLostError, match=r"the connection to .* was lost"):
            device.status()
    again(server, installed).close()


def test_cuts_at_random_bytes_and_a_transfer_that_goes_on(
    server: SshServer, proxy: Proxy, installed: Path, models: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    source = random.Random(5)
    blob = source.randbytes(9 << 20)
    part = installed / "scratch" / f"{sha256(blob)}.part"
    reached = [0]
    # In the key exchange, in the first commands, twice in the upload: a connection holds back 2 MiB of it.
    for low, high in ((500, 1 << 10), (1 << 11, 1 << 13), (3 << 20, 4 << 20), (3 << 20, 4 << 20)):
        proxy.forwarded, proxy.cut_after = 0, source.randrange(low, high)
        with (
            pytest.raises((DeviceLostError, UnreachableError)) as caught,
            opened(server, installed, proxy.port) as device,
        ):
            device.stage(blob, {})
        assert "\n" not in caught.value.message
        assert active_model(installed) == models[0]
        reached.append(part.stat().st_size if part.exists() else 0)
    assert reached == sorted(reached)
    assert reached[-1] > 0
    with again(server, installed) as device:
        left = part.read_bytes()
        assert left == blob[: len(left)]
        device.stage(blob, {})
        staged = device.status().staged
        assert staged is not None
        assert staged.valid
    assert active_model(installed) == models[0]
    assert not caplog.records


def test_what_takes_too_long_is_given_up(server: SshServer, proxy: Proxy, tmp_path: Path) -> None:
    with Connection.open(Target.parse(server.url(port=proxy.port))) as connection:
        with pytest.raises(DeviceLostError, match=r"sleep ran for more than 0\.2 s"):
            connection.run(["sleep", "5"], timeout_s=0.2)
        assert connection.run(["cat"], b"still there").stdout == b"still there"
        process = connection.start(["sh", "-c", "cat; exit 3"])
        with pytest.raises(TimeoutError):
            process.wait(0.1)
        process.stdin.write(b"line\n")
        assert process.stdout.readline() == b"line\n"
        process.stdin.close()
        assert process.wait(10) == 3
        proxy.mute = True
        with pytest.raises(DeviceLostError, match=r"x: no progress in 0\.3 s"):
            connection.upload(bytes(16 << 20), str(tmp_path / "x"), timeout_s=0.3)
    with pytest.raises(DeviceLostError, match="the connection is closed"):
        connection.run(["true"])


def test_what_an_earlier_upload_left_may_be_damaged_or_whole(
    server: SshServer, installed: Path, models: list[bytes]
) -> None:
    for left in (b"x" * 10, models[1], models[1][:-1] + b"?", models[1] + b"more"):
        (installed / "scratch" / f"{sha256(models[1])}.part").write_bytes(left)
        with opened(server, installed) as device:
            device.stage(models[1], {})
            device.commit()
        assert active_model(installed) == models[1]


def test_an_agent_killed_in_mid_timing(server: SshServer, installed: Path, models: list[bytes]) -> None:
    def kill(done: int, total: int) -> None:
        if done > 1:  # reported before the agent was killed, read after
            return
        os.kill(int((installed / "lock").read_text()), signal.SIGKILL)

    with opened(server, installed) as device:
        device.stage(models[1], {})
        with pytest.raises(DeviceLostError, match="the agent ended during time_staged"):
            device.time_staged(LONG, kill)
    assert active_model(installed) == models[0]
    with opened(server, installed) as device:
        device.commit()
    assert active_model(installed) == models[1]


def test_a_host_that_is_killed_leaves_no_agent_behind(
    server: SshServer, installed: Path, tmp_path: Path, models: list[bytes]
) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(models[1])
    url = server.url(str(installed), python=sys.executable)
    host = subprocess.Popen(
        [sys.executable, "-c", HOST, url, str(path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert host.stdout is not None
    assert host.stdout.readline() == b"ready\n"
    agent = int((installed / "lock").read_text())
    host.kill()
    host.wait(60)
    host.stdout.close()
    until(lambda: not Path(f"/proc/{agent}").exists())
    assert active_model(installed) == models[0]
    with opened(server, installed) as device:
        device.commit()
    assert active_model(installed) == models[1]


def test_an_interrupted_command_ends_on_the_board_too(server: SshServer, tmp_path: Path) -> None:
    told = tmp_path / "pids"

    def interrupt() -> None:
        until(lambda: told.exists() and len(told.read_text().split()) == 2)
        signal.pthread_kill(main, signal.SIGINT)

    main = threading.get_ident()
    other = threading.Thread(target=interrupt)
    with Connection.open(Target.parse(server.url())) as connection:
        other.start()
        with pytest.raises(KeyboardInterrupt):
            connection.run_tied(["sh", "-c", 'sleep 60 & echo $$ $! > "$1"; wait', "sh", str(told)], 60)
        other.join()
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in told.read_text().split()))
        with pytest.raises(DeviceLostError, match=r"sh ran for more than 0\.2 s"):
            connection.run_tied(["sh", "-c", 'echo $$ $PPID > "$1"; exec sleep 60', "sh", str(told)], 0.2)
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in told.read_text().split()))


def test_a_tied_command_tells_how_it_ended_and_its_input_is_empty(server: SshServer) -> None:
    with Connection.open(Target.parse(server.url())) as connection:
        done = connection.run_tied(["sh", "-c", 'cat; printf %s "$1"; echo why >&2; exit 7', "sh", "a  'b'"], 60)
    assert (done.status, done.stdout, done.stderr) == (7, b"a  'b'", b"why\n")
