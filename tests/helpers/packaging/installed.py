# SPDX-License-Identifier: Apache-2.0
"""The distributions of a checkout, and environments with nothing of the checkout."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple


class Distributions(NamedTuple):
    """The wheel is built from the sdist, not from the checkout: forgotten files show there."""

    sdist: Path
    wheel: Path


class Environment(NamedTuple):
    """A virtual environment: its interpreter, a working folder outside the checkout, the variables to run it with."""

    python: Path
    folder: Path
    variables: dict[str, str]

    def run(self, *command: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        """`python -c ...`, or a program of the environment such as `edgenas boards`, in the working folder."""
        program = self.python.with_name(command[0])
        return subprocess.run(
            [str(program), *command[1:]],
            cwd=self.folder,
            env=self.variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
