"""`edgenas profile`."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from edgenas.cli import options
from edgenas.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from edgenas.workflows.profile import Profiled


def profile(
    context: typer.Context,
    board: options.BoardOfDevice = None,
    device: options.Device = None,
    accept_new_host_key: options.AcceptNewHostKey = False,
    space: options.Space = "tiny",
    input_shape: Annotated[
        str, typer.Option(metavar="CxHxW", help="Channels, height and width of an image.")
    ] = "1x28x28",
    classes: Annotated[int, typer.Option(min=2, metavar="N", help="Classes that the networks tell apart.")] = 10,
    precision: options.Precision = None,
    statistic: options.Statistic = None,
    seconds: Annotated[float, typer.Option(min=1, metavar="S", help="About how long to measure.")] = 60.0,
    seed: options.Seed = 0,
    set_governor: options.SetGovernor = None,
    runtime: options.Runtime = None,
    as_json: options.Json = False,
) -> None:
    """Measure architectures on the board, fit its latency model.

    Example: edgenas profile --board host --input-shape 3x32x32

    deploy does this by itself for a board without a profile; more measurements make its predictions better.
    """
    if context.invoked_subcommand is not None:
        options.refuse_before_subcommand(context)
        return
    import edgenas
    from edgenas.cli import output
    from firmware_tools.connect import Access

    shape = _shape(input_shape)
    with output.working() as reporter:
        access = Access(reporter.ask, accept_new_host_key)
        profiled = edgenas.profile(
            board,
            device=device,
            space=space,
            input_shape=shape,
            classes=classes,
            precision=precision,
            statistic=statistic,
            seconds=seconds,
            seed=seed,
            set_governor=set_governor,
            runtime=runtime,
            access=access,
            reporter=reporter,
        )
    output.show(profiled.to_json(), as_json, lambda console: _present(console, profiled))


def _shape(text: str) -> tuple[int, int, int]:
    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)x([1-9]\d*)", text)
    if found is None:
        raise UsageError(f"input shape {text!r} is not channels x height x width: write 1x28x28", value=text)
    return int(found[1]), int(found[2]), int(found[3])


def _present(console: Console, profiled: Profiled) -> None:
    from edgenas.cli import output
    from edgenas.cli.output import duration, facts

    latency = partial(output.latency, profiled.unit)
    found = profiled.profile
    shape = "x".join(map(str, found.input_shape))
    pairs = [
        ("profile", str(found.key)),
        ("measurements", str(found.measurements)),
        ("fastest", f"{latency(profiled.fastest_ms)}, of the space {found.space_name} at {shape}"),
        ("slowest", latency(profiled.slowest_ms)),
        ("time", duration(profiled.seconds)),
        ("file", str(found.path(found.key))),
    ]
    console.print()
    facts(console, pairs)
