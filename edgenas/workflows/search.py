"""`edgenas search`: the finalists for a budget, measured on the device, without training them fully."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgenas.progress import Reporter, Silent
from edgenas.strategies.candidate import Candidate, Found
from edgenas.units import Unit
from edgenas.workflows.walk import Options, opened


@dataclass(frozen=True)
class Searched:
    """A finished search."""

    board: str
    unit: Unit
    budget_ms: float
    statistic: str
    found: Found
    folder: str
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        projection = self.found.projection
        table = {
            "board": self.board,
            "budget": {"latency_ms": self.budget_ms, "statistic": self.statistic},
            "finalists": [_table(c) for c in self.found.finalists],
            "tried": [_table(c) for c in self.found.tried],
            "projection": asdict(projection) if projection else None,
            "folder": self.folder,
            "seconds": self.seconds,
        }
        return self.unit.label(table)


def search(
    board: str = "host",
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
    runs: str | Path = "runs",
    reporter: Reporter | None = None,
) -> Searched:
    """Search as `edgenas.deploy` does and stop before the bake-off; arguments and errors are the same."""
    options = Options(board, data, latency, device, strategy, space, precision, statistic, 1, seed, epochs, size)
    with opened(options, runs, reporter or Silent(), purpose="search") as walk:
        aim = walk.aim()
        with walk.pool() as pool:
            found = walk.search(pool, 1, aim)
        session, run = walk.session, walk.run
        session.refined().save()
        seconds = run.seconds("search")
        searched = Searched(
            session.board.id, session.board.unit, aim.budget_ms, session.statistic, found, str(run.folder), seconds
        )
        run.finish(searched.to_json())
        return searched


def _table(candidate: Candidate) -> Mapping[str, Any]:
    outcome = candidate.outcome
    return {
        "architecture": str(candidate.architecture),
        "origin": candidate.origin,
        "baseline": candidate.baseline,
        "predicted_ms": candidate.predicted_ms,
        "measured_ms": candidate.measured_ms,
        "epochs": outcome.epoch if outcome else 0,
        "train_loss": outcome.train_loss if outcome else None,
        "validation": outcome.validation_accuracy if outcome else None,
    }
