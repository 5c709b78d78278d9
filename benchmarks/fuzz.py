# SPDX-License-Identifier: Apache-2.0
"""Fuzz the firmware and the host's side of the wire, and print what was tried: executions, coverage, seed, commit.

python benchmarks/fuzz.py [TARGET ..] [--seconds N] [--seed N]    the C targets need make, clang, libclang-rt-dev

In C, by libFuzzer: `loader`, `run`, `frames`, `session`. In Python, by changing recorded conversations at random:
`link`, whose tries are numbered, so that one that fails can be done again: `--again "lies 0 123"`.
"""

from __future__ import annotations

import argparse
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from report import ROOT, commit

sys.path.insert(0, str(ROOT / "tests"))  # the adversary is the tests', too

from helpers.link import link_adversary

_FIRMWARE = ROOT / "firmware_tools" / "firmware"
_TARGETS = {
    "loader": "any bytes to en_load",
    "run": "en_run of whatever en_load accepts",
    "frames": "any bytes on the line",
    "session": "any messages, then an installation",
}
_TRIES = {
    "frames": "a changed recording to the receiver",
    "answers": "changed answers to their parsers",
    "noise": "a conversation over a line that hurts",
    "lies": "a conversation with a board that lies",
}


def fuzz(target: str, seconds: int, build: Path) -> str:
    """One line about one fuzzer's run. Raises SystemExit if it found something or did not start."""
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


def _try(name: str, seed: int, number: int) -> None:
    try:
        link_adversary.TRIES[name](random.Random(f"{name} {seed} {number}"))
    except Exception as error:
        words = f"{name} {seed} {number}"
        print(f"{words}: {error!r}\nagain: python benchmarks/fuzz.py link --again '{words}'", flush=True)
        raise


def fuzz_link(seconds: int, seed: int) -> None:
    """Print a line for each kind of try. Raises what a try raises."""
    each = seconds / len(_TRIES)
    with link_adversary.impatient():
        for name, what in _TRIES.items():
            number, end = 0, time.monotonic() + each
            while time.monotonic() < end:
                _try(name, seed, number)
                number += 1
            print(f"link    {what:38}{each:6.0f} s {number:12,} tries, seed {seed}: nothing found", flush=True)


def main() -> None:
    """All targets, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"{', '.join(_TARGETS)}, link (all)")
    parser.add_argument("--seconds", type=int, default=300, help="for each (300)")
    parser.add_argument("--seed", type=int, default=0, help="of link's (0)")
    parser.add_argument("--again", metavar="'NAME SEED NUMBER'", help="only this try of link's")
    arguments = parser.parse_args()
    known = [*_TARGETS, "link"]
    unknown = sorted(set(arguments.targets) - set(known))
    if unknown:
        parser.error(f"no target {unknown[0]}; there are {', '.join(known)}")
    if arguments.again:
        name, seed, number = arguments.again.split()
        with link_adversary.impatient():
            _try(name, int(seed), int(number))
        return
    targets = arguments.targets or known
    print(f"fuzz  commit {commit()}; in C by libFuzzer under the address and undefined behaviour sanitizers,")
    print("whose own edges, which only what they complain of takes, are among those counted.", flush=True)
    build = Path(tempfile.mkdtemp(prefix="fuzz-"))  # kept: what was found lies there
    for target in targets:
        if target in _TARGETS:
            print(fuzz(target, arguments.seconds, build), flush=True)
        else:
            fuzz_link(arguments.seconds, arguments.seed)


if __name__ == "__main__":
    main()
