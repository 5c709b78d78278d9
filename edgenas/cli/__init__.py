"""The `edgenas` program: one file per command; each parses, calls one function of the library and prints.

Nothing heavy is imported before a command runs: `edgenas --help` needs typer alone, rich is imported in `output` only.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from edgenas.cli import (
    board,
    boards,
    convert,
    deploy,
    devices,
    doctor,
    failures,
    flash,
    measure,
    plan,
    profiles,
    rollback,
    search,
    train,
)
from edgenas.version import __version__


def main(arguments: list[str] | None = None) -> int:
    """Run the program with `arguments` (the command line's) and return its exit code; raises nothing."""
    with failures.signals() as caught:
        try:
            return _run(sys.argv[1:] if arguments is None else arguments)
        except BaseException as error:  # noqa: BLE001  # every way to fail becomes a line and an exit code, in one place
            return failures.report(error, caught)


def _run(arguments: list[str]) -> int:
    # Not `app(...)`: typer would turn an interrupt and a broken pipe, also the device's, into exit codes of its own.
    command = typer.main.get_command(_app())
    try:
        with command.make_context("edgenas", list(arguments)) as context:
            command.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    sys.stdout.flush()  # here, where a reader that went away is still an error that can be handled
    return 0


def _app() -> typer.Typer:
    app = typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(_edgenas)
    for module in (deploy, search, train, convert, plan, measure, rollback, flash, devices, boards, doctor):
        name = module.__name__.rpartition(".")[2]
        app.command(name)(getattr(module, name))
    app.add_typer(profiles.app, name="profile")
    app.add_typer(board.app, name="board")
    return app


def _edgenas(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Name a board and a latency budget, get a trained model that measurably meets it, installed on the board.

    Begin with: edgenas deploy --board host --data mnist --latency 40%
    """
    if version:
        typer.echo(f"edgenas {__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())
