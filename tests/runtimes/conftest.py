# SPDX-License-Identifier: Apache-2.0
"""A home of the tests' own, and `digits` deployed over SSH once on each of the two runtimes."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("asyncssh", reason="needs pip install 'edgenas[ssh]'")

from helpers.runtimes.deployed import PYTHONS, Deployed
from helpers.short_deploys import SMALL, make_home
from helpers.ssh_server import SshServer, at_home

import edgenas

_INPUT_SHAPE = (1, 8, 8)  # of digits
_EPOCHS = 4


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """$EDGENAS_HOME for these tests, with the machine's converter: it is built once."""
    folder = make_home(tmp_path_factory.mktemp("user") / "home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGENAS_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def board(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with SshServer(tmp_path_factory.mktemp("board")) as server, at_home(server):
        yield server


@pytest.fixture(scope="module")
def litert(board: SshServer, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    return _deployed("litert", board, tmp_path_factory.mktemp("litert"))


@pytest.fixture(scope="module")
def tflite(board: SshServer, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    python = PYTHONS["tflite"]
    if not python.exists():
        pytest.skip(f"no tflite-runtime: {python.parent.parent.name} is not there (make setup-tests, Python 3.11)")
    return _deployed("tflite", board, tmp_path_factory.mktemp("tflite"))


def _deployed(name: str, server: SshServer, folder: Path) -> Deployed:
    board, url = f"linux-{platform.machine()}", server.url(name, python=str(PYTHONS[name]))
    # As short as a profile can be: the measurements of the search refine it.
    profiled = edgenas.profile(board, device=url, space=SMALL, minutes=1 / 60, input_shape=_INPUT_SHAPE)
    options: dict[str, Any] = {"data": "digits", "latency": "1ms", "space": SMALL, "epochs": _EPOCHS, "rounds": 1}
    result = edgenas.deploy(board, device=url, **options, runs=folder / "runs")
    return Deployed(name, server, profiled, result)
