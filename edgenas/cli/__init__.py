# SPDX-License-Identifier: Apache-2.0
"""The `edgenas` program: one file per command; each parses, calls one function of the library and prints.

Nothing heavy is imported before a command runs: `edgenas --help` needs typer alone, rich is imported in `output` only.
"""

from __future__ import annotations

import sys
from typing import NoReturn

from edgenas.cli import failures, streams
from edgenas.cli.interrupts import Interrupts
from edgenas.working_folder import forget


def program() -> NoReturn:
    """What the command `edgenas` runs: ends the process with the exit code, also if a signal comes at its very end."""
    streams.repair()  # before anything is opened
    streams.guard()
    forget()  # an empty entry of PYTHONPATH stands for the working folder, too
    interrupts = Interrupts()
    try:
        interrupts.__enter__()  # to the end of the process
        interrupts.leave(_run(sys.argv[1:], interrupts))
    except KeyboardInterrupt as error:  # in the instant between the two
        interrupts.leave(failures.report(error, interrupts.caught))


def main(arguments: list[str] | None = None) -> int:
    """Run the program with `arguments` (the command line's) and return its exit code; raises nothing."""
    streams.repair()
    with streams.guarded(), Interrupts() as interrupts:
        try:
            return _run(sys.argv[1:] if arguments is None else arguments, interrupts)
        finally:
            streams.settle()


def _run(arguments: list[str], interrupts: Interrupts) -> int:
    try:
        try:
            from edgenas.cli import app  # here, where Ctrl-C is heard already: it takes up to a tenth of a second

            return app.run(arguments)
        except BaseException as error:  # noqa: BLE001  # every way to fail becomes a line and an exit code, in one place
            return failures.report(error, interrupts.caught, arguments)
    except KeyboardInterrupt as error:  # while a failure was told
        return failures.report(error, interrupts.caught)
