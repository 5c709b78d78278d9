# SPDX-License-Identifier: Apache-2.0
"""`edgenas board ...`: what is done to a board itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from edgenas.cli import options

if TYPE_CHECKING:
    from rich.console import Console

    from edgenas.workflows.prepare import BoardPrepared

app = typer.Typer(no_args_is_help=True, help="Make a Linux board ready.")


@app.callback()
def _board() -> None:
    pass  # typer would otherwise take a single command for the group


@app.command()
def prepare(
    device: Annotated[
        str,
        typer.Option(
            metavar="NAME|URL", help="Where the board is: a name of your devices.toml or ssh://user@host?root=DIR."
        ),
    ],
    runtime: Annotated[
        str | None, typer.Option(metavar="NAME", help="litert or tflite; else the best that fits the board.")
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Download the wheels here and push them: the board needs no network.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look at the board and say what would be done.")] = False,
    accept_new_host_key: options.AcceptNewHostKey = False,
    as_json: options.Json = False,
) -> None:
    """Install the TFLite runtime that fits a board.

    Example: edgenas board prepare --device ssh://pi@raspberrypi.local --dry-run

    It goes into an environment in the board's ~/.edgenas (root=DIR in the URL: another folder), made with python3
    (python=PATH: another Python). A board that is ready is left as it is; an interrupted run is taken up by the next.
    """
    import edgenas
    from edgenas.cli import output
    from firmware_tools.connect import Access

    with output.working() as reporter:
        access = Access(reporter.ask, accept_new_host_key, reporter.say)
        made = edgenas.prepare(
            device, runtime=runtime, offline=offline, dry_run=dry_run, access=access, reporter=reporter
        )
    output.show(made.to_json(), as_json, lambda console: _present(console, made))


def _present(console: Console, made: BoardPrepared) -> None:
    from edgenas.cli import output

    plan, info = made.prepared.plan, made.prepared.info
    facts, runtime = plan.facts, plan.runtime
    version, glibc = (".".join(map(str, numbers or ())) for numbers in (facts.version, facts.glibc))
    pairs = [
        ("board", f"{facts.machine}, Python {version}, glibc {glibc}"),
        ("folder", f"{facts.root}, {output.size(facts.free_bytes)} free"),
        ("runtime", f"{runtime.package} {runtime.version}"),
    ]
    if info is not None:
        found = ", ".join(f"{each.name} {each.version}" for each in info.runtimes)
        pairs += [("agent", f"{info.cpu or info.machine}, finds {found}"), ("device", made.device)]
    output.facts(console, pairs)
    if info is None:
        steps = [f"  {step}" for step in plan.steps]
        output.lines(console, ["would be done:" if steps else "nothing is to be done but to ask the agent", *steps])
