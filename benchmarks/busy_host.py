# SPDX-License-Identifier: Apache-2.0
"""What a busy computer costs: one deploy to it when nothing else runs, and beside programs that take half of it.

    python benchmarks/busy_host.py [--json] [--data mnist] [--epochs N] [--kept FILE]

Every deploy has a fresh EDGENAS_HOME that shares only the converter's environment (set-up). `--kept FILE` holds one
finished deploy a line: those that it has are not done again, so that a campaign can be done in several sittings.
`others` is the part of all cores that went to neither the deploy nor the load: how quiet the computer really was.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from program import edgenas, share_converter
from report import machine, publish

_QUIET = "quiet"
_LOADS: dict[str, tuple[str, ...] | None] = {
    _QUIET: None,
    "2 processes, 50 ms of 100": ("--processes", "2", "--duty", "0.5"),
    "1 process, all the time": ("--processes", "1", "--duty", "1"),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--latency", default="40%")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--kept", type=Path, help="finished deploys, one a line")
    parser.add_argument("--loads", nargs="+", choices=_LOADS, default=list(_LOADS))
    asked = parser.parse_args()
    command = ["deploy", "--board", "host", "--data", asked.data, "--latency", asked.latency]
    command += [] if asked.epochs is None else ["--epochs", str(asked.epochs)]
    known = [] if asked.kept is None or not asked.kept.exists() else asked.kept.read_text().splitlines()
    runs: dict[str, dict[str, Any]] = {run["load"]: run for run in map(json.loads, known)}
    for name in asked.loads:
        if name not in runs:
            runs[name] = deployed(command, name)
            if asked.kept is not None:
                with asked.kept.open("a") as file:
                    print(json.dumps(runs[name]), file=file)
    found = list(runs.values())
    table = [_HEAD, *(_row(run, runs.get(_QUIET)) for run in found)]
    publish("busy_host", {"n": 1, "command": command, "runs": found}, table, as_json=asked.json)


def deployed(command: list[str], name: str) -> dict[str, Any]:
    """One deploy beside the load of that name."""
    with TemporaryDirectory() as scratch:
        home = Path(scratch) / "home"
        share_converter(home)
        before, mine = _busy_s(), _children_s()
        with _load(_LOADS[name]) as load:
            finished = edgenas(command, home, Path(scratch))
        mine, taken = _children_s() - mine, _busy_s() - before  # of deploy and load, and of all
        all_s = machine()["cores"] * finished.seconds
        return {
            "load": name,
            "wall_s": finished.seconds,
            "load_share": load["seconds"] / all_s,
            "others_share": max(0.0, taken - mine) / all_s,
            "result": finished.result,
        }


@contextmanager
def _load(arguments: tuple[str, ...] | None) -> Iterator[dict[str, float]]:
    """The load's processor seconds, known when it has ended."""
    told = {"seconds": 0.0}
    if arguments is None:
        yield told
        return
    program = Path(__file__).with_name("busy_load.py")
    with subprocess.Popen(
        [sys.executable, str(program), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        yield told
        process.stdin.close()
        told["seconds"] = float(process.stdout.readline())


def _busy_s() -> float:
    """Seconds since the start in which cores worked, all together."""
    ticks = [int(text) for text in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


_HEAD = (
    *("beside", "load took", "others", "s", "x quiet", "profile", "search", "train", "measure", "rounds"),
    *("budget us", "measured us", "of it", "committed", "timings", "disturbed", "repeated", "repeated s"),
)


def _row(run: dict[str, Any], quiet: dict[str, Any] | None) -> tuple[object, ...]:
    result = run["result"]
    limit, measured, effort = (
        result["budget"]["latency_ms"],
        result["measured"]["latency_ms"],
        result["timing_effort"],
    )
    return (
        run["load"],
        f"{run['load_share']:.0%}",
        f"{run['others_share']:.0%}",
        f"{run['wall_s']:.0f}",
        "" if quiet is None else f"{run['wall_s'] / quiet['wall_s']:.2f}",
        *(f"{result['seconds'][stage]:.0f}" for stage in ("profile", "search", "train", "measure")),
        len(result["rounds"]),
        f"{limit * 1e3:.1f}",
        f"{measured * 1e3:.1f}",
        f"{measured / limit:.1%}",
        result["committed"],
        *(effort[name] for name in ("timings", "disturbed", "repeated")),
        f"{effort['repeated_s']:.0f}",
    )


if __name__ == "__main__":
    main()
