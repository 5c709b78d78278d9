# SPDX-License-Identifier: Apache-2.0
"""The bake-off: finalists, the best template and the baseline get the same full recipe; every row is shown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgenas.artifacts.artifact import Artifact
from edgenas.conversion.gate import GUESSING
from edgenas.measuring.session import Session
from edgenas.nas.problem import Candidate
from edgenas.profiles.measurement import Measurement
from edgenas.progress import Reporter
from edgenas.runtimes.memory import Memory
from edgenas.spaces.architecture import Architecture
from edgenas.spaces.space import SearchSpace
from edgenas.tasks.dataset import Dataset
from edgenas.tasks.raw import Ints
from edgenas.tasks.recalls import Recalls, accuracies, image_weights, lead, uneven
from edgenas.training import Recipe
from edgenas.training.pool import Pool
from edgenas.workflows.convert import PASSED, Built, build, held_out
from edgenas.workflows.evaluator import job


@dataclass(frozen=True)
class Row:
    """One contestant. Latencies in ms, accuracies as fractions; `accuracy_*` on the test part, which chose nothing: it
    only has a say, with the validation part, in whether a row is no better than guessing.

    `validation` is the accuracy of the converted model on the validation part, which chooses; `won` and `lost` count
    the examples there on which this row alone, or the baseline alone, is right. `recalls` are those of `Built`. Where
    classes are `uneven`, balanced accuracy chooses, and `balanced_lead` is what this row has more of it than the
    baseline, with the standard error of that difference; else None. `gate` is "passed" or the check that
    failed; `folder` holds its artifact. On a microcontroller `peak_ram_bytes` is what arena and stack take,
    `plan_bytes` the plan that is installed; `bytes` is the .tflite's.
    """

    architecture: str
    origin: str
    baseline: bool
    predicted_ms: float
    measured_ms: float
    ci95_ms: tuple[float, float]
    validation: float
    won: int
    lost: int
    accuracy_float: float
    accuracy_int8: float | None
    macs: int
    bytes: int
    peak_ram_bytes: int | None
    gate: str
    folder: str
    plan_bytes: int | None = None
    recalls: Mapping[str, Recalls | None] = field(default_factory=dict)
    uneven: bool = False
    balanced_lead: tuple[float, float] | None = None

    @property
    def accuracy(self) -> float:
        """Test accuracy of what would be installed."""
        return self.accuracy_float if self.accuracy_int8 is None else self.accuracy_int8

    @property
    def score(self) -> float:
        """What chooses: accuracy on the validation part, balanced where classes are uneven."""
        validation = self.recalls.get("validation")
        return validation.balanced if self.uneven and validation else self.validation

    @property
    def guesses(self) -> bool:
        """Whether the gate found nothing wrong but that it is no better than guessing."""
        return self.gate.startswith(GUESSING)

    @property
    def held_out(self) -> Recalls:
        """Of everything that training did not see."""
        return held_out(self.recalls)

    def ships(self, budget_ms: float) -> bool:
        """Whether it may be installed: past the gate, measured within the budget."""
        return self.gate == PASSED and self.measured_ms <= budget_ms

    @property
    def beats_baseline(self) -> bool:
        """Whether it is better than the baseline by more than the standard error of the paired difference."""
        more, error = self.balanced_lead or (self.won - self.lost, math.sqrt(self.won + self.lost))
        return more > error

    @staticmethod
    def from_json(table: Mapping[str, Any]) -> Row:
        """What `dataclasses.asdict` made."""
        recalls = {name: found and Recalls.from_json(found) for name, found in table["recalls"].items()}
        ahead = table["balanced_lead"] and tuple(table["balanced_lead"])
        return Row(**{**table, "ci95_ms": tuple(table["ci95_ms"]), "recalls": recalls, "balanced_lead": ahead})

    def to_json(self, labels: Sequence[str]) -> dict[str, Any]:
        """Its fields, with `balanced_accuracy` and `recall` in place of the counts; `labels` name the classes."""
        told = accuracies(labels, self.recalls)
        shown = {"balanced_accuracy": told["balanced_accuracy"], "recall": told["recall"]}
        return {**{name: value for name, value in vars(self).items() if name != "recalls"}, **shown}


def train_all(
    candidates: Sequence[Candidate], recipe: Recipe, pool: Pool, folder: Path, seed: int, reporter: Reporter
) -> list[str]:
    """Train every candidate with the full recipe; returns their checkpoints, in order."""
    jobs = [job(c.architecture, recipe, folder, seed, recipe.epochs) for c in candidates]
    pool.run(jobs, lambda done, total: reporter.progress(done, total, "epochs"))
    return [j.checkpoint for j in jobs]


def checkpoints(candidates: Sequence[Candidate], recipe: Recipe, folder: Path, seed: int) -> list[Path]:
    """Where `train_all` leaves the candidates' checkpoints."""
    return [Path(job(c.architecture, recipe, folder, seed, recipe.epochs).checkpoint) for c in candidates]


def convert_all(
    candidates: Sequence[Candidate],
    checkpoints: Sequence[Path],
    session: Session,
    space: SearchSpace,
    data: Dataset,
    folder: Path,
    budget_ms: float,
) -> list[Row]:
    """Convert and judge every trained candidate, save its artifact under `folder`; nothing is measured yet."""
    rows, right = [], []
    for index, (candidate, checkpoint) in enumerate(zip(candidates, checkpoints, strict=True)):
        built = build(
            session.converter,
            checkpoint,
            space,
            candidate.architecture,
            data,
            session.tflite_precision,
            board=session.board.id,
            budget_ms=budget_ms,
            versions=session.versions(),
            onnx=session.onnx_precision,
        )
        target = folder / f"{index}-{candidate.origin.replace(':', '-')}"
        built.artifact.save(target)
        rows.append(_row(candidate, built, target, uneven(data)))
        right.append(built.right)
        session.reporter.progress(index + 1, len(candidates), "models")
    return _compared(rows, right, data.validation.y)


def _compared(rows: Sequence[Row], right: Sequence[npt.NDArray[np.bool_]], labels: Ints) -> list[Row]:
    """The rows with their wins and losses against the best baseline among them; without one all stay 0.

    `right`: on which examples (n,) of the validation part each row is right; `labels` (n,) are their classes.
    """
    baselines = [i for i, row in enumerate(rows) if row.baseline]
    if not baselines:
        return list(rows)
    best, weights = right[max(baselines, key=lambda i: rows[i].score)], image_weights(labels)
    return [
        replace(
            row,
            won=int((mine & ~best).sum()),
            lost=int((best & ~mine).sum()),
            balanced_lead=lead(mine, best, weights) if row.uneven else None,
        )
        for row, mine in zip(rows, right, strict=True)
    ]


def measure_all(rows: Sequence[Row], session: Session, space: SearchSpace) -> list[Row]:
    """Time all artifacts by the board's full protocol, interleaved so that drift hits all alike, and record it."""
    artifacts = [Artifact.load(Path(row.folder)) for row in rows]
    models = [session.timed(artifact) for artifact in artifacts]
    architectures = [Architecture.parse(row.architecture) for row in rows]
    found = session.time(space, architectures, models, session.plan(), trained=True)
    return [
        _measured(row, measurement, session.memory(artifact.tflite))
        for row, measurement, artifact in zip(rows, found, artifacts, strict=True)
    ]


def _measured(row: Row, found: Measurement, memory: Memory | None) -> Row:
    timed = replace(row, measured_ms=found.latency_ms, ci95_ms=found.ci95_ms, peak_ram_bytes=found.peak_ram_bytes)
    if memory is None:
        return timed
    return replace(timed, peak_ram_bytes=memory.ram_bytes, plan_bytes=memory.plan_bytes)


def _row(candidate: Candidate, built: Built, folder: Path, uneven: bool) -> Row:
    manifest = built.artifact.manifest
    return Row(
        architecture=str(candidate.architecture),
        origin=candidate.origin,
        baseline=candidate.baseline,
        predicted_ms=candidate.predicted_ms,
        measured_ms=float("nan"),
        ci95_ms=(float("nan"), float("nan")),
        validation=built.validation,
        won=0,
        lost=0,
        accuracy_float=built.accuracy_float,
        accuracy_int8=built.accuracy_int8,
        macs=manifest["macs"],
        bytes=manifest["bytes"],
        peak_ram_bytes=None,
        gate=built.verdict,
        folder=str(folder),
        recalls=built.recalls,
        uneven=uneven,
    )
