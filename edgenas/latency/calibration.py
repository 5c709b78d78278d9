# SPDX-License-Identifier: Apache-2.0
"""Calibration by cross-validation: a model's uncertainty, and its share in a mixture of two models."""

from __future__ import annotations

from math import ceil

import numpy as np

from edgenas.latency import Array

COVERAGE = 0.9
# By public measurements of four boards: without, 82 to 88 % are held after 20 measurements, 84 to 89 % after 100.
_FLATTERED = 4.0
_PRIOR_SHARE, _PRIOR_COUNT = 0.5, 4.0  # of the richer model, and how many measurements that counts for
_NORMAL = 1.6448536  # standard deviations to either side that hold `COVERAGE` of a normal distribution


def scaling(error: Array, std: Array) -> float:
    """The factor on `std` with which mean +- 1.645 std contains nine in ten of the held-out measurements.

    error, std: of measurements that the model was not fitted on, shape (measurements,). Cross-conformal prediction
    (Vovk, 2015); a little more for few measurements, which have had a say in what was learnt before they were left out.
    """
    ratio = np.sort(np.abs(error) / np.maximum(std, 1e-12))
    rank = min(ceil(COVERAGE * (len(ratio) + 1)), len(ratio))
    return float(ratio[rank - 1] / _NORMAL) * (1 + _FLATTERED / len(ratio))


def stacked(plain: Array, rich: Array, w: Array) -> tuple[float, float]:
    """The share of the richer of two models that leaves the least error, drawn towards a half, and that error.

    plain, rich: relative errors of both on measurements that they were not fitted on, shape (measurements,). The error
    is the root of the mean square, weighted by `w` (stacking: Breiman, Machine Learning 24, 1996).
    """
    apart = plain - rich
    best = float(np.sum(w * plain * apart) / (np.sum(w * apart**2) + 1e-30))
    share = (len(w) * np.clip(best, 0.0, 1.0) + _PRIOR_COUNT * _PRIOR_SHARE) / (len(w) + _PRIOR_COUNT)
    return float(share), float(np.sqrt(np.average((plain - share * apart) ** 2, weights=w)))
