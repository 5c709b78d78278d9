# SPDX-License-Identifier: Apache-2.0
"""`edgenas search`: the finalists for a budget, measured on the device, without training them fully."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgenas.boards.prior import Prior
from edgenas.errors import InfeasibleError
from edgenas.nas.problem import Candidate, SearchResult
from edgenas.progress import Reporter, Silent
from edgenas.units import Unit
from edgenas.workflows.pipeline import Options, opened
from firmware_tools.connect import Access


@dataclass(frozen=True)
class Searched:
    """A finished search. With a `prior` nothing was measured: latencies are counted instructions times the prior.

    note: of a budget far beyond the space, what would use it; None for any other. labels: of the classes, in the order
    of the recalls. notes: what was decided about the data (see `Dataset`).
    """

    board: str
    unit: Unit
    prior: Prior | None
    budget_ms: float
    note: str | None
    statistic: str
    found: SearchResult
    folder: str
    seconds: float
    labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        projection = self.found.projection
        table = {
            "board": self.board,
            "budget": {"latency_ms": self.budget_ms, "statistic": self.statistic, "note": self.note},
            "prior": self.prior.to_json() if self.prior else None,
            "labels": list(self.labels),
            "finalists": [_table(c, self.prior) for c in self.found.finalists],
            "tried": [_table(c, self.prior) for c in self.found.tried],
            "projection": asdict(projection) if projection else None,
            "folder": self.folder,
            "seconds": self.seconds,
            "notes": list(self.notes),
        }
        return self.unit.label(table)


def search(
    board: str | None = None,
    *,
    data: str,
    latency: str,
    device: str | None = None,
    strategy: str = "halving",
    space: str = "tiny",
    precision: str | None = None,
    statistic: str | None = None,
    seed: int = 0,
    epochs: int | None = None,
    size: int | None = None,
    task: str | None = None,
    group_by: str | None = None,
    set_governor: str | None = None,
    runtime: str | None = None,
    runs: str | Path = "runs",
    access: Access | None = None,
    reporter: Reporter | None = None,
) -> Searched:
    """Search as `edgenas.deploy` does and stop before the bake-off; arguments and errors are the same.

    A microcontroller on which nothing was measured, or for which an emulator is named, is left alone: instructions are
    counted in an emulator, and its file's prior turns them into time.
    """
    options = Options(
        *(board, data, latency, device, strategy, space, precision, statistic, 1, seed, epochs, size),
        set_governor=set_governor,
        runtime=runtime,
        task=task,
        group_by=group_by,
    )
    with opened(options, runs, reporter or Silent(), access, purpose="search") as walk:
        session, run = walk.session, walk.run
        try:
            aim = walk.aim()
            with walk.pool() as pool:
                found = walk.search(pool, 1, aim)
        except InfeasibleError as error:
            if session.prior is None:
                raise
            raise InfeasibleError(f"{error.message} ({session.prior})", **error.fields) from error
        session.refined().save()
        searched = Searched(
            board=session.board.id,
            unit=session.board.unit,
            prior=session.prior,
            budget_ms=aim.budget_ms,
            note=aim.note,
            statistic=session.statistic,
            found=found,
            folder=str(run.folder),
            seconds=run.seconds("search"),
            labels=walk.data.labels,
            notes=walk.data.notes,
        )
        run.finish(searched.to_json())
        return searched


def _table(candidate: Candidate, prior: Prior | None) -> Mapping[str, Any]:
    outcome, ms = candidate.outcome, candidate.measured_ms
    return {
        "architecture": str(candidate.architecture),
        "origin": candidate.origin,
        "baseline": candidate.baseline,
        "predicted_ms": ms if prior else candidate.predicted_ms,
        "measured_ms": None if prior else ms,
        "counted_minsn": ms / prior.ms_per_minsn if prior else None,
        "epochs": outcome.epoch if outcome else 0,
        "train_loss": outcome.train_loss if outcome else None,
        "validation": outcome.validation_accuracy if outcome else None,
        "balanced_validation": outcome.recalls.balanced if outcome and outcome.recalls else None,
        "recall": outcome.recalls.to_json() if outcome and outcome.recalls else None,
    }
