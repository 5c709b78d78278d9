# SPDX-License-Identifier: Apache-2.0
"""What a deploy to this computer costs: first deploy, second budget, conversions a minute, memory, the program's start.

    python benchmarks/deploy_host.py [--json] [--help-runs 15]

The program runs as a user runs it, in a fresh EDGENAS_HOME that shares only the converter's environment (set-up). The
start of `edgenas --help` is compared with a three-line typer program, pair by pair in turn.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from program import edgenas, share_converter
from report import publish, spread

_PEER = 'import typer\ndef main(name: str = "you") -> None: print(name)\ntyper.run(main)\n'
_CONVERSIONS = 60


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--help-runs", type=int, default=15)
    arguments = parser.parse_args()
    with TemporaryDirectory() as scratch:
        folder, home = Path(scratch), Path(scratch) / "home"
        share_converter(home)
        first = edgenas(["deploy", "--data", "mnist", "--latency", "40%"], home, folder)
        second = edgenas(["deploy", "--data", "mnist", "--latency", "60%"], home, folder)
        starts = help_times(folder, arguments.help_runs)
    conversions = conversions_per_minute()
    ratio = [mine / peer for mine, peer in starts]
    figures: dict[str, Any] = {
        "n": 1,
        "first_deploy_s": first.seconds,
        "second_budget_s": second.seconds,
        "first_deploy_stages_s": first.result["seconds"],
        "second_budget_stages_s": second.result["seconds"],
        "conversions_per_minute": conversions,
        "peak_memory_bytes": max(first.peak_bytes, second.peak_bytes),
        "help_s": spread([mine for mine, _ in starts]),
        "help_peer_s": spread([peer for _, peer in starts]),
        "help_ratio": spread(ratio),
    }
    table = [
        ("figure", "measured", "aim"),
        ("first deploy, mnist 40 %", f"{first.seconds:.0f} s", "240 s"),
        ("second budget, mnist 60 %", f"{second.seconds:.0f} s", "90 s"),
        ("conversions a minute, int8", f"{conversions:.0f}", "60"),
        ("peak memory, all processes", f"{figures['peak_memory_bytes'] / 1e9:.2f} GB", "2 GB"),
        ("edgenas --help / typer program", f"{figures['help_ratio']['median']:.2f} (n = {len(ratio)})", "1.5"),
    ]
    publish("deploy_host", figures, table, as_json=arguments.json)


def help_times(folder: Path, runs: int) -> list[tuple[float, float]]:
    """Wall seconds of `edgenas --help` and of the peer's, in turn."""
    peer = folder / "peer.py"
    peer.write_text(_PEER, encoding="utf-8")
    program = Path(sys.executable).parent / "edgenas"
    commands = ([str(program), "--help"], [sys.executable, str(peer), "--help"])
    for command in commands:  # warm the file cache
        _seconds(command)
    return [(_seconds(commands[0]), _seconds(commands[1])) for _ in range(runs)]


def _seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def conversions_per_minute() -> float:
    """int8 conversions of random architectures of the default space by a warm worker."""
    from edgenas.conversion import Converter
    from edgenas.nas.lattice import Lattice
    from edgenas.nas.problem import operator_weight
    from edgenas.spaces.network import network
    from edgenas.spaces.space import SearchSpace

    space = SearchSpace.load("tiny", (1, 28, 28), 10)
    lattice = Lattice(space, lambda block: 1.0 + sum(layer.macs for layer in block.layers()) / 1e5)
    rng = np.random.default_rng(0)
    drawn = [lattice.sample(rng, 10.0, 100.0, operator_weight(lattice)) for _ in range(_CONVERSIONS + 3)]
    modules = [network(space.blocks(a), seed=0).eval() for a in drawn if a is not None]
    images = rng.random((4, 28, 28, 1), np.float32)
    with Converter() as converter:
        list(converter.convert_many(modules[:3], space.input_shape, "int8", images))  # warm
        started = time.perf_counter()
        count = len(list(converter.convert_many(modules[3:], space.input_shape, "int8", images)))
        return 60 * count / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
