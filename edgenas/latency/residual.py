"""What few features of every layer leave over: a Gaussian process on relative errors, robust to outliers.

Bayesian linear regression on counts of parts, at several levels of detail at once; each level's prior variance
follows from the data (empirical Bayes), so few measurements move prices little, and only where they agree. The
features' own prices are one of these levels: a part unlike its features has drawn them towards itself, and they go back
when it has a price of its own. Phones now and then measure twice the time: measurements far off weigh less, as under
Student's t distribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgenas.latency import Array, Part
from edgenas.latency.features import FEATURES, FeatureModel
from edgenas.latency.parts import Names, counts, vocabulary

if TYPE_CHECKING:
    from sklearn.gaussian_process import GaussianProcessRegressor

    from edgenas.latency.kernel import PartsKernel

_FREEDOM = 3.0  # degrees of, of Student's t distribution
_ROUNDS = 3
_REWEIGHTED = 8  # times: weights have settled, and parts unlike their features have moved others' prices least
_LEARN_ON = 300  # rows: hyperparameters are few, and learning them is cubic in rows
_LEAST_SCALE = 1e-6  # relative error: counts of instructions have none


@dataclass(frozen=True)
class Design:
    """Columns of the regression. groups: level and names. unit_ms: what a price of 1 is. tail: with Matern columns."""

    groups: tuple[tuple[str, Names], ...]
    unit_ms: float
    tail: bool = False

    @staticmethod
    def of(architectures: Sequence[Sequence[Part]], unit_ms: float, tail: bool = False) -> Design:
        """Families, the channels that these read, layers, and identities where these say more than layers."""
        found = {level: vocabulary(architectures, level) for level in ("family", "inputs", "layers", "identity")}
        if len(found["identity"]) == len(found["layers"]):
            del found["identity"]
        return Design(tuple(found.items()), unit_ms, tail)

    @property
    def widths(self) -> tuple[int, ...]:
        """Columns of each group; the bias is the first, the features the second."""
        return (1, len(FEATURES), *(len(names) for _, names in self.groups))

    def kernel(self) -> PartsKernel:
        """The covariance over these columns, its hyperparameters not learnt."""
        from edgenas.latency.kernel import PartsKernel

        return PartsKernel(self.widths, self.widths[-1] if self.tail else 0)

    def rows(self, architectures: Sequence[Sequence[Part]], features: FeatureModel) -> Array:
        """Noise 1, then bias, features' costs and counts relative to `features`' prediction; then the tail.

        Relative to it, so that relative errors are linear in what prices are to change by.
        """
        costs = features.costs(architectures)
        ones, mean_ms = np.ones((len(costs), 1)), costs.sum(axis=1, keepdims=True)
        tables = [counts(architectures, level, names)[0] for level, names in self.groups]
        linear = [self.unit_ms / mean_ms, costs[:, 1:] / mean_ms, *(self.unit_ms * each / mean_ms for each in tables)]
        return np.hstack([ones, *linear, *(tables[-1:] if self.tail else ())])


def outlying(error: Array) -> Array:
    """The factor on each measurement's noise variance under Student's t distribution, given its error."""
    scale = 1.4826 * float(np.median(np.abs(error))) + _LEAST_SCALE
    return 1 + (error / scale) ** 2 / _FREEDOM


def prior(
    features: FeatureModel, architectures: Sequence[Sequence[Part]], y: Array, w: Array, *, choose_tile: bool = True
) -> FeatureModel:
    """Features fitted with outliers weighing less: iteratively reweighted least squares."""
    fit = features.fit if choose_tile else features.refit
    first = robust = fit(architectures, y.tolist(), w.tolist())
    x = first.matrix(architectures)
    for _ in range(_REWEIGHTED):
        error = x @ np.array((robust.bias_ms, *robust.prices)) / y - 1
        weights = w / outlying(error)
        robust = first.priced(x, y, weights / weights.max())
    return robust


def process(kernel: PartsKernel, x: Array, target: Array, w: Array, *, learn: bool = True) -> GaussianProcessRegressor:
    """The Gaussian process of relative errors `target`; `x` as `Design.rows` gives it, `w` the measurements' weights.

    learn: the kernel's hyperparameters too, on at most 300 rows.
    """
    from edgenas.latency.kernel import learnt, regressor

    some = np.random.default_rng(0).permutation(len(x))[:_LEARN_ON]
    x = x.copy()
    x[:, 0] = 1 / w
    for _ in range(_ROUNDS):
        if learn:
            kernel = learnt(kernel, x[some], target[some])
        fitted = regressor(kernel, x, target)
        noiseless = x.copy()
        x[:, 0] = outlying(target - fitted.predict(noiseless)) / w
    return fitted
