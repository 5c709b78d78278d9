# SPDX-License-Identifier: Apache-2.0
"""Unit costs from measured networks: non-negative least squares on relative errors, regularised towards a start."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenas.errors import ProfileError
from edgenas.latency import Array, Part

Indices = NDArray[np.int64]
Solve = Callable[[Array, Array, Array, Array], Array]

UNKNOWN_STD = 0.3  # relative standard deviation while there are too few measurements to cross-validate
MAX_NUMBER = 1e18  # of a saved model: sums of products of two stay finite; milliseconds and their shares are far below
RIDGE = 0.03  # weight of the start against one measurement, so that it decides only where measurements do not
_FOLDS = 10


def observations(
    architectures: Sequence[Sequence[Part]], latency_ms: Sequence[float], weights: Sequence[float] | None
) -> tuple[Array, Array]:
    """Latencies and weights (the largest is 1) as arrays. Raises ValueError as `LatencyModel.fit` does."""
    y = np.asarray(latency_ms, dtype=np.float64)
    w = np.ones_like(y) if weights is None else np.asarray(weights, dtype=np.float64)
    if len(y) == 0 or len(y) != len(architectures) or len(w) != len(y):
        raise ValueError(f"{len(architectures)} architectures, {len(y)} latencies, {len(w)} weights")
    if not np.all(np.isfinite(y) & (y > 0)) or not np.all(np.isfinite(w) & (w > 0)):
        raise ValueError("latencies and weights must be positive")
    return y, w / w.max()


def solve(x: Array, y: Array, w: Array, start: Array, ridge: float = RIDGE, least: float = 0.0) -> Array:
    """Unit costs >= 0 that minimise weighted squared relative errors + `ridge` x the squared distance from `start`.

    The start is scaled to the data first. The distance is in shares of the latency, so that features of any unit weigh
    alike. A feature that does not occur in `x` keeps its scaled start. A feature whose share of the latency, by its
    start, is below `least` counts as if its share were `least`.
    """
    from scipy.optimize import nnls

    start = start * agreement(y, x @ start)
    relative = x / y[:, None]
    share = relative.mean(axis=0)
    share[share == 0] = 1 / (start[share == 0] + 1e-30)
    share = np.where(start > 0, np.maximum(share, least / np.maximum(start, 1e-30)), share) if least else share
    root = np.sqrt(w)
    left = np.vstack([relative / share * root[:, None], np.sqrt(ridge) * np.eye(x.shape[1])])
    right = np.concatenate([root, np.sqrt(ridge) * start * share])
    solved: Array = nnls(left, right)[0] / share
    return solved


def agreement(y: Array, predicted: Array) -> float:
    """The factor that scales `predicted` to `y`: the median ratio where the prediction is positive, 1 if it never is.

    An imported profile may predict 0 for everything that was measured here.
    """
    priced = predicted > 0
    return float(np.median(y[priced] / predicted[priced])) if priced.any() else 1.0


def folds_of(architectures: Sequence[Sequence[Part]]) -> Indices:
    """The fold of each row, one of at most ten; repeated measurements of one architecture share a fold."""
    known: dict[tuple[Part, ...], int] = {}
    group = [known.setdefault(tuple(blocks), len(known)) for blocks in architectures]
    shuffled = np.random.default_rng(0).permutation(len(known))
    folds: Indices = shuffled[group] % _FOLDS
    return folds


def cross_validate(x: Array, y: Array, w: Array, start: Array, folds: Indices, by: Solve = solve) -> float:
    """Weighted root mean square of the relative error on rows left out; `UNKNOWN_STD` with fewer than two folds."""
    numbers = np.unique(folds)
    if len(numbers) < 2:
        return UNKNOWN_STD
    error = np.empty_like(y)
    for number in numbers:
        out = folds == number
        error[out] = x[out] @ by(x[~out], y[~out], w[~out], start) / y[out] - 1
    return float(np.sqrt(np.average(error**2, weights=w)))


def require_fit(measurements: int) -> None:
    """Raise ValueError for a model that has seen no measurements."""
    if measurements == 0:
        raise ValueError("a latency model predicts only after fit")


def number(table: Mapping[str, Any], key: str, file: str) -> float:
    """`table[key]`, a number from 0 to `MAX_NUMBER`. Raises ProfileError naming `file` and `key`."""
    value = table.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_NUMBER:
        raise damaged(file, key, table)
    return float(value)


def damaged(file: str, key: str, table: Mapping[str, Any]) -> ProfileError:
    """The error to raise for a value of a profile that is missing or wrong."""
    reason = f"is {table[key]!r:.60}, which is no such value" if key in table else "is missing"
    message = f"{file}: key {key!r} {reason}; delete it and run `edgenas profile` to measure again"
    return ProfileError(message, file=file, key=key)
