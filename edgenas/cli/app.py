# SPDX-License-Identifier: Apache-2.0
"""The commands of the `edgenas` program, put together."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated

import typer

from edgenas.cli import (
    board,
    boards,
    convert,
    deploy,
    devices,
    doctor,
    flash,
    measure,
    plan,
    profiles,
    rollback,
    search,
    streams,
    train,
)
from edgenas.version import __version__


def run(arguments: list[str]) -> int:
    """Run the command that `arguments` name and return 0 or the exit code it asks for; raises whatever goes wrong."""
    # Not `app(...)`: typer would turn an interrupt and a broken pipe, also the device's, into exit codes of its own.
    command = typer.main.get_command(_app())
    only_help = not {"-h", "--help"}.isdisjoint(arguments)
    try:
        help_alone = streams.printing() if only_help else nullcontext()
        with help_alone, command.make_context("edgenas", list(arguments)) as context:
            command.invoke(context)
    except typer.Exit as end:
        return end.exit_code
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
    with streams.printing():
        if version:
            typer.echo(f"edgenas {__version__}")
        elif context.invoked_subcommand is None:
            typer.echo(context.get_help())
