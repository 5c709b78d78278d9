# SPDX-License-Identifier: Apache-2.0
"""The Evaluator that strategies get: latencies from the device, ranking from short training on all cores."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from math import inf
from pathlib import Path

from edgenas.latency import AdditiveModel
from edgenas.measuring.session import Session
from edgenas.spaces.architecture import Architecture
from edgenas.spaces.space import SearchSpace
from edgenas.training import Job, Outcome, Recipe
from edgenas.training.pool import Pool


class DeviceEvaluator:
    """Measures in a session, trains in a pool; both remember what they did in this run."""

    def __init__(
        self,
        session: Session,
        space: SearchSpace,
        pool: Pool,
        recipe: Recipe,
        folder: Path,
        focus_latency: float,
        seed: int,
    ) -> None:
        self._session, self._space, self._pool = session, space, pool
        self._recipe, self._folder, self._focus_latency, self._seed = recipe, folder, focus_latency, seed
        self._measured: dict[Architecture, float] = {}

    def measure(self, architectures: Sequence[Architecture]) -> list[float]:
        """Latencies of random weights, on the device or by a prior; infinite for what does not fit the board.

        They are those of the undisturbed board, so that a board that gets slower does not shrink what is found.
        """
        new = [a for a in dict.fromkeys(architectures) if a not in self._measured]
        if new:
            measurements = self._session.measure_fitting(self._space, new)
            self._measured |= {a: m.corrected_ms if m else inf for a, m in zip(new, measurements, strict=True)}
        scale = self._session.scale * self._session.session_speed
        return [scale * self._measured[a] for a in architectures]

    def model(self) -> AdditiveModel:
        """The latency model fitted on everything measured so far, most right near the budget."""
        return self._session.model(self._focus_latency)

    def train(self, architectures: Sequence[Architecture], until: float) -> list[Outcome]:
        """Train each for `until` (0 to 1) of the full recipe, going on where an earlier call stopped."""
        epochs = max(1, round(until * self._recipe.epochs))
        jobs = [job(a, self._recipe, self._folder, self._seed, epochs) for a in architectures]
        return self._pool.run(jobs, lambda done, total: self._session.reporter.progress(done, total, "epochs"))


def job(architecture: Architecture, recipe: Recipe, folder: Path, seed: int, until: int) -> Job:
    """The training job of an architecture under a recipe; its checkpoint's name says both."""
    text = str(architecture)
    name = hashlib.sha256(f"{text} {recipe} {seed}".encode()).hexdigest()[:16]
    return Job(text, text, recipe, until, seed, str(folder / f"{name}.pt"))
