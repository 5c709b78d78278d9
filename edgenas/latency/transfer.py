# SPDX-License-Identifier: Apache-2.0
"""A new board's latency model from a few measurements and the models of other boards.

Few-shot predictors such as HELP (Lee et al., NeurIPS 2021) and OneProxy (Wang et al., SIGMETRICS 2022) also learn from
known devices, but a search needs a sum over parts. This model is a weighted sum of the other boards' models and of a
few features for what no other board explains, fitted by non-negative least squares on relative errors. Each weight is
regularised towards its board's agreement with the measurements, so that boards that agree dominate; units and speeds do
not matter. The sum is mixed with the model of the measurements alone, in the share that predicts held-out
measurements best (stacking: Breiman, Machine Learning 24, 1996), and refused unless the mixture is clearly better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np

from edgenas import latency
from edgenas.latency import AdditiveModel, Array, Part
from edgenas.latency.calibration import stacked
from edgenas.latency.features import FEATURES, FeatureModel
from edgenas.latency.regression import damaged, folds_of, number, observations

LEAST, MOST = 5, 50  # architectures: fewer cannot show whether other boards help, more suffice without them
_RIDGE = 0.01  # weight of the boards' prior against one measurement
_RIDGE_PRICES = 0.03  # the same for the features' costs, which are regularised towards 0
_FOLDS = 5
_MAX_KNOWN = 64  # boards of a saved model
_GAIN = 0.9  # other boards must reduce the error to this part, because few measurements flatter the richer model
_MIN_RELATIVE = 0.05  # lower bound of a prediction, relative to the median, for networks unlike the measured ones


@dataclass(frozen=True)
class Source:
    """Another board's model. weight: the mean part of the new board's latency that it explains."""

    name: str
    model: AdditiveModel
    weight: float = 0.0
    factor: float = 0.0  # milliseconds of the new board for one of the model's


@dataclass(frozen=True)
class TransferModel:
    """Milliseconds as `share` x (prediction by other boards and features) + (1 - share) x prediction by `alone`.

    known: the boards to learn from before `fit`; after it, those with a weight. rest: features beyond them. share: 0
    before `fit` and if the other boards are refused. refused: the reason, else "". error_alone, error_transferred: root
    mean squares of relative errors on held-out measurements; 0 if there are too few. measurements: 0 before `fit`.
    """

    known: tuple[Source, ...] = ()
    alone: AdditiveModel = field(default_factory=lambda: _new_alone())
    rest: FeatureModel = field(default_factory=FeatureModel)
    share: float = 0.0
    refused: str = ""
    error_alone: float = 0.0
    error_transferred: float = 0.0
    measurements: int = 0

    @property
    def bias_ms(self) -> float:
        """As `AdditiveModel.bias_ms`."""
        transferred = self.rest.bias_ms + sum(source.factor * source.model.bias_ms for source in self.known)
        return self.share * transferred + (1 - self.share) * self.alone.bias_ms

    def fit(
        self,
        architectures: Sequence[Sequence[Part]],
        latency_ms: Sequence[float],
        weights: Sequence[float] | None = None,
    ) -> TransferModel:
        """As `LatencyModel.fit`. With fewer than LEAST different architectures, or more than MOST, alone.

        Models fitted on a part of the same measurements start anew: in cross-validation they would flatter `alone`.
        """
        y, w = observations(architectures, latency_ms, weights)
        if 0 < self.measurements <= len(y):
            anew = _new_alone(self.alone.to_json()["model"])
            return TransferModel(self.known, anew, refused=self.refused).fit(architectures, latency_ms, weights)
        alone = self._alone(architectures, y, w)
        different = len({tuple(parts) for parts in architectures})
        if different > MOST or not self.known:
            reason = f"{different} architectures explain the board by themselves" if self.known else self.refused
            return TransferModel((), alone, refused=reason, measurements=len(y))
        if different < LEAST:
            reason = f"{different} architectures are too few to tell whether other boards help: {LEAST} are needed"
            return replace(self, alone=alone, share=0.0, refused=reason, measurements=len(y))
        error_alone, error_combined = self._left_out(architectures, y, w)
        share, error = stacked(error_alone, error_combined, w)
        known, rest = _combined(self.known, architectures, y, w)
        least = float(np.sqrt(np.average(error_alone**2, weights=w)))
        fitted = TransferModel(known, alone, rest, share, "", least, error, len(y))
        if error < _GAIN * least:
            return fitted
        reason = f"measurements left out are predicted within {least:.1%} alone, {error:.1%} with other boards"
        return replace(fitted, known=self.known, rest=FeatureModel(), share=0.0, refused=reason)

    def predict(self, architectures: Sequence[Sequence[Part]]) -> tuple[Array, Array]:
        """As `LatencyModel.predict`."""
        mean, std = self.alone.predict(architectures)
        if not self.share:
            return mean, std
        transferred = self.rest.predict(architectures)[0]
        for source in self.known:
            transferred = transferred + source.factor * source.model.predict(architectures)[0]
        mixed = self.share * transferred + (1 - self.share) * mean
        return mixed, mixed * (std / mean) * (self.error_transferred / max(self.error_alone, 1e-12))

    def block_ms(self, block: Part) -> float:
        """As `AdditiveModel.block_ms`."""
        alone = self.alone.block_ms(block)
        if not self.share:
            return alone
        transferred = self.rest.block_ms(block)
        transferred += sum(source.factor * source.model.block_ms(block) for source in self.known)
        return self.share * transferred + (1 - self.share) * alone

    def provenance(self) -> dict[str, Any]:
        """The boards' weights, or why they were refused, as text for people."""
        if not self.share:
            return {"refused": self.refused}
        weights = {source.name: round(source.weight, 3) for source in self.known}
        errors = {"error_alone": round(self.error_alone, 4), "error": round(self.error_transferred, 4)}
        return {"boards": weights, "share": round(self.share, 3), **errors}

    def to_json(self) -> dict[str, Any]:
        """As `LatencyModel.to_json`."""
        return {
            "model": "transfer",
            "known": [
                {"name": s.name, "weight": s.weight, "factor": s.factor, "latency": s.model.to_json()}
                for s in self.known
            ],
            "alone": self.alone.to_json(),
            "rest": self.rest.to_json(),
            "share": self.share,
            "refused": self.refused,
            "error_alone": self.error_alone,
            "error_transferred": self.error_transferred,
            "measurements": self.measurements,
        }

    @classmethod
    def from_json(cls, table: Mapping[str, Any], file: str = "latency model") -> TransferModel:
        """As `LatencyModel.from_json`."""
        for key, kind in (("known", list), ("alone", Mapping), ("rest", Mapping), ("refused", str)):
            if not isinstance(table.get(key), kind):
                raise damaged(file, key, table)
        if len(table["known"]) > _MAX_KNOWN:
            raise damaged(file, "known", table)
        return cls(
            known=tuple(_source(entry, file) for entry in table["known"]),
            alone=_part(table["alone"], file),
            rest=FeatureModel.from_json(table["rest"], file),
            share=number(table, "share", file),
            refused=table["refused"],
            error_alone=number(table, "error_alone", file),
            error_transferred=number(table, "error_transferred", file),
            measurements=int(number(table, "measurements", file)),
        )

    def _alone(self, architectures: Sequence[Sequence[Part]], y: Array, w: Array) -> AdditiveModel:
        return cast("AdditiveModel", self.alone.fit(architectures, y.tolist(), w.tolist()))

    def _left_out(self, architectures: Sequence[Sequence[Part]], y: Array, w: Array) -> tuple[Array, Array]:
        """Relative errors on held-out architectures, of the model alone and of the combination."""
        folds = folds_of(architectures) % _FOLDS
        alone, combined = np.empty_like(y), np.empty_like(y)
        for fold in np.unique(folds).tolist():
            out, rest = np.flatnonzero(folds == fold).tolist(), np.flatnonzero(folds != fold).tolist()
            left, kept = [architectures[i] for i in out], [architectures[i] for i in rest]
            alone[out] = self._alone(kept, y[rest], w[rest]).predict(left)[0]
            known, prices = _combined(self.known, kept, y[rest], w[rest])
            combined[out] = prices.predict(left)[0]
            for source in known:
                combined[out] += source.factor * source.model.predict(left)[0]
        return alone / y - 1, combined / y - 1


def _combined(
    known: Sequence[Source], architectures: Sequence[Sequence[Part]], y: Array, w: Array
) -> tuple[tuple[Source, ...], FeatureModel]:
    """The boards' factors and the features' costs that explain `y` best; boards without a weight are dropped."""
    from scipy.optimize import nnls

    predicted = np.stack([source.model.predict(architectures)[0] for source in known], axis=1)
    predicted = np.maximum(predicted, _MIN_RELATIVE * np.median(np.abs(predicted), axis=0) + 1e-30)
    factors = np.median(y[:, None] / predicted, axis=0)
    boards = predicted * factors / y[:, None]
    error = np.average((boards - 1) ** 2, axis=0, weights=w)
    agreement = 1 / (error + 1e-6) ** 2
    rest = FeatureModel().fit(architectures, y.tolist(), w.tolist())
    unit = _units(rest)
    features = np.stack([model.predict(architectures)[0] for model in unit], axis=1) / y[:, None]
    size = np.maximum(features.mean(axis=0), 1e-30)
    root = np.sqrt(w)[:, None]
    ridge = np.sqrt(np.repeat([_RIDGE, _RIDGE_PRICES], [len(known), len(unit)]))
    start = np.concatenate([agreement / agreement.sum(), np.zeros(len(unit))])
    left = np.vstack([np.hstack([boards, features / size]) * root, np.diag(ridge)])
    solved = nnls(left, np.concatenate([root[:, 0], ridge * start]))[0]
    share = boards.mean(axis=0) * solved[: len(known)]
    found = [
        replace(source, weight=float(part), factor=float(weight * factor))
        for source, part, weight, factor in zip(known, share, solved, factors, strict=False)
    ]
    bias, *prices = map(float, np.where(size > 1e-30, solved[len(known) :] / size, 0.0))
    return tuple(s for s in found if s.factor > 0), replace(rest, bias_ms=bias, unit_costs=tuple(prices))


def _units(model: FeatureModel) -> list[FeatureModel]:
    """Models with the tile of `model`, each of which counts one quantity: inferences, then each feature."""
    nothing = replace(model, bias_ms=0.0, unit_costs=(0.0,) * len(FEATURES))
    each = (tuple(map(float, row)) for row in np.eye(len(FEATURES)))
    return [replace(nothing, bias_ms=1.0), *(replace(nothing, unit_costs=prices) for prices in each)]


def _new_alone(name: str = latency.DEFAULT) -> AdditiveModel:
    return latency.load_additive(latency.create(name).to_json())


def _part(table: Mapping[str, Any], file: str) -> AdditiveModel:
    """A model that does not refer to others. Raises ProfileError for nested transfer models."""
    if table.get("model") == "transfer":
        raise damaged(file, "model", table)
    return latency.load_additive(table, file)


def _source(table: Any, file: str) -> Source:
    if not (isinstance(table, Mapping) and isinstance(table.get("name"), str)):
        raise damaged(file, "known", {"known": table})
    if not isinstance(table.get("latency"), Mapping):
        raise damaged(file, "latency", table)
    model = _part(table["latency"], file)
    return Source(table["name"], model, number(table, "weight", file), number(table, "factor", file))
