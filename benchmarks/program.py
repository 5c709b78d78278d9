# SPDX-License-Identifier: Apache-2.0
"""Runs the edgenas program as a user does, with its time and the memory of all its processes together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SAMPLE_S = 0.25


@dataclass(frozen=True)
class Finished:
    """A run of the program: its JSON object, wall seconds, and peak memory (proportional set size) in bytes."""

    result: dict[str, Any]
    seconds: float
    peak_bytes: int


def edgenas(arguments: list[str], home: Path, folder: Path) -> Finished:
    """Run `edgenas ARGUMENTS --json` in `folder` with EDGENAS_HOME=`home`. Exits with its message if it fails."""
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "edgenas", *arguments, "--json"],
        cwd=folder,
        env={**os.environ, "EDGENAS_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    peak = _Peak(process.pid)
    output, errors = process.communicate()
    seconds, peak_bytes = time.monotonic() - started, peak.stop()
    if process.returncode:
        sys.exit(f"edgenas {' '.join(arguments)}: exit {process.returncode}:\n{errors.strip()}")
    return Finished(json.loads(output), seconds, peak_bytes)


def share_converter(home: Path) -> None:
    """Let a fresh EDGENAS_HOME use the user's converter environment: it is part of set-up, not of a deploy."""
    from edgenas.conversion import environment

    environment.ensure()
    home.mkdir(parents=True, exist_ok=True)
    (home / "converter").symlink_to(environment.folder().parent)


class _Peak:
    """Samples the memory of a process and all its descendants."""

    def __init__(self, pid: int) -> None:
        self._pid, self._peak, self._done = pid, 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        self._done.set()
        self._thread.join()
        return self._peak

    def _watch(self) -> None:
        while not self._done.wait(_SAMPLE_S):
            self._peak = max(self._peak, sum(_pss_bytes(pid) for pid in _descendants(self._pid)))


def _descendants(root: int) -> list[int]:
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
    found = [root]
    for pid in found:
        found.extend(child for child, parent in parents.items() if parent == pid)
    return found


def _pss_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
