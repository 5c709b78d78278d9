# SPDX-License-Identifier: Apache-2.0
"""A deploy over SSH, on one of the two runtimes of Linux boards."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

from edgenas.workflows.profile import Profiled
from edgenas.workflows.result import Result
from helpers.ssh_server import SshServer

ROOT = Path(__file__).resolve().parents[3]
PYTHONS = {"litert": Path(sys.executable), "tflite": ROOT / ".venv-tflite" / "bin" / "python"}


class Deployed(NamedTuple):
    """What a deploy on the runtime `name` of `board` left."""

    name: str
    board: SshServer
    profiled: Profiled
    result: Result

    def url(self, root: Path | str) -> str:
        """The board by the Python that has the runtime, its folder being `root`."""
        return self.board.url(str(root), python=str(PYTHONS[self.name]))
