# SPDX-License-Identifier: Apache-2.0
"""Cut a board's power everywhere in an installation and again everywhere in the recovery, and print what was tried.

python benchmarks/power_cut.py [PART ..] [--seed N] [--cut OPERATION:STYLE ..]    needs make and gcc; for the emulated
boards gcc-arm-none-eabi, and qemu-system-arm or PyPI unicorn

After every cut the model that was active answers with its right outputs, and a new one installs, commits and answers.
Parts: `memory` explores in one process every flash operation (erase, unit of 8 bytes), torn in 6 ways (an erase of a
header in 38), of an installation and of everything else that writes to flash; `process` does it with a board that is a
process, over the wire; `host`, `qemu` and `unicorn` kill the whole board at every write of the host. A violation ends
it with exit code 1 and the command that does it again.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from report import ROOT, commit, machine

sys.path.insert(0, str(ROOT / "tests"))  # the boards are the tests', too

from helpers.firmware import core_build, power_cuts, tiny_plans
from helpers.mcu import mcu_boards

_TABLES = 30  # 8.3 KB, three pages
_REALISTIC_TABLES = 115  # 31.7 KB, as a small image classifier takes
_PROCESS_TABLES = 1
_CHANNELS = 48  # of the emulated boards' models: 12 WRITEs


def _memory(build: Path, scenario: str, tables: int, options: list[str]) -> str:
    program = core_build.build("power-cut", build)
    with TemporaryDirectory() as folder:
        found = power_cuts.explore(program, Path(folder), scenario, tables, options)
    if "--cut" in options:
        return "these cuts do no harm"
    size = len(tiny_plans.many_pages(tables))
    first, again = found.operations
    return (
        f"plan of {size:,} bytes: {first:,} operations, {found.cuts[0]:,} cuts ({found.different[0]:,} different); "
        f"{again:,} operations of the recoveries, {found.cuts[1]:,} cuts ({found.different[1]:,} different)"
    )


def _process(build: Path) -> str:
    program = core_build.build("host-board", build)
    old, new = (tiny_plans.many_pages(_PROCESS_TABLES, seed) for seed in range(2))
    cuts = recoveries = 0
    for tear in power_cuts.TEARS:
        with TemporaryDirectory() as folder:
            board = power_cuts.CutBoard(program, Path(folder) / "flash", new, tear)
            found = power_cuts.cut_processes(board, old, new)
        cuts, recoveries = cuts + found[0], recoveries + found[1]
    return (
        f"plan of {len(new)} bytes, torn in {len(power_cuts.TEARS)} ways: {cuts:,} cuts; {recoveries:,} of recoveries"
    )


def _whole_board(name: str, build: Path) -> str:
    reason = mcu_boards.missing(name)
    if reason:
        return f"not run: {reason}"
    models = mcu_boards.net(1, _CHANNELS), mcu_boards.net(2, _CHANNELS)
    with TemporaryDirectory() as folder:
        cuts = mcu_boards.cut_every_write(mcu_boards.opener(name, build), Path(folder), models, 1)
    return f"killed at {cuts} writes of the host, every one of an installation; as many recoveries"


def _parts(build: Path, options: list[str]) -> dict[str, Callable[[], str]]:
    def memory(scenario: str, tables: int) -> Callable[[], str]:
        return lambda: _memory(build, scenario, tables, options)

    def board(name: str) -> Callable[[], str]:
        return lambda: _whole_board(name, build)

    return {
        **{f"memory/{scenario}": memory(scenario, _TABLES) for scenario in power_cuts.SCENARIOS},
        "memory/install-realistic": memory("install", _REALISTIC_TABLES),
        "process": lambda: _process(build),
        **{name: board(name) for name in mcu_boards.BOARDS},
    }


def _run(name: str, part: Callable[[], str], again: str) -> None:
    started = time.monotonic()
    try:
        found = part()
    except AssertionError as error:  # of the tests' boards: what a board must not do
        lines = str(error).splitlines() or ["an assertion failed"]
        _, dashes, cuts = lines[0].partition("--cut")
        print(f"{name}: {lines[0]}\nagain: {again} {name} {dashes}{cuts}", flush=True)
        raise SystemExit(1) from error
    print(f"{name:26}{time.monotonic() - started:5.0f} s  {found}", flush=True)


def main() -> None:
    """Run the parts, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="memory/SCENARIO, process, host, qemu, unicorn (all)")
    parser.add_argument("--seed", type=int, default=0, help="of bits that tear by chance (0)")
    parser.add_argument("--cut", action="append", default=[], help="of a memory part: this cut only; the next in it")
    arguments = parser.parse_args()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    options = ["--seed", str(arguments.seed), "--jobs", str(cores)]
    options += [word for cut in arguments.cut for word in ("--cut", cut)]
    started = time.monotonic()
    with TemporaryDirectory() as build:
        parts = _parts(Path(build), options)
        unknown = sorted(set(arguments.parts) - set(parts))
        if unknown:
            parser.error(f"no part {unknown[0]}; there are {', '.join(parts)}")
        print(f"power_cut  commit {commit()}  {machine()['cpu']}, {cores} cores, seed {arguments.seed}", flush=True)
        for name in arguments.parts or parts:
            _run(name, parts[name], f"python benchmarks/power_cut.py --seed {arguments.seed}")
    print(f"no violation, {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
