# SPDX-License-Identifier: Apache-2.0
"""`edgenas rollback`."""

from __future__ import annotations

from edgenas.cli import options


def rollback(
    board: options.BoardOfDevice = None,
    device: options.Device = None,
    accept_new_host_key: options.AcceptNewHostKey = False,
    as_json: options.Json = False,
) -> None:
    """Make the board's previous model its active one again.

    Example: edgenas rollback --board host
    """
    from dataclasses import asdict

    import edgenas
    from edgenas.boards import inventory
    from edgenas.cli import output
    from firmware_tools.connect import Access

    with output.working() as reporter:
        access = Access(reporter.ask, accept_new_host_key, reporter.say)
        status = edgenas.rollback(board, device=device, access=access)
    active = status.active
    pairs = [
        ("active", f"{active.manifest.get('name', 'a model')}, sha256 {active.sha256}" if active else "no model"),
        ("size", output.size(active.bytes) if active else None),
    ]
    output.show(
        inventory.resolve(board, device)[0].unit.label(asdict(status)),
        as_json,
        lambda console: output.facts(console, pairs),
    )
