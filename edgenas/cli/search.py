# SPDX-License-Identifier: Apache-2.0
"""`edgenas search`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgenas.cli import options

if TYPE_CHECKING:
    from rich.console import Console

    from edgenas.nas.problem import Candidate
    from edgenas.workflows.search import Searched


def search(
    data: options.Data,
    latency: options.Latency,
    board: options.BoardOfDevice = None,
    device: options.Device = None,
    accept_new_host_key: options.AcceptNewHostKey = False,
    strategy: options.Strategy = "halving",
    space: options.Space = "tiny",
    precision: options.Precision = None,
    statistic: options.Statistic = None,
    seed: options.Seed = 0,
    epochs: options.Epochs = None,
    size: options.Size = None,
    task: options.Task = None,
    group_by: options.GroupBy = None,
    set_governor: options.SetGovernor = None,
    runtime: options.RuntimeOrFastest = None,
    runs: options.Runs = Path("runs"),
    as_json: options.Json = False,
) -> None:
    """Search as deploy does and print the finalists.

    Example: edgenas search --data mnist --latency 40%

    The finalists are measured but not fully trained, and nothing is installed. The architecture
    that it prints is what edgenas train takes.

    For a microcontroller that nothing was measured on yet, instructions are counted in an emulator and turned into time
    by a prior, which is what the latencies are called then; --device URL measures on the board.
    """
    import edgenas
    from edgenas.cli import output
    from firmware_tools.connect import Access

    with output.working() as reporter:
        access = Access(reporter.ask, accept_new_host_key, reporter.say)
        searched = edgenas.search(
            board,
            data=data,
            latency=latency,
            device=device,
            strategy=strategy,
            space=space,
            precision=precision,
            statistic=statistic,
            seed=seed,
            epochs=epochs,
            size=size,
            task=task,
            group_by=group_by,
            set_governor=set_governor,
            runtime=runtime,
            runs=runs,
            access=access,
            reporter=reporter,
        )
    output.show(searched.to_json(), as_json, lambda console: _present(console, searched))


def _present(console: Console, searched: Searched) -> None:
    from edgenas.cli import output
    from edgenas.cli.output import duration, facts, lines, percent, table

    latency = partial(output.latency, searched.unit)
    found, projection, prior = searched.found, searched.found.projection, searched.prior
    console.print()
    pairs: list[tuple[str, str | None]] = [
        ("board", searched.board),
        ("budget", f"{latency(searched.budget_ms)}, held against {searched.statistic}"),
        ("predicted", f"{prior}; {prior.source}" if prior else None),
        ("tried", f"{len(found.tried)} architectures in {duration(searched.seconds)}"),
        ("projection", f"{projection.before:+.1%} before, {projection.after:+.1%} after" if projection else None),
        ("folder", searched.folder),
    ]
    facts(console, pairs)
    console.print()
    rows = [
        (
            f"{number}{'b' if candidate.baseline else ''}",
            candidate.origin.removeprefix("template:"),
            *_latencies(searched, candidate),
            percent(candidate.outcome.validation_accuracy if candidate.outcome else None),
            percent(_balanced(candidate)),
            str(candidate.outcome.epoch if candidate.outcome else 0),
        )
        for number, candidate in enumerate(found.finalists, 1)
    ]
    columns = ("predicted (prior)", "counted") if prior else ("predicted", "measured")
    table(console, ("", "origin", *columns, "valid.", "balanced", "epochs"), rows, left=2)
    console.print()
    lines(console, [f"{number}  {candidate.architecture}" for number, candidate in enumerate(found.finalists, 1)])


def _balanced(candidate: Candidate) -> float | None:
    return candidate.outcome.recalls.balanced if candidate.outcome and candidate.outcome.recalls else None


def _latencies(searched: Searched, candidate: Candidate) -> tuple[str, str]:
    """Prediction and measurement; where there is a prior what it makes of the count, and the count."""
    from edgenas.cli.output import latency
    from edgenas.units import MINSN

    measured = candidate.measured_ms
    if searched.prior is None:
        return latency(searched.unit, candidate.predicted_ms), latency(searched.unit, measured)
    return latency(searched.unit, measured), latency(MINSN, measured / searched.prior.ms_per_minsn)
