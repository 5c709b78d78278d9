# SPDX-License-Identifier: Apache-2.0
"""A table of one cost for each distinct part, and a bias, regressed on whole measured networks.

Ridge regression, its strength by generalised cross-validation (scikit-learn's RidgeCV).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgenas.latency import Array, Part
from edgenas.latency.calibration import scaling
from edgenas.latency.parts import counts, names_of, vocabulary
from edgenas.latency.regression import agreement, folds_of, observations, require_fit
from edgenas.latency.unit_costs import ENOUGH, UnitCosts

_LEVEL = "identity"
_STRENGTHS = tuple(np.logspace(-3, 3, 13))


@dataclass(frozen=True)
class RegressedTable(UnitCosts):
    """Milliseconds as `bias_ms` + sum over parts of `ms`, which is 0 for a part that is not in `names`.

    relative_std: of a prediction, cross-validated. measurements: 0 before `fit`.
    """

    kind = "regressed-table"

    def fit(
        self,
        architectures: Sequence[Sequence[Part]],
        latency_ms: Sequence[float],
        weights: Sequence[float] | None = None,
    ) -> RegressedTable:
        """As `LatencyModel.fit`. Absolute errors are minimised; prices are drawn towards those of a model that has seen
        more than is given here, else towards zero.
        """
        y, w = observations(architectures, latency_ms, weights)
        before = self if self.measurements > len(y) else RegressedTable()
        names = tuple(dict.fromkeys((*before.names, *vocabulary(architectures, _LEVEL))))
        start = np.array([before.bias_ms, *(before._by_name.get(name, 0.0) for name in names)])
        x = np.hstack([np.ones((len(y), 1)), counts(architectures, _LEVEL, names)[0]])
        start = start * agreement(y, x @ start) if before.measurements else start
        folds = folds_of(architectures)
        std = self.relative_std
        if len(np.unique(folds)) >= ENOUGH:
            held = np.empty_like(y)
            for fold in np.unique(folds):
                out = folds == fold
                held[out] = x[out] @ _ridge(x[~out], y[~out], w[~out], start)
            std = scaling(held / y - 1, np.ones_like(y))
        solved = _ridge(x, y, w, start)
        return RegressedTable(names, tuple(map(float, solved[1:])), float(solved[0]), std, len(y))

    def predict(self, architectures: Sequence[Sequence[Part]]) -> tuple[Array, Array]:
        """As `LatencyModel.predict`."""
        require_fit(self.measurements)
        mean = self.bias_ms + counts(architectures, _LEVEL, self.names)[0] @ np.array(self.ms)
        return mean, np.abs(mean) * self.relative_std

    def block_ms(self, block: Part) -> float:
        """As `AdditiveModel.block_ms`."""
        require_fit(self.measurements)
        return self._by_name.get(names_of((block,), _LEVEL)[0], 0.0)


def _ridge(x: Array, y: Array, w: Array, start: Array) -> Array:
    """Bias and costs, shape (columns of x,); the bias is not regularised."""
    from sklearn.linear_model import RidgeCV

    rest = y - x @ start
    if len(y) < 3:  # too few to choose a strength
        mean: Array = start + np.average(rest, weights=w) * np.eye(1, x.shape[1])[0]
        return mean
    fitted = RidgeCV(_STRENGTHS).fit(x[:, 1:], rest, sample_weight=w)
    solved: Array = start + np.array([fitted.intercept_, *fitted.coef_])
    return solved
