# SPDX-License-Identifier: Apache-2.0
"""`edgenas --device ssh://...`: what a user sees."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from contextlib import suppress
from pathlib import Path

import pytest
from helpers.ssh.password_server import PasswordServer
from helpers.ssh.ssh_models import fully_connected
from helpers.ssh_server import SshServer

BOARD = ("--board", f"linux-{platform.machine()}")
EDGENAS = [sys.executable, "-m", "edgenas"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*EDGENAS, *arguments], capture_output=True, text=True, check=False, start_new_session=True)


def test_a_new_board_is_met_then_measured(
    server: SshServer, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGENAS_HOME", str(tmp_path / "edgenas"))
    model = tmp_path / "model.tflite"
    model.write_bytes(fully_connected(1))
    server.known_hosts.unlink()
    command = ["measure", str(model), "--json", *BOARD, "--device", server.url(str(root), python=sys.executable)]
    refused = run(*command)
    assert refused.returncode == 4
    assert "unknown host key SHA256:" in refused.stderr.splitlines()[-1]
    assert refused.stdout == ""
    measured = run(*command, "--accept-new-host-key")
    assert measured.returncode == 0, measured.stderr
    (kept,) = [line for line in measured.stderr.splitlines() if "host key" in line]
    assert re.search(rf"ssh-ed25519 SHA256:\S{{43}}, is kept in {re.escape(str(server.known_hosts))}$", kept)
    assert json.loads(measured.stdout)["device"]["url"] == command[-1]
    rolled = run("rollback", *BOARD, "--device", command[-1])
    assert rolled.returncode == 4
    assert "has no previous model" in rolled.stderr


@pytest.mark.parametrize("echo", [False, True], ids=["password", "interactive with echo"])
def test_a_password_is_typed_at_the_terminal_and_never_shown(server: SshServer, echo: bool) -> None:
    board = PasswordServer(server.host_key, interactive=echo, echo=echo)
    server.trust(board.port)
    command = ["rollback", *BOARD, "--device", f"ssh://pi@127.0.0.1:{board.port}"]
    silent = run(*command)  # of a session without a terminal
    assert silent.returncode == 4
    assert "there is no terminal to ask for a password at" in silent.stderr.splitlines()[-1]
    assert board.tried == []
    user, terminal = pty.openpty()
    program = subprocess.Popen(
        [*EDGENAS, *command],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # makes it the program's own terminal
    )
    os.close(terminal)
    seen = b""
    try:
        prompt = b"pi@127.0.0.1: Password: " if echo else b"Password of pi@127.0.0.1: "
        while prompt not in seen:
            seen += os.read(user, 1024)
        os.write(user, b"secret\n")
        while True:
            seen += os.read(user, 1024)
    except OSError:  # what a terminal says at its end
        pass
    finally:
        program.wait(10)
        os.close(user)
    assert board.tried == ["secret"]
    assert b"secret" not in seen
    assert b"let in" in seen  # the answer of the stand-in's shell


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_ends_the_program_and_what_runs_on_the_board(
    server: SshServer, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setenv("EDGENAS_HOME", str(tmp_path / "edgenas"))
    model = tmp_path / "model.tflite"
    model.write_bytes(fully_connected(1))
    command = [*EDGENAS, "measure", str(model), *BOARD, "--device", server.url(str(root), python=sys.executable)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stderr is not None
        while not any("--worker" in line for line in _on_board(root)):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.02)
        process.send_signal(number)
        assert process.wait(60) == 128 + number
        assert process.stderr.read().splitlines()[-1].startswith("edgenas: interrupted")
    end = time.monotonic() + 60
    while left := _on_board(root):
        assert time.monotonic() < end, left
        time.sleep(0.02)


def _on_board(root: Path) -> list[str]:
    """Command lines of the agent and its workers."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [line for line in found if f"{root}/agent-" in line]
