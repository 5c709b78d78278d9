# SPDX-License-Identifier: Apache-2.0
"""What other programs do to a computer: processes that compute for a part of the time, until stdin ends.

python benchmarks/busy_load.py [--processes 2] [--duty 0.5] [--period-ms 100] [--pinned]

Prints a line when it has started, and at the end the seconds of processor time that it took.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import sys
import time


def main() -> None:
    """Start the processes; whoever started this ends them by closing its stdin, or by ending."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--duty", type=float, default=0.5, help="part of the time that each wants to compute")
    parser.add_argument("--period-ms", type=float, default=100.0)
    parser.add_argument("--pinned", action="store_true", help="each to a core of its own")
    asked = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    running = []
    for index in range(asked.processes):
        core = cores[index % len(cores)] if asked.pinned and cores else None
        arguments = (asked.duty, asked.period_ms / 1e3, core)
        running.append(multiprocessing.Process(target=compute, args=arguments, daemon=True))
        running[-1].start()
    print("started", flush=True)
    sys.stdin.read()
    for process in running:
        process.kill()
        process.join()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(used.ru_utime + used.ru_stime, flush=True)


def compute(duty: float, period_s: float, core: int | None) -> None:
    """Compute for `duty` of every period of the clock, for ever; what others take of that is not made up for."""
    if core is not None:
        os.sched_setaffinity(0, [core])
    while True:
        start = time.monotonic()
        while time.monotonic() - start < duty * period_s:
            sum(number * number for number in range(1000))
        time.sleep(max(0.0, start + period_s - time.monotonic()))


if __name__ == "__main__":
    main()
