# SPDX-License-Identifier: Apache-2.0
"""A short run of every fuzzer; `make campaign-fuzz` is the long one."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.firmware.tiny_plans import FIRMWARE


def _make(target: str, build: Path, *variables: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "-C", str(FIRMWARE), target, f"BUILD={build}", f"PYTHON={sys.executable}", *variables]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["loader", "run", "frames", "session"])
def test_a_short_run(target: str, tmp_path: Path) -> None:
    if shutil.which("make") is None or _make("can-fuzz", tmp_path).returncode != 0:
        pytest.skip("needs make, clang and its libFuzzer: apt-get install make clang libclang-rt-dev")
    done = _make(f"fuzz-{target}", tmp_path, "SECONDS=5")
    assert done.returncode == 0, done.stderr[-3000:]
    runs = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    assert runs is not None
    assert int(runs[1]) > 1000
