"""How much of a serial line an installation uses, clean and with bytes lost, beside PyPI smpclient on the same line.

python benchmarks/serial_link.py [--json] [--bytes 300000] [--bauds 115200 921600] [--lose-one-in 50000] [--seeds 0]

The line is a pty whose bytes take 10 bits each at the baud rate. Its other end is the firmware's core built for this
computer, or a stand-in for an SMP device; both answer at once. Percent are the plan's bytes against what the line
could carry in that time; edgenas' time includes BEGIN and VERIFY, which hashes what the flash holds.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from report import ROOT, publish

sys.path.insert(0, str(ROOT / "tests" / "link"))  # the paced line and the core's plans are the tests', too

import core_board
import smp_peer
from paced_line import PacedLine, Served

from firmware_tools.link import messages
from firmware_tools.link.pipes import SerialPipe
from firmware_tools.link.session import Link

_BITS_PER_BYTE = 10
_SMP_BUFFERS = (384, 2048)  # Zephyr's default, and what large ones give
_SMP_TIMES_TOO_LONG = 8  # of what the line needs: then it is stopped


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
        return {"seconds": seconds, "lost_bytes": line.lost, "went_back": sent.went_back, "error": None}


def smp(plan: bytes, baud: int, lose_one_in: int, seed: int, buffer_bytes: int) -> dict[str, Any]:
    """One upload; `error` and `done_bytes` say how it ended if not well."""
    device = smp_peer.SmpDevice(buffer_bytes)
    limit_s = _SMP_TIMES_TOO_LONG * len(plan) * _BITS_PER_BYTE / baud
    with Served(device.feed) as served, PacedLine(served.file, served.file, baud, lose_one_in, seed) as line:
        done = smp_peer.upload(line.path, baud, plan, limit_s)
        assert done.error is not None or device.image == plan
        return {"seconds": done.seconds, "lost_bytes": line.lost, "done_bytes": done.done_bytes, "error": done.error}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--bytes", type=int, default=300_000)
    parser.add_argument("--bauds", nargs="+", type=int, default=[115200, 921600])
    parser.add_argument("--lose-one-in", type=int, default=50_000)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    arguments = parser.parse_args()
    plan = core_board.plan(arguments.bytes // 4 * 4)
    peers = [f"smpclient {smp_peer.version()}, {size} B" for size in _SMP_BUFFERS] if smp_peer.version() else []
    if not peers:
        print("smpclient is not installed (pip install smpclient): measured without it", file=sys.stderr)
    table: list[tuple[object, ...]] = [("baud", "lost", "seed", "who", "s", "of the line", "bytes lost", "ended")]
    runs = []
    for baud in arguments.bauds:
        for lose_one_in in (0, arguments.lose_one_in):
            for seed in arguments.seeds:
                results = {"edgenas": edgenas(plan, baud, lose_one_in, seed)}
                for name, size in zip(peers, _SMP_BUFFERS, strict=False):
                    results[name] = smp(plan, baud, lose_one_in, seed, size)
                for who, result in results.items():
                    share = len(plan) * _BITS_PER_BYTE / baud / result["seconds"]
                    share = 0.0 if result["error"] else share
                    run = {"baud": baud, "lose_one_in": lose_one_in, "seed": seed, "who": who, "share": share}
                    runs.append({**run, **result})
                    lost = f"1 in {lose_one_in}" if lose_one_in else "none"
                    ended = f"{result['error']} at {result['done_bytes']}" if result["error"] else "well"
                    row = (baud, lost, seed, who, f"{result['seconds']:.2f}", f"{share:.1%}")
                    table.append((*row, result["lost_bytes"], ended))
    publish("serial_link", {"bytes": len(plan), "runs": runs}, table, as_json=arguments.json)


if __name__ == "__main__":
    main()
