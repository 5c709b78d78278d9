# SPDX-License-Identifier: Apache-2.0
"""`edgenas doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from edgenas.cli import options

if TYPE_CHECKING:
    from rich.console import Console

    from edgenas.workflows.doctor import Check


def doctor(
    mend: Annotated[bool, typer.Option("--mend", help="Build the converter's environment if it is missing.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only what is wrong.")] = False,
    as_json: options.Json = False,
) -> None:
    """Check what is installed; say how to mend what is missing.

    Example: edgenas doctor --mend

    Exit code 1 if something is missing.
    """
    from dataclasses import asdict

    import edgenas
    from edgenas.cli import output

    with output.working(quiet=quiet) as reporter:
        checks = edgenas.doctor(mend=mend, reporter=reporter)
    ok = all(check.ok for check in checks)
    shown = [check for check in checks if not (quiet and check.ok)]
    result = {"ok": ok, "checks": [asdict(check) for check in shown]}
    output.show(result, as_json, lambda console: _present(console, shown))
    if not ok:
        raise typer.Exit(1)


def _present(console: Console, checks: list[Check]) -> None:
    from edgenas.cli import output

    rows = [
        (check.name, "ok" if check.ok else "missing", check.found, "" if check.ok else check.mend) for check in checks
    ]
    if rows:
        output.table(console, ("", "", "found", "to mend"), rows, left=4)
