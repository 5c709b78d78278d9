# SPDX-License-Identifier: Apache-2.0
"""`edgenas plan`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgenas.cli import options
from edgenas.errors import InfeasibleError

if TYPE_CHECKING:
    from rich.console import Console

    from edgenas.workflows.plan import Estimate, MemoryUse, Planned
    from firmware_tools.plan.compile import Port, UnusedOperator

_MAX_NAMED = 3  # operators in a line


def plan(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="An int8 .tflite file, or the folder of a run.")],
    board: options.Board,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to write the plan; must not exist yet.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Say what a model takes of a microcontroller.

    Example: edgenas plan model.tflite --board mps2-an386

    The model is compiled to what edgenas' engine for microcontrollers runs. "live" is what is in use of the arena while
    an operator runs; * marks the operator with the most. Operators whose results nothing reads are left out. Nothing is
    connected: the latency on a real board is a prior, a published number of cycles for each instruction that an
    emulator counts.
    """
    import edgenas
    from edgenas.cli import output

    def show(planned: Planned) -> None:
        output.show(planned.to_json(), as_json, lambda console: _present(console, planned))

    try:
        show(edgenas.plan(model, board=board, out=out))
    except InfeasibleError as error:
        show(error.fields["planned"])  # type: ignore[arg-type]
        raise


def _present(console: Console, planned: Planned) -> None:
    from edgenas.cli.output import facts, size, table

    found = planned.plan
    rows = [
        (
            f"{operator.index}{'*' if place == planned.peak else ''}",
            operator.name,
            operator.kind,
            _shape(operator.output_shape),
            f"{operator.macs:,}",
            size(operator.weight_bytes),
            size(operator.live_bytes),
        )
        for place, operator in enumerate(found.operators)
    ]
    columns = ("", "name", "kind", "output", "MACs", "weights", "live")
    table(console, columns, rows, left=4, strong=planned.peak)
    console.print()
    pairs = [
        ("model", f"{planned.model}, {size(planned.model_bytes)}"),
        ("input", _end(found.input)),
        ("output", _end(found.output)),
        ("MACs", f"{sum(operator.macs for operator in found.operators):,}"),
        ("unused", _unused(found.unused) if found.unused else None),
        ("board", f"{planned.board}, {planned.kernels} kernels"),
        ("RAM", _need(planned, planned.ram, "arena")),
        ("flash", _need(planned, planned.flash, "plan")),
        ("latency", _latency(planned.latency) if planned.latency else None),
        ("file", planned.file),
    ]
    facts(console, pairs)


def _unused(operators: Sequence[UnusedOperator]) -> str:
    named = ", ".join(f"{operator.index} {operator.name}" for operator in operators[:_MAX_NAMED])
    more = f" and {len(operators) - _MAX_NAMED} more" if len(operators) > _MAX_NAMED else ""
    return f"{named}{more}: left out, nothing reads what they compute"


def _latency(found: Estimate) -> str:
    from edgenas.cli.output import latency
    from edgenas.units import MINSN, MS

    if found.minsn is None:
        return f"not counted: {found.missing}"
    return f"predicted {latency(MS, found.ms)} ({found.prior}), {latency(MINSN, found.minsn)} counted"


def _end(tensor: Port) -> str:
    return f"{_shape(tensor.shape)}, scale {tensor.scale:.6g}, zero point {tensor.zero_point}"


def _need(planned: Planned, need: MemoryUse, what: str) -> str:
    text = f"{what} {need.model_bytes:,} + engine {need.engine_bytes:,} = {need.bytes:,} bytes"
    if need.limit_bytes is None:
        return text
    verdict = "" if need.fits else ": too much"
    tightest = ", limits first" if need is planned.tightest else ""
    return f"{text}, {100 * need.used:.1f} % of {need.limit_bytes:,}{verdict}{tightest}"


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
