# SPDX-License-Identifier: Apache-2.0
"""Lie to the host for some minutes, as an agent or as firmware, and print what was tried.

python benchmarks/hostile_answers.py [--minutes N] [--seed N] agent|firmware

A failure, after which the program ends with status 1 and the number of the try: an exception that is no DeviceError, a
message of several lines or with an escape character on the terminal, more than 30 s, growth of more than 512 MB.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import random
import resource
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from report import ROOT, commit

sys.path.insert(0, str(ROOT / "tests"))  # the liars are the tests', too


from helpers.firmware_tools import lying_agent
from helpers.link import link_adversary, lying_board

from edgenas.cli import failures, streams
from firmware_tools.errors import DeviceError
from firmware_tools.linux import session
from firmware_tools.mcu import device as mcu_device

_MEMORY_KB = 512 << 10
_TRY_S = 30.0
# Does one thing, and raises what it raises.
Try = Callable[[random.Random], object]


def agent(folder: Path) -> Try:
    """Every method of AgentDevice, against true answers with a lie in each, and against any bytes."""
    said = lying_agent.recorded(folder / "root")

    def attempt(rng: random.Random) -> object:
        lie = lying_agent.one_lie(said, rng)
        noise = rng.randbytes(rng.randrange(1, 300)) + b"\n"
        raw = rng.random() < 0.1
        with lying_agent.lied_to(lambda request: noise if raw else lie(request), last=raw) as device:
            return lying_agent.METHODS[rng.choice(sorted(lying_agent.METHODS))](device)

    return attempt


def firmware(folder: Path) -> Try:
    """Every method of McuDevice, against the stand-in board with changed bytes in its answers."""

    def attempt(rng: random.Random) -> object:
        board = lying_board.LyingBoard(staged=lying_board.PLAN, active=b"another").lie(rng, rng.randrange(20))
        return lying_board.METHODS[rng.choice(sorted(lying_board.METHODS))](lying_board.device(board, folder))

    return attempt


def told(error: DeviceError) -> str | None:
    """What is wrong with the line that the program prints of `error`; None if nothing is."""
    printed = io.StringIO()
    with contextlib.redirect_stderr(printed), streams.guarded():
        code = failures.report(error, (), ())
    line = printed.getvalue()
    if code != error.exit_code or line.count("\n") != 1:
        return f"exit code {code}, {line!r}"
    return None if all(each.isprintable() or each == "\n" for each in line) else f"it acts on a terminal: {line!r}"


def campaign(attempt: Try, seed: int, seconds: float) -> Counter[str]:
    """What came of the tries, by kind. Raises SystemExit at the first that failed."""
    counts: Counter[str] = Counter()
    at_first = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        number += 1
        outcome, failure = _one(attempt, random.Random(f"{seed} {number}"))
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - at_first
        if failure is None and grown > _MEMORY_KB:
            failure = f"it grew by {grown >> 10} MB"
        if failure is not None:
            raise SystemExit(f"seed {seed}, try {number}: {failure}")
        counts[outcome] += 1
    return counts


def _one(attempt: Try, rng: random.Random) -> tuple[str, str | None]:
    result: list[tuple[str, str | None]] = []

    def run() -> None:
        try:
            attempt(rng)
        except DeviceError as error:
            result.append((type(error).__name__, told(error)))
        except BaseException:  # noqa: BLE001  # what it is, is the finding
            result.append(("", traceback.format_exc()))
        else:
            result.append(("an answer", None))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(_TRY_S)
    return result[0] if result else ("", f"no end within {_TRY_S:g} s")


def main() -> None:
    """Run the campaign that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("liar", choices=["agent", "firmware"])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    patience = (
        link_adversary.impatient(),
        mock.patch.object(mcu_device, "_REAL_BOOT_S", 0.01),
        mock.patch.object(session, "_CLOSE_TIMEOUT_S", 1.0),
    )
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        for each in patience:
            stack.enter_context(each)
        for request in link_adversary.REQUESTS:
            stack.enter_context(mock.patch.object(type(request), "patience_s", 0.002))
        attempt = {"agent": agent, "firmware": firmware}[options.liar](Path(folder))
        counts = campaign(attempt, options.seed, options.minutes * 60)
    listed = ", ".join(f"{count:,} {outcome}" for outcome, count in counts.most_common())
    print(
        f"{options.liar:9} {options.minutes:g} min, seed {options.seed}, {commit()}: {counts.total():,} tries: {listed}"
    )


if __name__ == "__main__":
    main()
