# SPDX-License-Identifier: Apache-2.0
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


_WHY = {
    "time": "its time was up",
    "target": "the error is below the target",
    "count": "enough for a deploy",
    "space": "the whole space is measured",
}


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
    minutes: Annotated[
        float, typer.Option(min=0.01, metavar="M", help="About how long to measure; 0.5 will do, too.")
    ] = 10.0,
    target_mape: Annotated[
        str | None,
        typer.Option(metavar="PERCENT", help="Stop earlier, once the cross-validated error is below this, e.g. 3%."),
    ] = None,
    seed: options.Seed = 0,
    set_governor: options.SetGovernor = None,
    runtime: options.Runtime = None,
    as_json: options.Json = False,
) -> None:
    """Measure architectures on the board, fit its latency model.

    Example: edgenas profile --board host --input-shape 3x32x32

    deploy does this by itself, for about a minute, for a board without a profile; more measurements make its
    predictions better. Every measurement counts: given again after an interruption, or any time later, it goes on.
    """
    if context.invoked_subcommand is not None:
        options.refuse_before_subcommand(context)
        return
    import edgenas
    from edgenas.cli import output
    from firmware_tools.connect import Access

    shape = _shape(input_shape)
    with output.working() as reporter:
        access = Access(reporter.ask, accept_new_host_key, reporter.say)
        profiled = edgenas.profile(
            board,
            device=device,
            space=space,
            input_shape=shape,
            classes=classes,
            precision=precision,
            statistic=statistic,
            minutes=minutes,
            target_mape=target_mape,
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
    covered, drift = profiled.coverage, None
    if profiled.drift is not None:
        drift = f"{profiled.drift:.1%} at most, corrected; {profiled.repeated} batches measured again"
    shape = "x".join(map(str, found.input_shape))
    pairs = [
        ("profile", str(found.key)),
        ("measured", f"{profiled.measured} architectures now, {found.measurements} measurements in all"),
        ("error", f"{output.percent(profiled.mape)} on average, cross-validated"),
        ("coverage", f"{covered.operators:.0%} of the operators, {covered.latencies:.0%} of the latency's range"),
        ("drift", drift),
        ("fastest", f"{latency(profiled.fastest_ms)}, of the space {found.space_name} at {shape}"),
        ("slowest", latency(profiled.slowest_ms)),
        ("time", f"{duration(profiled.seconds)}, {_WHY[profiled.stopped_by]}"),
        ("file", str(found.path(found.key))),
    ]
    console.print()
    facts(console, pairs)
