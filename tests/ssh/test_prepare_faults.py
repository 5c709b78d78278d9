# SPDX-License-Identifier: Apache-2.0
"""`edgenas board prepare` that is cut short: the active model stays, the next run completes."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from helpers.ssh.ssh_models import active_model
from helpers.ssh_server import SshServer

import edgenas
from edgenas.progress import Silent
from firmware_tools.connect import connect
from firmware_tools.errors import DeviceFullError
from firmware_tools.linux import prepare, wheels

_PYTHON = Path(sys.base_prefix) / "bin" / "python3"
# A Python whose environments are this interpreter, which has a runtime, under a pip that is in no hurry.
_BASE = """#!/bin/bash
if [ "$1 $2" = "-Im venv" ]; then mkdir -p "${{!#}}/bin" && cp "$0.inner" "${{!#}}/bin/python"; exit; fi
exec -a "$0" {python} "$@"
"""
_INNER = """#!/bin/bash
if [ "$2" = ensurepip ]; then exit; fi
if [ "$2" = pip ]; then touch "$(dirname "$0")/pip" && sleep 1 && touch "$(dirname "$0")/late"; exit; fi
exec {python} "$@"
"""
# argv: the device, what the command to die of has among its words, and whether it has ended by then or just begins.
_HOST = """
import os, signal, sys, time
import edgenas
from firmware_tools.linux.prepare import _SWITCH
from firmware_tools.linux.ssh_connection import Connection

whole = Connection.run_tied

def run(self, command, *args, **options):
    fatal = (_SWITCH if sys.argv[2] == "switch" else sys.argv[2]) in command
    if fatal and sys.argv[3] == "begins":
        self.start(command)
    else:
        done = whole(self, command, *args, **options)
    if fatal:
        os.kill(os.getpid(), signal.SIGKILL)
    return done

Connection.run_tied = run
edgenas.prepare(sys.argv[1])
"""


class Stages(Silent):
    """The stages there were."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def stage(self, name: str) -> None:
        self.names.append(name)


def downloaded_once() -> Callable[[Sequence[str], Path], list[Path]]:
    """`download`, but from the second call on the same wheels again."""
    kept: dict[str, bytes] = {}

    def download(command: Sequence[str], folder: Path) -> list[Path]:
        if not kept:
            kept.update((wheel.name, wheel.read_bytes()) for wheel in wheels.download(command, folder))
        for name, data in kept.items():
            (folder / name).write_bytes(data)
        return sorted(folder.iterdir())

    return download


def serve(server: SshServer, root: Path, model: bytes) -> None:
    """Make `model` the active one of a board that no environment was made on."""
    with connect(server.url(str(root), python=sys.executable), home=root) as device:
        device.stage(model, {})
        device.commit()


def serves_and_takes_another(url: str, root: Path, models: list[bytes]) -> None:
    """The first model is active; by the environment in service, the second takes its place."""
    assert active_model(root) == models[0]
    with connect(url, home=root) as device:
        device.stage(models[1], {})
        device.commit()
    assert active_model(root) == models[1]


@pytest.mark.parametrize(("command", "when"), [("pip", "begins"), ("switch", "begins"), ("switch", "has ended")])
def test_a_host_that_is_killed(
    server: SshServer, root: Path, models: list[bytes], tmp_path: Path, command: str, when: str
) -> None:
    """Even where what it has started on the board goes on there, beside the next run."""
    serve(server, root, models[0])
    python = tmp_path / "python"
    python.write_text(_BASE.format(python=_PYTHON))
    Path(f"{python}.inner").write_text(_INNER.format(python=sys.executable))
    for path in (python, Path(f"{python}.inner")):
        path.chmod(0o755)
    url = server.url(str(root), python=str(python))
    host = subprocess.run([sys.executable, "-c", _HOST, url, command, when], check=False)
    assert host.returncode == -signal.SIGKILL
    assert active_model(root) == models[0]
    made = edgenas.prepare(url).to_json()
    assert "litert" in [runtime["name"] for runtime in made["agent"]["runtimes"]]
    serves_and_takes_another(server.url(str(root)), root, models)


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="no tflite-runtime for this Python, whose sizes are meant")
def test_a_disk_that_fills_in_the_middle(
    server: SshServer, models: list[bytes], disk: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had room when it was looked at; then the wheels, the environment, the packages do not fit."""
    root = disk("size=1m") / "root"
    serve(server, root, models[0])
    monkeypatch.setattr(prepare, "_NEEDED_BYTES", 0)
    monkeypatch.setattr(prepare, "download", downloaded_once())
    url = server.url(str(root), python=str(_PYTHON))
    reached = []
    for mebibytes in (9, 30, 60):
        disk(f"remount,size={mebibytes}m")
        stages = Stages()
        with pytest.raises(DeviceFullError) as caught:
            edgenas.prepare(url, runtime="tflite", offline=True, reporter=stages)
        assert "\n" not in caught.value.message
        assert active_model(root) == models[0]
        assert not (root / "venv").exists()
        reached.append(stages.names[-1])
    assert reached == ["copy the wheels", "put pip into it", "install tflite-runtime 2.14.0"]
    disk("remount,size=400m")
    made = edgenas.prepare(url, runtime="tflite", offline=True).to_json()
    assert [found["name"] for found in made["agent"]["runtimes"]] == ["tflite"]
    serves_and_takes_another(server.url(str(root)), root, models)
