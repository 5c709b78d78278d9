# SPDX-License-Identifier: Apache-2.0
"""The default model: features of every layer, corrected by residual terms of parts once there are measurements.

The unit costs of features (`features.py`) generalise to parts that were never measured. Residual terms (`residual.py`)
add what the features miss of a part, learnt from the networks that contain it. Cross-validation chooses the share of
the terms. On the FBNet space of a Xeon, after 300 networks, features alone err by 3.2 %, with terms by 2.0 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from edgenas.latency import Array, Part
from edgenas.latency.calibration import scaling, stacked
from edgenas.latency.features import FeatureModel
from edgenas.latency.parts import LEVELS, Names, counts, names_of, numbers, strings
from edgenas.latency.regression import UNKNOWN_STD, agreement, damaged, folds_of, number, observations, require_fit
from edgenas.latency.residual import Design, prior, process

if TYPE_CHECKING:
    from edgenas.latency.kernel import PartsKernel

_ENOUGH = 8  # architectures that can be cross-validated
_MIN_REST = 0.1  # features are fitted on at least this share of a latency, however large older terms are


@dataclass(frozen=True)
class ResidualTerms:
    """Milliseconds of each part, at one of LEVELS, beyond the prediction by features.

    ms, std_ms: of each of `names`. other_std_ms: of any other part, whose term is 0.
    """

    level: str
    names: Names
    ms: tuple[float, ...]
    std_ms: tuple[float, ...]
    other_std_ms: float

    @staticmethod
    def of(level: str, known: Mapping[str, tuple[float, float]], other_std_ms: float) -> ResidualTerms:
        """The terms of a table from name to milliseconds and their standard deviation."""
        ms, std_ms = (tuple(pair[i] for pair in known.values()) for i in (0, 1))
        return ResidualTerms(level, tuple(known), ms, std_ms, other_std_ms)

    def scaled(self, factor: float) -> ResidualTerms:
        """The terms and their standard deviations multiplied by `factor`."""
        ms, std_ms = (tuple(factor * one for one in each) for each in (self.ms, self.std_ms))
        return replace(self, ms=ms, std_ms=std_ms, other_std_ms=factor * self.other_std_ms)

    @cached_property
    def _by_name(self) -> dict[str, float]:
        return dict(zip(self.names, self.ms, strict=True))

    def of_part(self, part: Part) -> float:
        """Milliseconds of a part."""
        return self._by_name.get(names_of((part,), self.level)[0], 0.0)

    def sums(self, architectures: Sequence[Sequence[Part]]) -> tuple[Array, Array]:
        """Each architecture's sum in milliseconds, and its variance."""
        table, others = counts(architectures, self.level, self.names)
        return table @ np.array(self.ms), table**2 @ np.array(self.std_ms) ** 2 + others * self.other_std_ms**2


@dataclass(frozen=True)
class AutoModel:
    """Milliseconds as `bias_ms` + sum over parts of the predictions by features and by residual terms.

    offset_ms: the terms' own bias. relative_std: of a measurement, without the terms' uncertainty. scale: factor on the
    predicted standard deviation that calibrates it, cross-validated. measurements: 0 before `fit`.
    """

    features: FeatureModel = field(default_factory=FeatureModel)
    terms: tuple[ResidualTerms, ...] = ()
    offset_ms: float = 0.0
    relative_std: float = UNKNOWN_STD
    scale: float = 1.0
    measurements: int = 0

    @property
    def bias_ms(self) -> float:
        """As `AdditiveModel.bias_ms`."""
        return self.features.bias_ms + self.offset_ms

    def fit(
        self,
        architectures: Sequence[Sequence[Part]],
        latency_ms: Sequence[float],
        weights: Sequence[float] | None = None,
    ) -> AutoModel:
        """As `LatencyModel.fit`. Relative errors are minimised, so small networks count as much as large ones.

        If this model was fitted on more measurements than are given here, the new terms start from its terms. Otherwise
        its terms come from a part of the same measurements and are dropped.
        """
        y, w = observations(architectures, latency_ms, weights)
        folds = folds_of(architectures)
        old = self._rescaled(architectures, y) if self.measurements > len(y) else AutoModel(self.features)
        if len(np.unique(folds)) < _ENOUGH:
            return old._few(architectures, y, w)
        robust = prior(self.features, architectures, y, w)
        design = Design.of(architectures, float(np.median(y)))
        new, kernel = _with_terms(robust, old, design, design.kernel(), architectures, y, w, learn=True)
        start = replace(self.features, tile=robust.tile)  # unit costs that were not fitted on the rows left out
        alone, held, std = np.empty((3, len(y)))
        for fold in np.unique(folds):
            out, rest = np.flatnonzero(folds == fold).tolist(), np.flatnonzero(folds != fold).tolist()
            left, kept = [architectures[i] for i in out], [architectures[i] for i in rest]
            priced = prior(start, kept, y[rest], w[rest], choose_tile=False)
            alone[out] = priced.predict(left)[0]
            held[out], std[out] = _with_terms(priced, old, design, kernel, kept, y[rest], w[rest])[0].predict(left)
        share, _ = stacked(alone / y - 1, held / y - 1, w)
        return replace(new._shared(share, robust), scale=scaling(alone + share * (held - alone) - y, std))

    def predict(self, architectures: Sequence[Sequence[Part]]) -> tuple[Array, Array]:
        """As `LatencyModel.predict`; the standard deviation is larger for parts that were seldom or never measured."""
        require_fit(self.measurements)
        mean = self.features.predict(architectures)[0] + self.offset_ms
        variance = np.zeros_like(mean)
        for terms in self.terms:
            ms, of_terms = terms.sums(architectures)
            mean, variance = mean + ms, variance + of_terms
        return mean, self.scale * np.sqrt((self.relative_std * mean) ** 2 + variance)

    def block_ms(self, block: Part) -> float:
        """As `AdditiveModel.block_ms`. For thousands of parts `predict`, with one part a row, is faster."""
        require_fit(self.measurements)
        return self.features.block_ms(block) + sum(terms.of_part(block) for terms in self.terms)

    def to_json(self) -> dict[str, Any]:
        """As `LatencyModel.to_json`."""
        return {
            "model": "auto",
            "features": self.features.to_json(),
            "terms": [
                {
                    "level": terms.level,
                    "other_std_ms": terms.other_std_ms,
                    "names": list(terms.names),
                    "ms": list(terms.ms),
                    "std_ms": list(terms.std_ms),
                }
                for terms in self.terms
            ],
            "offset_ms": self.offset_ms,
            "relative_std": self.relative_std,
            "scale": self.scale,
            "measurements": self.measurements,
        }

    @classmethod
    def from_json(cls, table: Mapping[str, Any], file: str = "latency model") -> AutoModel:
        """As `LatencyModel.from_json`."""
        for key, kind in (("features", Mapping), ("terms", list)):
            if not isinstance(table.get(key), kind):
                raise damaged(file, key, table)
        if len(table["terms"]) > len(LEVELS):
            raise damaged(file, "terms", table)
        return cls(
            features=FeatureModel.from_json(table["features"], file),
            terms=tuple(_read(terms, file) for terms in table["terms"]),
            offset_ms=float(numbers(table, "offset_ms", file, ())),
            relative_std=number(table, "relative_std", file),
            scale=number(table, "scale", file),
            measurements=int(number(table, "measurements", file)),
        )

    def _rescaled(self, architectures: Sequence[Sequence[Part]], y: Array) -> AutoModel:
        """This model scaled to the given measurements, which may be of another board or at another clock."""
        factor = agreement(y, self.predict(architectures)[0])
        return replace(
            self,
            offset_ms=factor * self.offset_ms,
            terms=tuple(terms.scaled(factor) for terms in self.terms),
        )

    def _shared(self, share: float, rest: FeatureModel) -> AutoModel:
        """The weighted mean of this model (`share`) and of `rest` (1 - share), features of the same tile."""
        terms = tuple(one.scaled(share) for one in self.terms)
        return replace(self, features=self.features.mixed(rest, share), terms=terms, offset_ms=share * self.offset_ms)

    def _few(self, architectures: Sequence[Sequence[Part]], y: Array, w: Array) -> AutoModel:
        """The model after few measurements: only the features are fitted, the terms stay as they are."""
        rest = np.maximum(y - self._beyond(architectures), _MIN_REST * y)
        features = self.features.fit(architectures, rest.tolist(), w.tolist())
        std = max(self.relative_std, features.relative_std)
        return replace(self, features=features, relative_std=std, measurements=len(y))

    def _beyond(self, architectures: Sequence[Sequence[Part]]) -> Array:
        """Milliseconds that the terms add to the prediction by features, shape (architectures,)."""
        found = np.full(len(architectures), self.offset_ms)
        for terms in self.terms:
            found += terms.sums(architectures)[0]
        return found


def _with_terms(
    features: FeatureModel,
    old: AutoModel,
    design: Design,
    kernel: PartsKernel,
    architectures: Sequence[Sequence[Part]],
    y: Array,
    w: Array,
    *,
    learn: bool = False,
) -> tuple[AutoModel, PartsKernel]:
    """A model of corrected `features` and new terms on top of those of `old`, and the kernel that was fitted."""
    from scipy.linalg import solve_triangular

    mean = features.predict(architectures)[0]
    x = design.rows(architectures, features)
    fitted = process(kernel, x, (y - mean - old._beyond(architectures)) / mean, w, learn=learn)
    variance = np.exp(fitted.kernel_.theta)
    bias, corrections, *others = fitted.kernel_.groups()
    offset = old.offset_ms + design.unit_ms * float((variance[0] * (x[:, bias].T @ fitted.alpha_))[0])
    corrected = features.corrected(variance[1] * (x[:, corrections].T @ fitted.alpha_))
    terms = []
    for v, columns, (level, names) in zip(variance[2:], others, design.groups, strict=False):
        prices = v * (x[:, columns].T @ fitted.alpha_)
        explained = v**2 * np.sum(solve_triangular(fitted.L_, x[:, columns], lower=True) ** 2, axis=0)
        std = np.sqrt(np.maximum(v - explained, 0.0))
        known = {
            name: (design.unit_ms * float(a), design.unit_ms * float(b))
            for name, a, b in zip(names, prices, std, strict=True)
        }
        before = next((terms for terms in old.terms if terms.level == level), None)
        terms.append(_merged(before, ResidualTerms.of(level, known, design.unit_ms * float(np.sqrt(v)))))
    noise = float(np.sqrt(variance[len(design.widths)]))
    return AutoModel(corrected, tuple(terms), offset, noise, 1.0, len(y)), fitted.kernel_


def _merged(before: ResidualTerms | None, new: ResidualTerms) -> ResidualTerms:
    """The sum of both; a part without a new term keeps its old one."""
    if before is None:
        return new
    known = dict(zip(new.names, zip(new.ms, new.std_ms, strict=True), strict=True))
    for name, ms, std in zip(before.names, before.ms, before.std_ms, strict=True):
        found = known.get(name)
        known[name] = (ms, std) if found is None else (ms + found[0], found[1])
    return ResidualTerms.of(new.level, known, new.other_std_ms)


def _read(table: Mapping[str, Any], file: str) -> ResidualTerms:
    if not isinstance(table, Mapping) or table.get("level") not in LEVELS:
        raise damaged(file, "level", table if isinstance(table, Mapping) else {})
    names = strings(table, "names", file)
    ms, std_ms = (tuple(map(float, numbers(table, key, file, (len(names),)))) for key in ("ms", "std_ms"))
    return ResidualTerms(table["level"], names, ms, std_ms, number(table, "other_std_ms", file))
