# SPDX-License-Identifier: Apache-2.0
"""`edgenas deploy` to a virtual arm64 board over SSH with both runtimes: what it comes to and what it takes.

    python benchmarks/arm64_deploy.py [--json] [--latency 50%] [--epochs N]

The board is the tests': a Debian for arm64 whose programs QEMU's user mode runs here, behind its own SSH server. It
has ai-edge-litert from the start; `edgenas board prepare --runtime tflite --offline` gives it tflite-runtime in another
folder. Each deploy begins with an empty $EDGENAS_HOME and profiles the board itself. Emulated latencies say nothing of
any board: they are here to show that the budget is held by measurements of the runtime named.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from program import Finished, edgenas, share_converter
from report import ROOT, publish

sys.path.insert(0, str(ROOT / "tests"))  # the board is the tests'

from helpers.arm64_board import Arm64Board
from helpers.ssh_server import at_home


def main() -> None:
    """Prepare, deploy twice and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--latency", default="50%")
    parser.add_argument("--epochs", type=int, help="of the full training; else by the size of the data")
    arguments = parser.parse_args()
    asked = {**vars(arguments), "load_before": os.getloadavg()[0]}  # a busy computer makes all of it slower
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        homes = {runtime: folder / f"home-{runtime}" for runtime in ("litert", "tflite")}
        for home in homes.values():
            share_converter(home)
        with Arm64Board(folder / "board") as board, at_home(board):
            urls = {runtime: board.url(root=f"/board/home/{runtime}") for runtime in homes}
            command = ["board", "prepare", "--runtime", "tflite", "--offline", "--device", urls["tflite"]]
            prepared = edgenas(command, homes["tflite"], folder)
            runs = [_deploy(urls[runtime], homes[runtime], folder, arguments) for runtime in homes]
    rows = [(run.result, run.seconds) for run in runs]
    deploys = [{**result, "seconds_in_all": seconds} for result, seconds in rows]
    figures = {**asked, "prepare_s": prepared.seconds, "deploys": deploys}
    table: list[tuple[object, ...]] = [("runtime", "budget", "measured", "of it", "n", "committed", "int8", "seconds")]
    table += [_row(*row) for row in rows]
    table.append(("board prepare --runtime tflite --offline", *[""] * 6, f"{prepared.seconds:.0f}"))
    publish("arm64_deploy", figures, table, as_json=arguments.json)


def _deploy(url: str, home: Path, folder: Path, arguments: argparse.Namespace) -> Finished:
    command = ["deploy", "--board", "linux-aarch64", "--device", url, "--data", "digits"]
    command += ["--latency", arguments.latency]
    if arguments.epochs is not None:
        command += ["--epochs", str(arguments.epochs)]
    return edgenas(command, home, folder)


def _row(result: dict[str, Any], seconds: float) -> tuple[object, ...]:
    measured, budget_ms = result["measured"], result["budget"]["latency_ms"]
    runtime = measured["conditions"]["runtime"]
    return (
        f"{runtime} {result['versions'][runtime]}",
        f"{budget_ms:.2f} ms",
        f"{measured['latency_ms']:.2f} ms",
        f"{measured['latency_ms'] / budget_ms:.0%}",
        measured["n"],
        result["committed"],
        f"{result['accuracy']['int8']:.1%}",
        f"{seconds:.0f}",
    )


if __name__ == "__main__":
    main()
