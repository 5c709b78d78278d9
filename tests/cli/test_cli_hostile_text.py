# SPDX-License-Identifier: Apache-2.0
"""Text from files, boards, servers and programs through every command: a terminal obeys none of it.

The real program on a terminal of its own, and with --json on pipes.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.cli.hostile_text import ACTING, HostileServer, acts, hostile_agent, on_terminal
from helpers.recorded import KEY, taken
from helpers.tflite_builder import Op, T, constant, model
from PIL import Image

from edgenas.cli import app, main
from edgenas.profiles.exchange import FORMAT, Exchange
from edgenas.profiles.store import Store
from edgenas.resources import shipped

if os.name != "posix":
    pytest.skip("terminals are POSIX only", allow_module_level=True)

_BOARD = """
id = "evil"
name = {text}
kind = "mcu"
device_url = "serial:"
precision = "int8"
threads = 1
statistic = "max"
processes = 2
[limits]
flash_bytes = 2000
[facts]
firmware = "host"
verified = {text}
[flash]
address = 0
[flash.openocd]
configs = ["board/mine.cfg"]
hint = {text}
"""
_DEVICES = """
[[device]]
name = "kitchen"
url = {url}
board = "host"
tags = ["mine", {text}]
"""
_OPENOCD = """#!{python}
import sys
sys.stdout.buffer.write({data!r} + b"\\x1b[32mdone\\x1b[0m 50 %\\r100 %\\n")
sys.stderr.buffer.write(b"Error: " + {data!r} + b"\\n")
sys.exit(1)
"""


@dataclass(frozen=True)
class Case:
    """A command and its arguments; `{agent}`, `{refuses}` and `{port}` stand for the strangers' addresses."""

    command: str
    arguments: tuple[str, ...] = ()
    mark: str = "owned"  # of the text, by which it is seen that it came through
    needs: str = "numpy"
    terminal_only: bool = False  # needs one, or takes more than a second


_REFUSED = ("--device", "local:?python={refuses}")
_TEXT = ACTING.replace("\ud800", "\udcff")  # as a name on the command line, or of a file
_WHOLE = ACTING.replace("\ud800", "")  # for what takes no lone surrogate
CASES = [
    Case("", (_TEXT,)),
    Case("deploy", ("--data", "digits", "--latency", "1ms", *_REFUSED), needs="torch", terminal_only=True),
    Case("deploy", ("--data", f"photos{_TEXT}", "--latency", "1ms")),
    Case("search", ("--data", "digits", "--latency", "1ms", *_REFUSED), needs="torch", terminal_only=True),
    Case("search", ("--data", "named.npz", "--latency", "1ms", "--device", "usb:"), mark="usb"),
    Case("train", ("x", "--data", "classes", "--out", f"x{_TEXT}.pt")),
    Case("convert", (f"no{_TEXT}.pt", "--data", "classes", "--out", "new"), terminal_only=True),
    Case("plan", ("custom.tflite", "--board", "mps2-an386"), needs="tflite"),
    Case("plan", ("artifact", "--board", "mps2-an386")),
    Case(
        "measure",
        (f"dense{_TEXT}.tflite", "--device", "local:?python={agent}"),
        needs="ai_edge_litert",
        terminal_only=True,
    ),
    Case("measure", ("dense.tflite", *_REFUSED), needs="tflite"),
    Case("rollback", ("--device", "kitchen")),
    Case("flash", ("--board", "evil", "--image", "image.bin")),
    Case("flash", ("--board", "evil", "--image", "image.bin", "--dry-run")),
    Case("devices", ("--tag", "mine")),
    Case("devices", ("--tag", "none")),
    Case("boards"),
    Case("doctor", ("--quiet",), mark="converter"),
    Case("profile", ("--minutes", "0.01", *_REFUSED), needs="scipy"),
    Case("profile export", ("-o", f"{{new}}{_TEXT}.json")),
    Case("profile forget", (f"no{_TEXT}.json",)),
    Case("profile import", ("theirs.json",), needs="scipy", terminal_only=True),
    Case("profile merge", ("theirs.json", "broken.json", "-o", "both.json"), needs="scipy", terminal_only=True),
    Case("profile show", needs="scipy", terminal_only=True),
    Case("board prepare", ("--device", "ssh://pi@127.0.0.1:{port}"), needs="asyncssh", terminal_only=True),
]


def _name(case: Case) -> str:
    return f"{case.command} {CASES.index(case)}"


def _commands(command: Any, names: tuple[str, ...] = ()) -> Iterator[str]:
    """The names of all commands of the program, groups that are commands themselves included."""
    inner = getattr(command, "commands", {})
    if not inner or command.invoke_without_command:
        yield " ".join(names)
    for name, each in inner.items():
        yield from _commands(each, (*names, name))


def test_every_command_is_among_the_cases() -> None:
    import typer

    assert set(_commands(typer.main.get_command(app._app()))) == {case.command for case in CASES}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what strangers made: a home, data, models, profiles and programs."""
    root = tmp_path_factory.mktemp("hostile")
    home, folder, programs = (root / name for name in ("home", "folder", "bin"))
    for path in (home / "boards" / "evil", folder, programs):
        path.mkdir(parents=True)
    text = json.dumps(_WHOLE)
    agent = hostile_agent(programs / "agent")
    hostile_agent(programs / "refuses", refuses=True)
    (home / "devices.toml").write_text(_DEVICES.format(url=json.dumps(f"local:?python={agent}"), text=text))
    shutil.copytree(shipped("boards") / "host", home / "boards" / "host")
    host = home / "boards" / "host" / "board.toml"
    host.write_text(host.read_text().replace("processes = 5", "processes = 2"))
    (home / "boards" / "evil" / "board.toml").write_text(_BOARD.format(text=text))
    openocd = programs / "openocd"
    openocd.write_text(_OPENOCD.format(python=sys.executable, data=ACTING.encode("utf-8", "surrogatepass")))
    openocd.chmod(0o755)
    (folder / "image.bin").write_bytes(bytes(1000))
    _data(folder)
    _models(folder)
    _profiles(home, folder)
    return root


def _data(folder: Path) -> None:
    for number in range(2):
        name = folder / "classes" / f"{number}{_TEXT}"
        name.mkdir(parents=True)
        for image in range(3 * number + 1):
            Image.fromarray(np.full((8, 8), image, np.uint8)).save(name / f"{image}{_TEXT}.png")
    labels = np.array([f"{number % 2}{_TEXT}" for number in range(80)])
    np.savez(folder / "named.npz", x=np.random.default_rng(0).integers(0, 256, (80, 8, 8), np.uint8), y=labels)


def _models(folder: Path) -> None:
    tensors = [
        T((1, 16), 0.5),
        constant(np.ones((4, 16)), 0.01),
        constant(np.zeros(4), 0.005, "int32"),
        T((1, 4), 0.5),
    ]
    dense = model(tensors, [Op("FULLY_CONNECTED", [0, 1, 2], [3])], [0], [3])
    for name in ("dense", f"dense{_TEXT}"):
        (folder / f"{name}.tflite").write_bytes(dense)
    custom = [Op(f"CUSTOM:{_WHOLE}", [0], [3])]
    (folder / "custom.tflite").write_bytes(model(tensors, custom, [0], [3]))
    (folder / "artifact").mkdir()
    (folder / "artifact" / "manifest.json").write_text(json.dumps({"format": ACTING, ACTING: ACTING}))


def _profiles(home: Path, folder: Path) -> None:
    key = replace(KEY, runtime_version=_WHOLE)
    measured = [
        replace(taken(index, key=key, session=_WHOLE), conditions={"hostname": _WHOLE, _WHOLE: _WHOLE})
        for index in range(14)
    ]
    with Store(home / "measurements.sqlite") as store:
        store.append([*measured, taken(0)])  # what cannot be named in a file is not exported
    theirs = Exchange("host", "linux", "ms", _WHOLE, tuple(measured), by=_WHOLE, created_utc=measured[0].taken_utc)
    theirs.write(folder / "theirs.json")
    (folder / "broken.json").write_text(json.dumps({"format": FORMAT, "schema": ACTING}))


@pytest.fixture
def environment(place: Path, tmp_path: Path) -> Mapping[str, str]:
    """Where the program finds all that: a copy of the home, as commands change it."""
    home = tmp_path / "home"
    shutil.copytree(place / "home", home)
    wanted = {"EDGENAS_HOME": str(home), "HOME": str(tmp_path), "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
    return {**os.environ, **wanted, "PATH": f"{place / 'bin'}:{os.environ['PATH']}"}


@pytest.fixture
def arguments(place: Path, tmp_path: Path) -> Callable[[Case], list[str]]:
    """The command line of a case, once the stranger that it speaks to is there."""

    def of(case: Case) -> list[str]:
        pytest.importorskip(case.needs)
        known: dict[str, object] = {
            "agent": place / "bin" / "agent",
            "refuses": place / "bin" / "refuses",
            "new": tmp_path / "new",
        }
        found = [*case.command.split(), *case.arguments]
        if any("{port}" in argument for argument in found):
            known["port"] = HostileServer(tmp_path / ".ssh").port
        for name, value in known.items():
            found = [argument.replace(f"{{{name}}}", str(value)) for argument in found]
        return found

    return of


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_a_terminal_obeys_no_stranger(
    case: Case, arguments: Callable[[Case], list[str]], environment: Mapping[str, str], place: Path
) -> None:
    command = [sys.executable, "-m", "edgenas", *arguments(case)]
    answer = (b"pi@127.0.0.1: ", b"secret\n") if case.command == "board prepare" else None
    code, seen = on_terminal(command, environment, place / "folder", answer)
    assert b"Traceback" not in seen, seen.decode(errors="replace")
    assert case.mark.encode() in seen, f"the text came not through: {code} {seen[-300:]!r}"
    assert acts(seen, live=True) == [], seen[-300:]


@pytest.mark.parametrize("case", [case for case in CASES if not case.terminal_only], ids=_name)
def test_pipes_get_ascii_json_and_plain_lines(
    case: Case,
    arguments: Callable[[Case], list[str]],
    environment: Mapping[str, str],
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    for name in ("EDGENAS_HOME", "HOME", "PATH"):
        monkeypatch.setenv(name, environment[name])
    monkeypatch.chdir(place / "folder")
    main([*arguments(case), *(["--json"] if case.command else [])])
    out, err = capfdbinary.readouterr()
    assert b"Traceback" not in err
    if case.command == "flash":  # openocd's own returns
        err = err.replace(b"\r", b"")
    assert acts(err, live=False) == []
    assert out.isascii()
    assert not out or isinstance(json.loads(out), dict)
    assert case.mark in (out + err).decode()
