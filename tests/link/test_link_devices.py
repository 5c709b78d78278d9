# SPDX-License-Identifier: Apache-2.0
"""`edgenas devices` with real ptys and agents: what answers, what is silent, busy, gone, or nobody's board."""

from __future__ import annotations

import hashlib
import json
import os
import tty
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

if os.name != "posix":
    pytest.skip("ptys are POSIX only", allow_module_level=True)

from helpers.link.paced_line import PacedLine, Served
from helpers.link.standin_board import StandInBoard
from serial.tools import list_ports

import edgenas
from edgenas.boards import inventory
from edgenas.errors import UsageError
from edgenas.workflows.devices import Found
from firmware_tools.connect import connect
from firmware_tools.errors import NothingToRollBackError
from firmware_tools.link.pipes import SerialPipe
from firmware_tools.mcu.manifests import PlanOrigin
from firmware_tools.mcu.serial_board import manifests

NUCLEO, PICO = (0x0483, 0x374B), (0x2E8A, 0x000A)
PLAN = bytes(100)
MANIFEST = {
    "name": "digits-\x1b[31m",
    "budget_ms": 2.5,
    "measured": {"latency_ms": 2.25, "statistic": "max", "unit": "Minsn"},
}


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("EDGENAS_HOME", str(home))
    return home


@pytest.fixture
def ports(monkeypatch: pytest.MonkeyPatch) -> list[SimpleNamespace]:
    """What the system says that it has."""
    found: list[SimpleNamespace] = []
    monkeypatch.setattr(list_ports, "comports", lambda: found)
    return found


@pytest.fixture
def board(ports: list[SimpleNamespace]) -> Iterator[StandInBoard]:
    """A board at the first port, with an active model."""
    board = StandInBoard(active=PLAN)
    with Served(board.feed) as served, PacedLine(served.file, served.file, 921600) as line:
        ports.append(port(line.path, NUCLEO))
        yield board


@pytest.fixture
def silent(ports: list[SimpleNamespace]) -> Iterator[str]:
    """A port where nothing answers."""
    with ExitStack() as stack:
        other, mine = os.openpty()
        stack.callback(os.close, mine)
        stack.callback(os.close, other)
        tty.setraw(mine)
        ports.append(port(os.ttyname(mine), PICO))
        yield os.ttyname(mine)


def port(path: str, usb: tuple[int, int] | None = None) -> SimpleNamespace:
    vid, pid = usb or (None, None)
    return SimpleNamespace(device=path, vid=vid, pid=pid, description="a port")


def by_url(found: list[Found]) -> dict[str, Found]:
    return {device.url: device for device in found}


def write(*tables: str) -> None:
    inventory.file().write_text("\n".join(f"[[device]]\n{table}\n" for table in tables), encoding="utf-8")


def test_every_kind_of_port_and_this_computer(
    board: StandInBoard, silent: str, ports: list[SimpleNamespace], home: Path
) -> None:
    sent = PlanOrigin("ab" * 32, 5000, MANIFEST, (1, 8, 8, 1), (1, 10))
    manifests(home).put(hashlib.sha256(PLAN).hexdigest(), sent)
    ports += [port("/dev/ttyUSB9", (0x0403, 0x6001)), port("/dev/ttyS9"), port("/dev/ttyGONE", NUCLEO)]
    found = by_url(edgenas.devices())
    answered = found.pop(f"serial://{ports[0].device}")
    assert (answered.state, answered.board, answered.usb) == ("ready", "stand-in", "0483:374b")
    assert answered.active is not None
    assert (answered.active.sha256, answered.active.bytes, answered.active.valid) == ("ab" * 32, 5000, True)
    assert (answered.active.budget_ms, answered.active.latency_ms) == (2.5, 2.25)
    nothing = found.pop(f"serial://{silent}")
    assert (nothing.state, nothing.board, nothing.active) == ("no answer", None, None)
    assert nothing.note is not None
    assert nothing.note.startswith(f"perhaps a rpi-pico: serial://{silent}: silence at 115200 baud")
    gone = found.pop("serial:///dev/ttyGONE")
    assert gone.state == "no answer"
    assert "perhaps a nucleo-f401re or nucleo-l4r5zi or stm32f746g-disco: /dev/ttyGONE: no such port" in str(gone.note)
    for name, why in (("USB9", "no board has its USB id 0403:6001 (a port)"), ("S9", "not a USB port")):
        unasked = found.pop(f"serial:///dev/tty{name}")
        assert (unasked.state, unasked.note) == ("not asked", f"{why}: name it in {inventory.file()} to have it asked")
    here = found.pop("local:")
    assert (here.state, here.board, here.active) == ("ready", "host", None)
    assert found == {}


def test_a_port_of_the_inventory_is_one_device_and_is_asked(
    board: StandInBoard, ports: list[SimpleNamespace], tmp_path: Path
) -> None:
    by_id = tmp_path / "usb-STM-if02"
    by_id.symlink_to(ports[0].device)
    write(f'name = "bench"\nurl = "serial://{by_id}"\nboard = "nucleo-f401re"', 'name = "me"\nurl = "local:"')
    bench, me = edgenas.devices()
    assert (bench.name, bench.usb, bench.state) == ("bench", "0483:374b", "other board")
    assert "the device calls itself 'stand-in', board nucleo-f401re is" in str(bench.note)
    assert (me.name, me.url, me.state) == ("me", "local:", "ready")


def test_a_busy_port_and_a_busy_agent_say_so(
    silent: str, ports: list[SimpleNamespace], home: Path, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    write(f'name = "mine"\nurl = "local:?root={root}"')
    pipe = SerialPipe(silent)
    with connect(f"local:?root={root}", home=home):
        mine, taken, here = edgenas.devices()
    pipe.close()
    assert (mine.state, taken.state, here.state) == ("busy", "busy", "ready")
    assert "wait for it to end" in str(mine.note)
    assert "another program has the port open" in str(taken.note)


def test_tags_choose_from_the_inventory(tmp_path: Path, ports: list[SimpleNamespace]) -> None:
    write(
        f'name = "a"\nurl = "local:?root={tmp_path}/a"\nboard = "rpi-4b"\ntags = ["field", "new"]',
        f'name = "b"\nurl = "local:?root={tmp_path}/b"\nboard = "host"\ntags = ["field"]',
        f'name = "c"\nurl = "local:?root={tmp_path}/b"',
        f'name = "d"\nurl = "local:?python={tmp_path}/nopython"\ntags = ["broken"]',
    )
    assert [(found.name, found.state) for found in edgenas.devices("field")] == [("a", "other board"), ("b", "ready")]
    assert [found.state for found in edgenas.devices("broken")] == ["refused"]
    assert [found.name for found in edgenas.devices()][:4] == ["a", "b", "c", "d"]  # b and c are one: asked once
    with pytest.raises(UsageError, match="board rpi-4b is aarch64"):
        edgenas.rollback(device="a")
    with pytest.raises(NothingToRollBackError, match=f"{tmp_path}/b"):
        edgenas.rollback(device="b")
    with pytest.raises(UsageError, match=r"no device has the tag 'x': known are broken, field, new in .*devices\.toml"):
        edgenas.devices("x")


def test_one_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nexec sleep 2\n")
    slow.chmod(0o755)
    write(f'name = "slow"\nurl = "local:?python={slow}&root={tmp_path}/x"\ntags = ["t"]')
    (late,) = edgenas.devices("t", timeout_s=0.2)
    assert (late.name, late.state) == ("slow", "no answer")
    assert late.note == "no answer within 0.2 s: is it switched on and in the network?"


def test_what_is_printed(
    board: StandInBoard, ports: list[SimpleNamespace], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from edgenas.cli import main

    sent = PlanOrigin("ab" * 32, 5000, {**MANIFEST, "budget_ms": "none"}, (1, 8, 8, 1), (1, 10))
    manifests(home).put(hashlib.sha256(PLAN).hexdigest(), sent)
    write(f'name = "bench"\nurl = "serial://{ports[0].device}"\ntags = ["t"]')
    assert main(["devices", "--tag", "t"]) == 0
    printed = capsys.readouterr().out
    assert "digits-\\x1b[31m abababab" in printed
    assert "2.25 Minsn" in printed
    assert main(["devices", "--tag", "t", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["devices"]
    assert (row["name"], row["state"], row["tags"], row["device"]["hostname"]) == ("bench", "ready", ["t"], "stand-in")
    active = {"name": MANIFEST["name"], "sha256": "ab" * 32, "bytes": 5000, "valid": True, "confirmed": True}
    active["budget_minsn"] = None
    assert row["active"] == {**active, "latency_minsn": 2.25, "statistic": "max", "unit": "Minsn"}
