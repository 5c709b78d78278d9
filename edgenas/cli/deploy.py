# SPDX-License-Identifier: Apache-2.0
"""`edgenas deploy`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgenas.cli import options

if TYPE_CHECKING:
    from rich.console import Console

    from edgenas.units import Unit
    from edgenas.workflows.bakeoff import Row
    from edgenas.workflows.result import Result


def deploy(
    data: options.Data,
    latency: options.Latency,
    board: options.BoardOfDevice = None,
    device: options.Device = None,
    accept_new_host_key: options.AcceptNewHostKey = False,
    strategy: options.Strategy = "halving",
    space: options.Space = "tiny",
    precision: options.Precision = None,
    statistic: options.Statistic = None,
    rounds: Annotated[int, typer.Option(metavar="N", help="How often at most a model is installed and measured.")] = 3,
    seed: options.Seed = 0,
    epochs: options.Epochs = None,
    size: options.Size = None,
    task: options.Task = None,
    group_by: options.GroupBy = None,
    runs: options.Runs = Path("runs"),
    set_governor: options.SetGovernor = None,
    runtime: options.RuntimeOrFastest = None,
    layers: Annotated[
        bool, typer.Option("--layers", help="In the end also say what each operator of the model takes.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Search, train, convert, measure and install a model.

    Example: edgenas deploy --board host --data ./my_photos --latency 350us

    The model is the most accurate one found that measures within the budget. The board's active model changes only
    after such a measurement. If the command is interrupted, the same command goes on from the last finished stage.

    Exit codes: 2 for a value that cannot be used, 3 if no model of the space can meet the budget, none measured within
    it or none is better than guessing, 4 if the device failed, 1 for any other error.
    """
    import edgenas
    from edgenas.cli import output
    from firmware_tools.connect import Access

    with output.working() as reporter:
        access = Access(reporter.ask, accept_new_host_key, reporter.say)
        result = edgenas.deploy(
            board,
            data=data,
            latency=latency,
            device=device,
            strategy=strategy,
            space=space,
            precision=precision,
            statistic=statistic,
            rounds=rounds,
            seed=seed,
            epochs=epochs,
            size=size,
            task=task,
            group_by=group_by,
            set_governor=set_governor,
            runtime=runtime,
            layers=layers,
            runs=runs,
            access=access,
            reporter=reporter,
        )
    output.show(result.to_json(), as_json, lambda console: _present(console, result))


def _present(console: Console, result: Result) -> None:
    from edgenas.cli import output
    from edgenas.cli.layers import show_layers

    rows = sorted(result.rows, key=lambda row: -row.score)
    shipped = next((i for i, row in enumerate(rows) if row.architecture == result.row.architecture), None)
    console.print()
    output.facts(console, _facts(result))
    console.print()
    columns = ("", "origin", "predicted", "measured", "valid.", "float", "int8", "MMAC", "size", "gate")
    table = [_cells(index + 1, row, index == shipped, result.unit) for index, row in enumerate(rows)]
    output.table(console, columns, table, left=2, strong=shipped)
    console.print()
    output.lines(console, [f"{i + 1}  {row.architecture}" for i, row in enumerate(rows)])
    failed = [f"{i + 1}  gate: {row.gate}" for i, row in enumerate(rows) if row.gate != "passed"]
    legend = "* is installed, b is the baseline, float and int8 are test accuracies"
    uneven = ", valid. is balanced: classes are uneven" if result.row.uneven else ""
    output.lines(console, [*failed, legend + uneven])
    if result.layers is not None:
        console.print()
        show_layers(console, result.layers, partial(output.latency, result.unit))


def _facts(result: Result) -> list[tuple[str, str | None]]:
    from edgenas.cli import output
    from edgenas.cli.output import duration, percent, size
    from edgenas.workflows.convert import tested

    timing, row, baseline, projection = result.timing, result.row, result.baseline, result.projection
    latency = partial(output.latency, result.unit)
    low, high = timing.ci95_ms
    spent = [f"{name} {duration(seconds)}" for name, seconds in result.seconds.items() if seconds]
    rounds = [f"predicted {latency(r.predicted_ms)}, measured {latency(r.measured_ms)}" for r in result.rounds]
    plan = f", plan {size(row.plan_bytes)}" if row.plan_bytes is not None else ""
    accuracy = f"float {percent(row.accuracy_float)}"
    if row.accuracy_int8 is not None:
        accuracy += f", int8 {percent(row.accuracy_int8)}"
    if baseline is not None:
        accuracy += f" (baseline {percent(baseline.accuracy)})"
    return [
        ("board", f"{result.board} at {result.device}"),
        ("runtimes", ", ".join(f"{one.name} {latency(one.latency_ms)}" for one in result.runtimes) or None),
        ("budget", f"{latency(result.budget_ms)}, held against {result.statistic}"),
        ("predicted", latency(result.rounds[-1].predicted_ms)),
        (
            "measured",
            f"{latency(timing.latency_ms)} {result.statistic} (95 %: {latency(low)} to {latency(high)}), "
            f"{timing.latency_ms / result.budget_ms:.0%} of the budget",
        ),
        ("", f"p50 {latency(timing.p50_ms)}, p95 {latency(timing.p95_ms)}, n {timing.n:,}"),
        *output.conditions(timing.conditions),
        ("accuracy", accuracy),
        output.by_class(result.labels, tested(row.recalls)),
        ("model", f"{size(row.bytes)}{plan}, peak RAM {size(result.peak_ram_bytes)}, {row.macs / 1e6:.2f} MMAC"),
        ("projection", f"{projection.before:+.1%} before, {projection.after:+.1%} after" if projection else None),
        ("rounds", f"{len(rounds)}: {'; '.join(rounds)}"),
        ("committed", "yes, it is the board's active model" if result.committed else "no"),
        ("time", ", ".join(spent) or None),
        ("file", result.model_path),
    ]


def _cells(number: int, row: Row, shipped: bool, unit: Unit) -> tuple[str, ...]:
    from edgenas.cli.output import latency, percent, size

    return (
        f"{number}{'*' if shipped else ''}{'b' if row.baseline else ''}",
        row.origin.removeprefix("template:"),
        latency(unit, row.predicted_ms),
        latency(unit, row.measured_ms),
        percent(row.score),
        percent(row.accuracy_float),
        percent(row.accuracy_int8),
        f"{row.macs / 1e6:.2f}",
        size(row.bytes),
        "passed" if row.gate == "passed" else "failed",
    )
