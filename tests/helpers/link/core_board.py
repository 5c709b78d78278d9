# SPDX-License-Identifier: Apache-2.0
"""The firmware's core built for this computer, and plans of any size that it accepts."""

from __future__ import annotations

import functools
import random
import runpy
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import firmware_tools

FIRMWARE = Path(firmware_tools.__file__).parent / "firmware"


@functools.cache
def program() -> Path:
    """`host-board`, built; the test is skipped where it cannot be."""
    for tool in ("gcc", "make"):
        if shutil.which(tool) is None:
            import pytest  # benchmarks use this, too, where there is none

            pytest.skip(f"{tool} is not installed: apt install gcc libc6-dev make")
    subprocess.run(["make", "-s", "-C", str(FIRMWARE), "host-board"], check=True)
    return FIRMWARE / "build" / "host-board"


def command(flash: Path, *options: str) -> list[str]:
    return [str(program()), str(flash), *options]


def plan(size: int, seed: int = 0) -> bytes:
    """A small plan that the engine runs, and bytes behind it that no operator reads. `size` is a multiple of 4."""
    small = bytes(runpy.run_path(str(FIRMWARE / "fuzz" / "seeds.py"))["seeds"]()["dense"])
    blob = bytearray(small + random.Random(seed).randbytes(size - len(small)))
    struct.pack_into("<I", blob, 8, size)  # plan_bytes, then crc32 of what follows it: PLAN.md
    struct.pack_into("<I", blob, 12, zlib.crc32(blob[16:]))
    return bytes(blob)
