# SPDX-License-Identifier: Apache-2.0
"""The most memory of a program, apart from that of the tests that start it.

The system begins a process's peak with what its parent has, which is a gigabyte where many tests ran before: so a small
program stands between.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

_BETWEEN = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
open(sys.argv[1], "w").write(str(most if sys.platform != "darwin" else most >> 10))
sys.exit(code)
"""


def measured(command: Sequence[str], report: Path) -> list[str]:
    """A command that runs `command`, ends as it does, and writes its peak in kB into `report`."""
    return [sys.executable, "-I", "-c", _BETWEEN, str(report), *command]


def peak_kb(report: Path) -> int:
    """What it wrote."""
    return int(report.read_text())
