# SPDX-License-Identifier: Apache-2.0
"""How much of a serial line an installation uses, clean and with bytes lost, beside PyPI smpclient on the same line.

python benchmarks/serial_link.py [--json] [--bytes 200000] [--bauds 115200 921600] [--lose-one-in 50000] [--repeats 5]

The line is a pty whose bytes take 10 bits each at the baud rate. Its other end is the firmware's core built for this
computer, or a stand-in for an SMP device; both answer at once. Percent are the plan's bytes against what the line
could carry in that time; edgenas' time includes BEGIN and VERIFY, which hashes what the flash holds. Nothing may be
corrupted: the board hashes what it has, the SMP device's image is compared. `make campaign-serial` has smpclient.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from report import ROOT, publish, spread

sys.path.insert(0, str(ROOT / "tests"))  # the paced line and the core's plans are the tests', too

import smp_peer
from helpers.link import core_board
from helpers.link.paced_line import PacedLine, Served

from firmware_tools.link import messages
from firmware_tools.link.pipes import SerialPipe
from firmware_tools.link.session import Link

_BITS_PER_BYTE = 10
_SMP_BUFFERS = (384, 2048)  # Zephyr's default, and what large ones give
_SMP_TIMES_TOO_LONG = 8  # of what the line needs: then it is stopped
_BARS = {
    (115200, False): 0.90,
    (921600, False): 0.85,
    (115200, True): 0.80,
    (921600, True): 0.70,
}  # baud, loss: edgenas


def edgenas(plan: bytes, baud: int, lose_one_in: int, seed: int) -> dict[str, Any]:
    """One installation until the plan is staged."""
    with TemporaryDirectory() as folder:
        command = core_board.command(Path(folder) / "flash")
        board = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert board.stdin is not None
        assert board.stdout is not None
        with board, PacedLine(board.stdin.fileno(), board.stdout.fileno(), baud, lose_one_in, seed) as line:
            with Link(SerialPipe(line.path, baud), line.path) as link:
                hello = link.hello()
                started = time.perf_counter()
                sent = link.send(plan)
                link.ask(messages.Verify())
                seconds = time.perf_counter() - started
                status = link.ask(messages.Status(hello.slots))
            board.stdin.close()
        assert status.staged is not None
        assert status.slots[status.staged].sha256 == hashlib.sha256(plan).digest()
        return {"seconds": seconds, "lost_bytes": line.lost, "went_back": sent.went_back, "error": None}


def smp(plan: bytes, baud: int, lose_one_in: int, seed: int, buffer_bytes: int) -> dict[str, Any]:
    """One upload; `error` and `done_bytes` say how it ended if not well."""
    device = smp_peer.SmpDevice(buffer_bytes)
    limit_s = _SMP_TIMES_TOO_LONG * len(plan) * _BITS_PER_BYTE / baud
    with Served(device.feed) as served, PacedLine(served.file, served.file, baud, lose_one_in, seed) as line:
        done = smp_peer.upload(line.path, baud, plan, limit_s)
        assert done.error is not None or device.image == plan
        return {"seconds": done.seconds, "lost_bytes": line.lost, "done_bytes": done.done_bytes, "error": done.error}


def measure(plan: bytes, baud: int, lose_one_in: int, seed: int, peers: dict[str, int]) -> list[dict[str, Any]]:
    """One installation by edgenas and one by each peer, on lines that lose by the same seed."""
    results = {"edgenas": edgenas(plan, baud, lose_one_in, seed)}
    for name, size in peers.items():
        results[name] = smp(plan, baud, lose_one_in, seed, size)
    runs = []
    for who, result in results.items():
        share = 0.0 if result["error"] else len(plan) * _BITS_PER_BYTE / baud / result["seconds"]
        runs.append({"baud": baud, "lose_one_in": lose_one_in, "seed": seed, "who": who, "share": share, **result})
    return runs


def row(runs: list[dict[str, Any]]) -> tuple[object, ...]:
    """Of the runs of one program under one condition."""
    first, shares = runs[0], spread([run["share"] for run in runs if not run["error"]] or [0.0])
    baud, lose_one_in, who = first["baud"], first["lose_one_in"], first["who"]
    lost = f"1 in {lose_one_in}" if lose_one_in else "none"
    ended = sum(not run["error"] for run in runs)
    errors = sorted({run["error"] for run in runs if run["error"]})
    bar = _BARS.get((baud, bool(lose_one_in))) if who == "edgenas" else None
    verdict = "" if bar is None else f"{'met' if shares['min'] >= bar else 'MISSED'}: {bar:.0%}"
    of_line = f"{shares['median']:.1%} ({shares['min']:.1%} to {shares['max']:.1%})" if ended else "-"
    lost_bytes = sum(run["lost_bytes"] for run in runs)
    return (baud, lost, who, f"{ended} of {len(runs)}", of_line, verdict, lost_bytes, " ".join(errors))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--bytes", type=int, default=200_000)
    parser.add_argument("--bauds", nargs="+", type=int, default=[115200, 921600])
    parser.add_argument("--lose-one-in", type=int, default=50_000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    plan = core_board.plan(arguments.bytes // 4 * 4)
    version = smp_peer.version()
    peers = {f"smpclient {version}, {size} B": size for size in _SMP_BUFFERS} if version else {}
    if not peers:
        print("smpclient is not installed: measured without it (make campaign-serial has it)", file=sys.stderr)
    table: list[tuple[object, ...]] = [("baud", "lost", "who", "done", "of the line", "bar", "bytes lost", "ended by")]
    every = []
    for baud in arguments.bauds:
        for lose_one_in in (0, arguments.lose_one_in):
            runs = [run for seed in range(arguments.repeats) for run in measure(plan, baud, lose_one_in, seed, peers)]
            for who in ("edgenas", *peers):
                table.append(row([run for run in runs if run["who"] == who]))
            every += runs
    publish("serial_link", {"bytes": len(plan), "runs": every}, table, as_json=arguments.json)


if __name__ == "__main__":
    main()
