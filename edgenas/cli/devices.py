# SPDX-License-Identifier: Apache-2.0
"""`edgenas devices`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from edgenas.cli import options

if TYPE_CHECKING:
    from rich.console import Console

    from edgenas.workflows.devices import Found


def devices(
    tag: Annotated[
        str | None, typer.Option(metavar="TAG", help="Ask those of your devices.toml alone that have this tag.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """List devices, their state and their active models.

    Example: edgenas devices

    Asked are the devices of ~/.edgenas/devices.toml, boards at serial ports, and this computer. In the file a device is

    \b
      [[device]]
      name = "kitchen"                 # then --device kitchen in every command
      url = "ssh://pi@kitchen.local"
      board = "rpi-4b"                 # --board may then be left out
      tags = ["ground floor"]
    """
    import edgenas
    from edgenas.cli import output

    with output.working() as reporter:
        found = edgenas.devices(tag, reporter=reporter)
    result = {"devices": [device.to_json() for device in found]}
    output.show(result, as_json, lambda console: _present(console, found))


def _present(console: Console, found: list[Found]) -> None:
    from edgenas.cli.output import lines, table

    columns = ("name", "board", "state", "device", "active model", "budget", "measured")
    table(console, columns, [_cells(device) for device in found], left=5)
    notes = [f"{device.name or device.url}: {device.note}" for device in found if device.note]
    if notes:
        console.print()
        lines(console, notes)


def _cells(found: Found) -> tuple[str, ...]:
    from edgenas.cli.output import latency

    active = found.active
    cells = (found.name or "-", found.board or "-", found.state, found.url)
    if active is None:
        return (*cells, "-", "-", "-")
    model = f"{active.name or 'a model'} {active.sha256[:8]}"
    model += ("" if active.valid else ", damaged") + ("" if active.confirmed else ", not confirmed")
    return (
        *cells,
        model,
        latency(active.unit, active.budget_ms),
        latency(active.unit, active.latency_ms),
    )
