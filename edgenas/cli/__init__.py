"""The `edgenas` program: one file per command; each parses, calls one function of the library and prints.

Nothing heavy is imported before a command runs: `edgenas --help` needs typer alone, rich is imported in `output` only.
"""

from __future__ import annotations

import sys

from edgenas.cli import failures, streams


def main(arguments: list[str] | None = None) -> int:
    """Run the program with `arguments` (the command line's) and return its exit code; raises nothing."""
    streams.repair()
    given = sys.argv[1:] if arguments is None else arguments
    with failures.signals() as caught:
        try:
            from edgenas.cli import app  # here, where Ctrl-C is heard already: it takes up to a tenth of a second

            return app.run(given)
        except BaseException as error:  # noqa: BLE001  # every way to fail becomes a line and an exit code, in one place
            return failures.report(error, caught, given)
        finally:
            streams.settle()
