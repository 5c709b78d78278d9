# SPDX-License-Identifier: Apache-2.0
"""`edgenas boards`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgenas.cli import options

if TYPE_CHECKING:
    from rich.console import Console


def boards(as_json: options.Json = False) -> None:
    """List the known boards and the profiles measured on them.

    Example: edgenas boards

    A board of your own: ~/.edgenas/boards/NAME/board.toml, written like the file of a listed one.
    """
    from edgenas.boards.board import list_boards
    from edgenas.cli import output
    from edgenas.profiles.profile import list_profiles

    found = {
        "boards": [
            {
                "id": board.id,
                "name": board.name,
                "kind": board.kind,
                "device": board.device_url,
                "precision": board.precision,
                "unit": board.unit.name,
                "measured": board.measured,
                "prior": board.prior.to_json() if board.prior else None,
                "statistic": board.statistic,
                "verified": board.facts.get("verified"),
                "limits": {"ram_bytes": board.ram_bytes, "flash_bytes": board.flash_bytes},
                "file": str(board.file),
            }
            for board in list_boards()
        ],
        "profiles": list_profiles(),
    }
    output.show(found, as_json, lambda console: _present(console, found))


def _present(console: Console, found: dict[str, list[dict[str, Any]]]) -> None:
    from edgenas.cli.output import lines, size, table

    rows = [
        (
            board["id"],
            board["kind"],
            f"{board['unit']}, prior" if board["prior"] and not board["measured"] else board["unit"],
            board["statistic"],
            board["verified"] or "-",
            size(board["limits"]["ram_bytes"]),
            size(board["limits"]["flash_bytes"]),
        )
        for board in found["boards"]
    ]
    table(console, ("board", "kind", "latency", "statistic", "verified", "RAM", "flash"), rows, left=5)
    console.print()
    profiles = found["profiles"]
    if not profiles:
        lines(console, ["no profiles yet: edgenas profile makes one, and so does the first edgenas deploy"])
        return
    intact = [p for p in profiles if p["problem"] is None]
    if intact:
        cells = [(p["profile"], p["refined_utc"], str(p["measurements"])) for p in intact]
        table(console, ("profile", "refined", "measurements"), cells, left=2)
    lines(console, [p["problem"] for p in profiles if p["problem"] is not None])
