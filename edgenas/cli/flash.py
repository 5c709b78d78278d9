# SPDX-License-Identifier: Apache-2.0
"""`edgenas flash`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgenas.cli import options

if TYPE_CHECKING:
    from rich.console import Console

    from edgenas.workflows.flash import Flashed


def flash(
    board: options.BoardOfDevice = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|URL",
            help="Serial port of the board: serial:///dev/ttyACM0, or a name of devices.toml. It is asked at the end.",
        ),
    ] = None,
    tool: Annotated[
        str | None,
        typer.Option(
            "--with",
            metavar="NAME",
            help="openocd, pyocd, stm32flash, esptool or uf2; else the board's first that is installed.",
        ),
    ] = None,
    image: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A raw binary; else the one that edgenas ships for the board.")
    ] = None,
    drive: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where the UF2 drive is; else it is found by its label."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done and do nothing.")] = False,
    as_json: options.Json = False,
) -> None:
    """Put edgenas' firmware onto a microcontroller board.

    Example: edgenas flash --board nucleo-l4r5zi --device serial:///dev/ttyACM0

    Once for each board, before the first deploy. What the program that flashes says goes to stderr.
    """
    import edgenas
    from edgenas.cli import output

    said = output.Relay()
    with output.working(quiet=True) as reporter:  # no bar: the program that flashes draws its own
        flashed = edgenas.flash(
            board, device=device, tool=tool, image=image, drive=drive, dry_run=dry_run, said=said, reporter=reporter
        )
    output.show(flashed.to_json(), as_json, lambda console: _present(console, flashed))


def _present(console: Console, flashed: Flashed) -> None:
    from edgenas.cli.output import facts, size

    device, image = flashed.device, flashed.image
    shown = flashed.to_json()
    answered = f"{device.hostname}, firmware {device.agent_version}, at {device.url}" if device else None
    pairs: list[tuple[str, str | None]] = [
        ("board", f"{flashed.board.id}, {flashed.board.name}"),
        ("image", f"{image.path}, {size(len(image.data))}"),
        ("with", f"{flashed.way.name}, nothing is done" if flashed.dry_run else flashed.way.name),
        ("missing", flashed.missing),
        ("before", flashed.plan.before if flashed.dry_run else None),
        *(_step(step) for step in shown["steps"]),
        ("answers", answered),
        ("next", None if flashed.dry_run else flashed.next),
    ]
    facts(console, pairs)


def _step(step: dict[str, object]) -> tuple[str, str]:
    import shlex

    if "run" in step:
        return "run", shlex.join(step["run"])  # type: ignore[arg-type]
    where = step["folder"] or f"the drive {step['drive']}, which is not mounted now"
    return "write", f"{step['write']}, {step['bytes']:,} bytes, to {where}"
