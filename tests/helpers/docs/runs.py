# SPDX-License-Identifier: Apache-2.0
"""Commands of the pages, run as a reader would run them: in a folder and a home of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from helpers.short_deploys import make_home

PROGRAM = Path(sys.executable).with_name("edgenas")
_BUDGET_MISSED = 3  # the exit code


def variables_of(tmp_path: Path) -> dict[str, str]:
    """The environment with an $EDGENAS_HOME of the test's own, and the program in front of the PATH."""
    home = make_home(tmp_path / "home")
    path = f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "EDGENAS_HOME": str(home), "PATH": path}


def run(command: list[str], folder: Path, variables: Mapping[str, str]) -> None:
    """Run a command that must end well.

    Where another program's load makes the device miss the budget, do what the pages say: try again.
    """
    done = _tried(command, folder, variables)
    for _ in range(2):
        if done.returncode == _BUDGET_MISSED:
            done = _tried(command, folder, variables)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def _tried(command: list[str], folder: Path, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
