# SPDX-License-Identifier: Apache-2.0
"""A Gaussian process on the relative errors of the feature model, robust to outliers.

This is Bayesian linear regression on counts of parts, at several levels of detail at once. The prior variance of each
level is estimated from the data (empirical Bayes), so that few measurements change little, and only where they agree.
The unit costs of the features are one of the levels: a part that its features describe badly has biased them, and they
recover once the part has a term of its own. Phones occasionally measure twice the usual time, so outliers weigh less,
as under Student's t distribution.
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

_FREEDOM = 3.0  # degrees of freedom of Student's t distribution
_ROUNDS = 3
_REWEIGHTED = 8  # rounds of reweighting, after which the weights have converged
_LEARN_ON = 300  # rows: there are few hyperparameters, and the time to learn them is cubic in rows
_MIN_SCALE = 1e-6  # of relative errors, because counts of instructions have no noise


@dataclass(frozen=True)
class Design:
    """Columns of the regression. groups: level and names. unit_ms: ms of a term of 1. tail: with Matern columns."""

    groups: tuple[tuple[str, Names], ...]
    unit_ms: float
    tail: bool = False

    @staticmethod
    def of(architectures: Sequence[Sequence[Part]], unit_ms: float, tail: bool = False) -> Design:
        """The levels family, inputs and layers, and identity if it distinguishes more parts than layers do."""
        found = {level: vocabulary(architectures, level) for level in ("family", "inputs", "layers", "identity")}
        if len(found["identity"]) == len(found["layers"]):
            del found["identity"]
        return Design(tuple(found.items()), unit_ms, tail)

    @property
    def widths(self) -> tuple[int, ...]:
        """The number of columns of each group; the first group is the bias, the second the features."""
        return (1, len(FEATURES), *(len(names) for _, names in self.groups))

    def kernel(self) -> PartsKernel:
        """The covariance over these columns with hyperparameters before learning."""
        from edgenas.latency.kernel import PartsKernel

        return PartsKernel(self.widths, self.widths[-1] if self.tail else 0)

    def rows(self, architectures: Sequence[Sequence[Part]], features: FeatureModel) -> Array:
        """Columns: noise (1), bias, costs of features, counts of parts, then the tail; one row for each architecture.

        All but noise and tail are divided by the prediction of `features`: relative errors are linear in them.
        """
        costs = features.costs(architectures)
        ones, mean_ms = np.ones((len(costs), 1)), costs.sum(axis=1, keepdims=True)
        tables = [counts(architectures, level, names)[0] for level, names in self.groups]
        linear = [self.unit_ms / mean_ms, costs[:, 1:] / mean_ms, *(self.unit_ms * each / mean_ms for each in tables)]
        return np.hstack([ones, *linear, *(tables[-1:] if self.tail else ())])


def outlying(error: Array) -> Array:
    """The factor on each measurement's noise variance under Student's t distribution, given its error."""
    scale = 1.4826 * float(np.median(np.abs(error))) + _MIN_SCALE
    return 1 + (error / scale) ** 2 / _FREEDOM


def prior(
    features: FeatureModel, architectures: Sequence[Sequence[Part]], y: Array, w: Array, *, choose_tile: bool = True
) -> FeatureModel:
    """Features fitted by iteratively reweighted least squares, in which outliers weigh less."""
    fit = features.fit if choose_tile else features.refit
    first = robust = fit(architectures, y.tolist(), w.tolist())
    x = first.matrix(architectures)
    for _ in range(_REWEIGHTED):
        error = x @ np.array((robust.bias_ms, *robust.unit_costs)) / y - 1
        weights = w / outlying(error)
        robust = first.priced(x, y, weights / weights.max())
    return robust


def process(kernel: PartsKernel, x: Array, target: Array, w: Array, *, learn: bool = True) -> GaussianProcessRegressor:
    """The Gaussian process of relative errors `target`; `x` as `Design.rows` gives it, `w` the measurements' weights.

    learn: whether to learn the kernel's hyperparameters, on at most 300 rows.
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
