# SPDX-License-Identifier: Apache-2.0
"""What a board prints without end, over a real server: no memory of this computer, and no row of another device."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.ssh_server import SshServer, at_home

import edgenas
from edgenas.boards import inventory
from firmware_tools.connect import connect
from firmware_tools.errors import DeviceError, DeviceLostError, ProtocolError
from firmware_tools.linux.ssh_connection import Connection, Target

MEMORY_MB = 256
# A Python that answers what is asked of it before an agent is started, and then is no agent.
_PYTHON = """#!/bin/sh
case $2 in *version_info*) echo 3.11; exit ;; esac
read request
{what}
"""
AGENTS = {
    "endless line": ("cat /dev/zero", DeviceLostError, "a line of more than 32 MiB during hello"),
    "garbage": ('echo \'{"id": 1, "ok": {"protocol": 2}}\'', ProtocolError, "hello cannot be: hostname is missing"),
    "self": ('echo \'{"id": 1, "error": {"kind": "x", "message": "m", "self": 1}}\'', DeviceError, ": m"),
    "stderr": ("head -c 200000000 /dev/zero >&2", DeviceLostError, "the agent ended during hello"),
}


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < MEMORY_MB


def python(folder: Path, what: str) -> Path:
    path = folder / "python"
    path.write_text(_PYTHON.format(what=what))
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("name", AGENTS)
def test_a_board_that_is_no_agent(server: SshServer, root: Path, tmp_path: Path, name: str) -> None:
    what, error, says = AGENTS[name]
    with pytest.raises(error) as caught:
        connect(server.url(str(root), python=str(python(tmp_path, what))), home=tmp_path)
    assert says in caught.value.message
    assert len(caught.value.message) < 400
    assert caught.value.exit_code == 4


def test_a_command_that_prints_much_is_kept_in_part(server: SshServer) -> None:
    with Connection.open(Target.parse(server.url())) as connection:
        done = connection.run(["sh", "-c", "head -c 300000000 /dev/zero; head -c 9000000 /dev/zero >&2; printf end"])
    assert (done.status, done.stdout[-3:]) == (0, b"end")
    assert len(done.stdout) + len(done.stderr) < 1 << 20


def test_start_up_files_that_print_without_an_end(tmp_path: Path) -> None:
    with (
        SshServer(tmp_path / "endless", "ForceCommand yes") as endless,
        at_home(endless),
        Connection.open(Target.parse(endless.url())) as connection,
        pytest.raises(DeviceError),
    ):
        connection.run(["true"], timeout_s=5)


def test_one_rogue_device_ends_no_listing(
    server: SshServer, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGENAS_HOME", str(tmp_path / "edgenas"))
    (tmp_path / "edgenas").mkdir(mode=0o700)
    urls = {"honest": server.url(str(root / "honest"), python=sys.executable)}
    for name, (what, _, _) in AGENTS.items():
        folder = tmp_path / name.replace(" ", "-")
        folder.mkdir()
        urls[name.replace(" ", "-")] = server.url(str(root / folder.name), python=str(python(folder, what)))
    rows = [f'[[device]]\nname = "{name}"\nurl = "{url}"\ntags = ["t"]\n' for name, url in urls.items()]
    inventory.file().write_text("\n".join(rows))
    found = {device.name: device for device in edgenas.devices("t")}
    assert set(found) == set(urls)
    assert found["honest"].state == "ready"
    assert all(found[name].state in ("refused", "no answer") for name in urls if name != "honest")
    assert all(found[name].note for name in urls if name != "honest")


def test_a_fault_of_ours_with_one_device_is_its_row(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGENAS_HOME", str(tmp_path / "edgenas"))
    (tmp_path / "edgenas").mkdir(mode=0o700)
    inventory.file().write_text('[[device]]\nname = "x"\nurl = "ssh://x"\ntags = ["t"]\n')

    def fails(url: str) -> None:
        raise KeyError("unexpected")

    monkeypatch.setattr("edgenas.workflows.devices.connect", fails)
    (found,) = edgenas.devices("t")
    assert found.state == "refused"
    assert "KeyError: 'unexpected': this is a fault of edgenas" in (found.note or "")
