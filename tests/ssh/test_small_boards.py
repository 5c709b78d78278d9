# SPDX-License-Identifier: Apache-2.0
"""Boards with dropbear, or OpenSSH, and no SFTP: every login shell, start-up files that talk, homes that are none.

The dry run of `edgenas board prepare` says what the run says.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.ssh.ssh_models import active_model, fully_connected
from helpers.ssh_accounts import (
    READY,
    REFUSED,
    SECRET,
    Board,
    Dropbear,
    OpenSsh,
    Server,
    ready_accounts,
    refused_accounts,
)
from helpers.ssh_server import Proxy, at_home

import edgenas
from firmware_tools.connect import Access, connect
from firmware_tools.errors import DeviceError, DeviceLostError
from firmware_tools.linux import ssh_connection
from firmware_tools.linux.ssh_command import ERROR_MARK, MARK, command_line

_SHELLS = ("dash", "bash", "busybox ash", "csh", "tcsh", "fish", "zsh", "mksh")


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    board = Board(tmp_path_factory.mktemp("small") / "board", [*ready_accounts(), *refused_accounts()])
    for name in READY:
        board.prepare(name)
    with at_home(board):
        yield board


@pytest.fixture(scope="module", params=[Dropbear, OpenSsh])
def server(request: pytest.FixtureRequest, board: Board) -> Iterator[Server]:
    with request.param(board, "ed25519") as server:
        yield server


@pytest.fixture(scope="module")
def dropbear(board: Board) -> Iterator[Dropbear]:
    with Dropbear(board, "ed25519") as server:
        yield server


def verdict(url: str, dry_run: bool) -> str:
    """What `edgenas board prepare` ends with; the password is known and the host key is accepted."""
    try:
        edgenas.prepare(url, dry_run=dry_run, access=Access(lambda _: SECRET, accept_new_host_key=True))
    except DeviceError as error:
        return error.message
    return "ready"


@pytest.mark.parametrize("name", [*READY, *REFUSED])
def test_the_dry_run_and_the_run_agree(server: Server, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "asks":
        monkeypatch.setattr(ssh_connection, "_START_TIMEOUT_S", 1.0)
    url = server.url(name)
    said = verdict(url, dry_run=True)
    assert said == verdict(url, dry_run=False)
    assert REFUSED.get(name, "ready") in said
    assert len(said.replace(str(server.board.folder), "/home")) < 200


def test_a_python_that_is_not_there(dropbear: Server) -> None:
    url = dropbear.url("plain", python="/nowhere/python3")
    said = verdict(url, dry_run=True)
    assert said == verdict(url, dry_run=False)
    assert "/nowhere/python3 is no Python on the board" in said
    assert len(said) < 200


@pytest.mark.parametrize("shell", _SHELLS)
def test_every_shell_runs_the_same(shell: str) -> None:
    """Of words that no two shells quote alike."""
    program, *arguments = shell.split()
    if shutil.which(program) is None:
        pytest.skip(f"no {program} here: apt-get install {program}")
    words = ["it's", "x\ny\\z\\n", "!!$HOME`id`~*{a,b}", "ü木", "", "\\0101", "%s", "-n", "'!\\" * 500, 'q"\\']
    command = [program, *arguments, "-c", command_line(["printf", "[%s]", *words])]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.stdout == MARK + "".join(f"[{word}]" for word in words).encode()
    assert done.stderr == ERROR_MARK
    failing = command_line(["sh", "-c", "cat; exit 3"], in_its_place=True)
    done = subprocess.run([program, *arguments, "-c", failing], input=b"told", capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (3, MARK + b"told")


def test_a_server_that_takes_one_command_at_a_time(board: Board) -> None:
    with OpenSsh(board, "ed25519", settings=["MaxSessions 1"]) as server:
        said = verdict(server.url("plain"), dry_run=True)
        assert said == verdict(server.url("plain"), dry_run=False)
        assert "takes no more commands at once (open failed): raise MaxSessions in its sshd_config" in said


def test_a_small_board_is_measured(dropbear: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGENAS_HOME", str(tmp_path / "edgenas"))
    model = tmp_path / "model.tflite"
    model.write_bytes(fully_connected(1))
    url = dropbear.url("talks")
    command = [sys.executable, "-m", "edgenas", "measure", str(model), "--json", "--accept-new-host-key"]
    command += ["--board", f"linux-{os.uname().machine}", "--device", url]
    measured = subprocess.run(command, capture_output=True, text=True, check=False)
    assert measured.returncode == 0, measured.stderr
    assert json.loads(measured.stdout)["device"]["url"] == url


def test_a_transfer_that_is_cut_goes_on(dropbear: Server, models: list[bytes]) -> None:
    blob = os.urandom(5 << 20)
    root = dropbear.board.home("ash") / ".edgenas"
    access = Access(accept_new_host_key=True)
    with connect(dropbear.url("ash"), home=Path("/nowhere"), access=access) as device:
        device.stage(models[0], {})
        device.commit()
    with Proxy(dropbear.port) as proxy:
        url = dropbear.url("ash").replace(f":{dropbear.port}", f":{proxy.port}")
        proxy.cut_after = 4 << 20
        with pytest.raises(DeviceLostError), connect(url, home=Path("/nowhere"), access=access) as device:
            device.stage(blob, {})
    assert active_model(root) == models[0]
    (part,) = (root / "scratch").glob("*.part")
    assert part.read_bytes() == blob[: part.stat().st_size] != b""
    with connect(dropbear.url("ash"), home=Path("/nowhere"), access=access) as device:
        sent = device.stage(blob, {})
        assert sent.bytes == len(blob)
    assert active_model(root) == models[0]
