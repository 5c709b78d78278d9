# SPDX-License-Identifier: Apache-2.0
"""A Gaussian process whose prior mean is the features' prediction: the most accurate of these models, but not additive.

It is linear in counts of parts like `auto`, plus a Matern 3/2 kernel on the counts for interactions of parts. Because a
network's latency is then not a sum over its parts, a search cannot use it: it is for predicting and ranking.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from edgenas.latency import Array, Part
from edgenas.latency.calibration import scaling
from edgenas.latency.features import FeatureModel
from edgenas.latency.parts import LEVELS, numbers, strings
from edgenas.latency.regression import UNKNOWN_STD, damaged, folds_of, number, observations
from edgenas.latency.residual import Design, prior, process

if TYPE_CHECKING:
    from sklearn.gaussian_process import GaussianProcessRegressor

_ENOUGH = 8  # architectures that can be cross-validated
_MAX_THETA = 50.0  # of a saved model; those that are learnt are within 18
_RELEARN = 100  # up to so many measurements each fold learns hyperparameters anew: else held-out errors are too small


@dataclass(frozen=True, eq=False)
class GaussianProcess:
    """Milliseconds as the features' prediction x (1 + the process).

    design: its columns. rows, targets: of the measured networks, as `Design.rows` gives them, and their relative
    errors, shapes (measurements, columns) and (measurements,). theta: logarithms of hyperparameters. scale: factor on
    the standard deviation that calibrates it, cross-validated. measurements: 0 before `fit`.
    """

    features: FeatureModel = field(default_factory=FeatureModel)
    design: Design = field(default_factory=lambda: Design((), 1.0, tail=True))
    rows: Array = field(default_factory=lambda: np.empty((0, 0)))
    targets: Array = field(default_factory=lambda: np.empty(0))
    theta: tuple[float, ...] = ()
    scale: float = 1.0
    measurements: int = 0

    def fit(
        self,
        architectures: Sequence[Sequence[Part]],
        latency_ms: Sequence[float],
        weights: Sequence[float] | None = None,
    ) -> GaussianProcess:
        """As `LatencyModel.fit`; the features are regularised towards those of this model."""
        y, w = observations(architectures, latency_ms, weights)
        folds = folds_of(architectures)
        if len(np.unique(folds)) < _ENOUGH:
            features = self.features.fit(architectures, y.tolist(), w.tolist())
            return GaussianProcess(features, measurements=len(y))
        features = prior(self.features, architectures, y, w)
        design = Design.of(architectures, float(np.median(y)), tail=True)
        model, kernel = _fitted(features, design, design.kernel(), architectures, y, w, learn=True)
        start = replace(self.features, tile=features.tile)  # not fitted on the rows left out
        held = np.empty((2, len(y)))
        for fold in np.unique(folds):
            out, rest = np.flatnonzero(folds == fold).tolist(), np.flatnonzero(folds != fold).tolist()
            kept = [architectures[i] for i in rest]
            priced = prior(start, kept, y[rest], w[rest], choose_tile=False)
            part, _ = _fitted(priced, design, kernel, kept, y[rest], w[rest], learn=len(y) <= _RELEARN)
            held[:, out] = part.predict([architectures[i] for i in out])
        return replace(model, scale=scaling(held[0] - y, held[1]))

    def predict(self, architectures: Sequence[Sequence[Part]]) -> tuple[Array, Array]:
        """As `LatencyModel.predict`; the standard deviation is larger for networks unlike the measured ones."""
        if self.measurements == 0:
            raise ValueError("a latency model predicts only after fit")
        mean, std = self.features.predict(architectures)
        if not len(self.targets):
            return mean, np.maximum(std, UNKNOWN_STD * mean)
        error, spread = self._process.predict(self.design.rows(architectures, self.features), return_std=True)
        return mean * (1 + error), self.scale * mean * spread

    def to_json(self) -> dict[str, Any]:
        """As `LatencyModel.to_json`: the measured rows, from which the process is made again."""
        return {
            "model": "gp",
            "features": self.features.to_json(),
            "groups": [{"level": level, "names": list(names)} for level, names in self.design.groups],
            "unit_ms": self.design.unit_ms,
            "rows": self.rows.tolist(),
            "targets": self.targets.tolist(),
            "theta": list(self.theta),
            "scale": self.scale,
            "measurements": self.measurements,
        }

    @classmethod
    def from_json(cls, table: Mapping[str, Any], file: str = "latency model") -> GaussianProcess:
        """As `LatencyModel.from_json`."""
        for key, kind in (("features", Mapping), ("groups", list)):
            if not isinstance(table.get(key), kind):
                raise damaged(file, key, table)
        groups = []
        for group in table["groups"]:
            if not isinstance(group, Mapping) or group.get("level") not in LEVELS:
                raise damaged(file, "groups", table)
            groups.append((group["level"], strings(group, "names", file)))
        design = Design(tuple(groups), number(table, "unit_ms", file), tail=True)
        targets = numbers(table, "targets", file, (-1,))
        shape = (len(targets), 1 + sum(design.widths) + design.widths[-1])
        hyper = (len(design.widths) + 3,) if len(targets) else (0,)
        theta = numbers(table, "theta", file, hyper)
        if np.any(np.abs(theta) > _MAX_THETA):
            raise damaged(file, "theta", table)
        return cls(
            features=FeatureModel.from_json(table["features"], file),
            design=design,
            rows=numbers(table, "rows", file, shape) if len(targets) else np.empty((0, 0)),
            targets=targets,
            theta=tuple(map(float, theta)),
            scale=number(table, "scale", file),
            measurements=int(number(table, "measurements", file)),
        )

    @cached_property
    def _process(self) -> GaussianProcessRegressor:
        from edgenas.latency.kernel import regressor

        kernel = self.design.kernel().clone_with_theta(np.array(self.theta))
        return regressor(kernel, self.rows, self.targets)


def _fitted(
    features: FeatureModel,
    design: Design,
    kernel: Any,
    architectures: Sequence[Sequence[Part]],
    y: Array,
    w: Array,
    *,
    learn: bool = False,
) -> tuple[GaussianProcess, Any]:
    mean = features.predict(architectures)[0]
    done = process(kernel, design.rows(architectures, features), y / mean - 1, w, learn=learn)
    theta = tuple(map(float, done.kernel_.theta))
    model = GaussianProcess(features, design, done.X_train_, done.y_train_, theta, measurements=len(y))
    return model, done.kernel_
