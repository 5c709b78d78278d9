# SPDX-License-Identifier: Apache-2.0
"""What every benchmark here shares: the machine, the commit, one table for people, one JSON object for programs."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

ROOT = Path(__file__).resolve().parent.parent


def machine() -> dict[str, Any]:
    """Processor, cores, memory, system, Python."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"cpu": cpu, "cores": cores, "system": platform.platform(), "python": platform.python_version()}


def commit() -> str:
    """The checkout's commit, with "+changes" if files differ from it, other than results, into which this may print."""
    revision = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    changes = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks/results"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    return (revision.stdout.strip() or "unknown") + ("+changes" if changes.stdout.strip() else "")


def spread(values: Sequence[float]) -> dict[str, Any]:
    """n, median, minimum and maximum."""
    return {"n": len(values), "median": statistics.median(values), "min": min(values), "max": max(values)}


def print_table(table: Sequence[Sequence[object]], out: TextIO) -> None:
    """Columns as wide as their widest cell."""
    widths = [max(len(str(row[i])) for row in table) for i in range(len(table[0]))]
    for row in table:
        print("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip(), file=out)


def publish(name: str, figures: Mapping[str, Any], table: Sequence[Sequence[object]], *, as_json: bool) -> None:
    """Print the table (on stderr with --json) and, with --json, one object on stdout."""
    out = sys.stderr if as_json else sys.stdout
    print(f"{name}  commit {commit()}  {machine()['cpu']}, {machine()['cores']} cores", file=out)
    print_table(table, out)
    if as_json:
        print(json.dumps({"name": name, "commit": commit(), "machine": machine(), **figures}, indent=1))
