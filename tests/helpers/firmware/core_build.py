# SPDX-License-Identifier: Apache-2.0
"""The firmware core built for this computer, under the sanitizers, once for each test run."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from helpers.firmware.tiny_plans import FIRMWARE

MISSING = None
if not (shutil.which("make") and shutil.which("gcc")):
    MISSING = "needs make and gcc: apt-get install make gcc libc6-dev"


def build(target: str, folder: Path, compiler: str = "gcc") -> Path:
    """`make target` of the firmware into `folder`; the program."""
    command = ["make", "--silent", "-C", str(FIRMWARE), target, f"BUILD={folder}", f"CC={compiler}"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / target
