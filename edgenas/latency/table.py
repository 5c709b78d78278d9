# SPDX-License-Identifier: Apache-2.0
"""A table of operators timed alone, plus the communication between them: HSCoNAS (Luo et al., DATE 2021).

LAT(arch) = sum over layers of LUT(operator, channels) + B, where B is the mean difference, over measured networks,
between a network's latency and the sum of its operators. B is the data movement that isolated operators do not show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgenas.latency import Array, Part
from edgenas.latency.calibration import scaling
from edgenas.latency.parts import names_of
from edgenas.latency.regression import folds_of, observations, require_fit
from edgenas.latency.unit_costs import ENOUGH, UnitCosts

_LEVEL = "layers"


@dataclass(frozen=True)
class TableModel(UnitCosts):
    """Milliseconds as `bias_ms` + sum over parts of the time of each part alone.

    names, ms: of the operators that were timed alone. relative_std: of a prediction, cross-validated. measurements:
    networks that the bias was fitted on, 0 before `fit`.
    """

    kind = "table"

    def with_operators(self, alone_ms: Mapping[Part, float]) -> TableModel:
        """The model with these operators, each timed in a model of its own (milliseconds). Raises ValueError for a
        time that is not positive.
        """
        if not all(np.isfinite(ms) and ms > 0 for ms in alone_ms.values()):
            raise ValueError("times of operators must be positive")
        known = self._by_name | {names_of((part,), _LEVEL)[0]: float(ms) for part, ms in alone_ms.items()}
        return replace(self, names=tuple(known), ms=tuple(known.values()))

    def fit(
        self,
        architectures: Sequence[Sequence[Part]],
        latency_ms: Sequence[float],
        weights: Sequence[float] | None = None,
    ) -> TableModel:
        """As `LatencyModel.fit`: the bias alone. Raises ValueError also for a part that was not timed alone."""
        y, w = observations(architectures, latency_ms, weights)
        rest = y - self._sums(architectures)
        folds = folds_of(architectures)
        std = self.relative_std
        if len(np.unique(folds)) >= ENOUGH:
            held = np.array([np.average(rest[folds != fold], weights=w[folds != fold]) for fold in folds])
            std = scaling((held - rest) / (y - rest + held), np.ones_like(y))
        return replace(self, bias_ms=float(np.average(rest, weights=w)), relative_std=std, measurements=len(y))

    def predict(self, architectures: Sequence[Sequence[Part]]) -> tuple[Array, Array]:
        """As `LatencyModel.predict`. Raises ValueError also for a part that was not timed alone."""
        require_fit(self.measurements)
        mean = self.bias_ms + self._sums(architectures)
        return mean, np.abs(mean) * self.relative_std

    def block_ms(self, block: Part) -> float:
        """As `AdditiveModel.block_ms`. Raises ValueError also for a part that was not timed alone."""
        require_fit(self.measurements)
        return self._alone(block)

    def _sums(self, architectures: Sequence[Sequence[Part]]) -> Array:
        return np.array([sum(map(self._alone, parts)) for parts in architectures], dtype=np.float64)

    def _alone(self, part: Part) -> float:
        if not part.layers():
            return 0.0
        name = names_of((part,), _LEVEL)[0]
        if name not in self._by_name:
            raise ValueError(f"{part!r} was not timed alone: give it to with_operators")
        return self._by_name[name]
