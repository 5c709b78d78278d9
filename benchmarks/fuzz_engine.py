"""Fuzz the inference engine, its loader and its kernels, and print what was tried: executions, coverage, commit.

python benchmarks/fuzz_engine.py [--seconds N]    needs make, clang-14 and libclang-rt-14-dev
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_FIRMWARE = _ROOT / "firmware_tools" / "firmware"
_TARGETS = {"loader": "any bytes to en_load", "run": "en_run of whatever en_load accepts"}


def fuzz(target: str, seconds: int, build: Path) -> str:
    """One line about one fuzzer's run, or what it found. Raises SystemExit if it found something or did not start."""
    command = ["make", "-C", str(_FIRMWARE), f"fuzz-{target}", f"BUILD={build}", f"SECONDS={seconds}"]
    done = subprocess.run([*command, f"PYTHON={sys.executable}"], capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise SystemExit(f"fuzz-{target} failed; see {build}\n{done.stderr[-4000:]}")
    edges = re.search(r"Loaded 1 modules +\((\d+) inline", done.stderr)
    last = re.findall(r"DONE +cov: (\d+) ft: (\d+) corp: (\d+)", done.stderr)
    runs = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    if not (edges and last and runs):
        raise SystemExit(f"fuzz-{target} printed no figures\n{done.stderr[-1000:]}")
    covered, features, corpus = map(int, last[-1])
    return (
        f"{target:8}{_TARGETS[target]:38}{seconds:6} s {int(runs[1]):12,} executions, {covered} of {edges[1]} edges "
        f"({features} features), corpus {corpus}: nothing found"
    )


def main() -> None:
    """Both fuzzers, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=600, help="for each of both (600)")
    seconds: int = parser.parse_args().seconds
    git = subprocess.run(["git", "-C", str(_ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True)
    print(f"Engine fuzzed by libFuzzer under the address and undefined behaviour sanitizers, at {git.stdout.strip()}.")
    print("Edges include the sanitizers' own, which only what they complain of takes.")
    build = Path(tempfile.mkdtemp(prefix="fuzz-engine-"))  # kept: what was found lies there
    for target in _TARGETS:
        print(fuzz(target, seconds, build), flush=True)


if __name__ == "__main__":
    main()
