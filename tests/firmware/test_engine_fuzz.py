"""A short run of every fuzzer; `make campaign-fuzz` is the long one."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_plans import FIRMWARE


def _fuzzes(folder: Path) -> bool:
    """Whether clang-14 is there with its libFuzzer."""
    if not (shutil.which("clang-14") and shutil.which("make")):
        return False
    probe = folder / "probe.c"
    probe.write_text("int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return d && n > 9 ? 0 : 0; }\n")
    command = ["clang-14", "-fsanitize=address,undefined,fuzzer", "-o", str(folder / "probe"), str(probe)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(("target", "seconds"), [("loader", 15), ("run", 15), ("frames", 5), ("session", 5)])
def test_a_short_run(target: str, seconds: int, tmp_path: Path) -> None:
    if not _fuzzes(tmp_path):
        pytest.skip("needs make, clang-14 and its libFuzzer: apt-get install clang-14 libclang-rt-14-dev")
    command = [
        "make",
        "-C",
        str(FIRMWARE),
        f"fuzz-{target}",
        f"BUILD={tmp_path}",
        f"SECONDS={seconds}",
        f"PYTHON={sys.executable}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    runs = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    assert runs is not None
    assert int(runs[1]) > 1000
