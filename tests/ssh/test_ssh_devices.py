# SPDX-License-Identifier: Apache-2.0
"""`edgenas devices` over a real SSH server: a served model, a wrong board, a busy one, and hosts that do not answer."""

from __future__ import annotations

import hashlib
import platform
import socket
import sys
from pathlib import Path

import pytest
from helpers.ssh_server import SshServer, free_port

import edgenas
from edgenas.boards import inventory
from edgenas.cli.devices import _cells
from firmware_tools.agent.parts.slots import Store
from firmware_tools.connect import connect
from firmware_tools.errors import NothingToRollBackError

TAGS = {"silent": "deaf"}
MANIFEST = {"name": "kws", "budget_ms": 2.5, "measured": {"latency_ms": 2.25, "statistic": "p10", "unit": "ms"}}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGENAS_HOME", str(tmp_path / "edgenas"))
    (tmp_path / "edgenas").mkdir()
    return tmp_path / "edgenas"


def write(**urls: str) -> None:
    board = f"linux-{platform.machine()}"
    tables = [
        f'[[device]]\nname = "{name}"\nurl = "{url}"\ntags = ["{TAGS.get(name, "t")}"]\n' for name, url in urls.items()
    ]
    text = "\n".join(table + ('board = "rpi-4b"\n' if "wrong" in table else "") for table in tables)
    inventory.file().write_text(text.replace('name = "served"\n', f'name = "served"\nboard = "{board}"\n'))


@pytest.mark.skipif(platform.machine() != "x86_64", reason="a board of another architecture is wanted")
def test_hosts_of_the_inventory(server: SshServer, root: Path, home: Path) -> None:
    def url(name: str) -> str:
        return server.url(str(root / name), python=sys.executable)

    with connect(url("served"), home=home) as device:
        device.stage(b"a model", MANIFEST)
        device.commit()
    with socket.socket() as silent, connect(url("busy"), home=home):
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        write(
            served=url("served"),
            wrong=url("wrong"),
            busy=url("busy"),
            stranger=url("served").replace("127.0.0.1", "localhost"),
            closed=server.url(port=free_port()),
            silent=server.url(port=silent.getsockname()[1]),
        )
        found = {device.name: device for device in edgenas.devices("t", limit=3)}
        (silence,) = edgenas.devices("deaf", timeout_s=0.5)
    assert {name: device.state for name, device in found.items()} == {
        "served": "ready",
        "wrong": "other board",
        "busy": "busy",
        "stranger": "refused",
        "closed": "no answer",
    }
    assert (silence.state, silence.note) == (
        "no answer",
        "no answer within 0.5 s: is it switched on and in the network?",
    )
    notes = {name: str(device.note) for name, device in found.items()}
    assert "say --board linux-x86_64" in notes["wrong"]
    assert "unknown host key SHA256:" in notes["stranger"]
    assert "nothing listens at that port" in notes["closed"]
    active = found["served"].active
    assert active is not None
    assert (active.name, active.bytes, active.valid, active.confirmed) == ("kws", 7, True, True)
    assert (active.budget_ms, active.latency_ms, active.statistic) == (2.5, 2.25, "p10")
    with pytest.raises(NothingToRollBackError):
        edgenas.rollback(device="served")  # the board's name comes from the inventory


def test_a_commit_that_was_cut_short_shows(server: SshServer, root: Path, home: Path) -> None:
    store, sha256 = Store(str(root), lambda _: None), hashlib.sha256(b"a model").hexdigest()
    store.put(sha256, 7, 0, b"a model")
    store.stage(sha256, MANIFEST)
    store.activate()  # and no confirm
    write(cut=server.url(str(root), python=sys.executable))
    (found,) = edgenas.devices("t")
    assert found.to_json()["active"]["confirmed"] is False
    assert f"kws {sha256[:8]}, not confirmed" in _cells(found)
