# SPDX-License-Identifier: Apache-2.0
"""How the processes of a test run share this computer: which tests belong together, and which run alone."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from xdist.scheduler import LoadGroupScheduling


class ByFile(LoadGroupScheduling):
    """One process runs all tests of a file, and all tests of an `xdist_group`: their fixtures are built once."""

    def _split_scope(self, nodeid: str) -> str:
        group: str = super()._split_scope(nodeid)
        return group if group != nodeid else nodeid.split("::")[0]


@contextmanager
def together(folder: Path) -> Iterator[IO[str]]:
    """Keep those away that want to be alone. Two files in `folder` are locked: the room, which is given, and its gate.

    Who enters the room holds the gate for a moment, and who wants to be alone holds it until the end: such a test waits
    for tests that have begun, never for those that come later.
    """
    with (folder / "room").open("w") as room, ExitStack() as stay:
        with (folder / "gate").open("w") as gate, _locked(gate, fcntl.LOCK_EX):
            stay.enter_context(_locked(room, fcntl.LOCK_SH))
        yield room


@contextmanager
def alone(folder: Path, room: IO[str]) -> Iterator[None]:
    """Within `together(folder)`, which gave `room`: wait until all others have left, and keep them away."""
    fcntl.flock(room, fcntl.LOCK_UN)
    with (folder / "gate").open("w") as gate, _locked(gate, fcntl.LOCK_EX), _locked(room, fcntl.LOCK_EX):
        yield


@contextmanager
def _locked(file: IO[str], kind: int) -> Iterator[None]:
    """The lock is given back explicitly: a child process may have inherited the open file."""
    fcntl.flock(file, kind)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)
