# SPDX-License-Identifier: Apache-2.0
"""One profile and one deployed home for all tests; a test that changes something gets a copy of its own."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.cli.cli_program import DEPLOY, STAGES, Deployed, Interrupted, Program
from helpers.short_deploys import make_home

from edgenas.conversion import environment


@pytest.fixture(scope="session")
def profiled(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """A home with a profile."""
    environment.ensure()
    home = make_home(tmp_path_factory.mktemp("cli") / "home")
    program = Program(home, tmp_path_factory.mktemp("cli-folder"))
    done = program.run("profile", "--minutes", "0.08", "--input-shape", "1x8x8", "--json")
    assert done.json()["measurements"] >= 12
    return program


@pytest.fixture(scope="session")
def deployed(profiled: Program) -> Deployed:
    """A deploy of digits that was interrupted once in every stage and then finished."""
    sittings = []
    for stage, after_s in STAGES:
        running = profiled.start(*DEPLOY, "--json").until(stage)
        time.sleep(after_s)
        done = running.signal(signal.SIGINT).wait(30)
        installed = (profiled.home / "devices" / "local" / "active").exists()
        sittings.append(Interrupted(stage, done, profiled.processes(), installed))
    return Deployed(profiled, profiled.run(*DEPLOY, "--json"), tuple(sittings))


@pytest.fixture
def copied(deployed: Deployed, tmp_path: Path) -> Callable[[], Program]:
    """Makes copies of the deployed home, each with an empty folder to work in."""

    def copy() -> Program:
        home, folder = tmp_path / "home", tmp_path / "folder"
        shutil.copytree(deployed.program.home, home, symlinks=True)
        folder.mkdir()
        return Program(home, folder)

    return copy


@pytest.fixture
def program(copied: Callable[[], Program]) -> Program:
    """A home with a profile and an active model, of the test's own."""
    return copied()
