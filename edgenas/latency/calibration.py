"""Standard deviations that mean what they say: cross-conformal scaling (Vovk, 2015) of a model's own."""

from __future__ import annotations

from math import ceil

import numpy as np

from edgenas.latency import Array

COVERAGE = 0.9
_NORMAL = 1.6448536  # standard deviations to either side that hold `COVERAGE` of a normal distribution


def scaling(error: Array, std: Array) -> float:
    """What `std` is to be multiplied by for mean +- 1.645 std to hold nine in ten of held-out measurements.

    error, std: of measurements that the model was not fitted on, shape (measurements,).
    """
    ratio = np.sort(np.abs(error) / np.maximum(std, 1e-12))
    rank = min(ceil(COVERAGE * (len(ratio) + 1)), len(ratio))
    return float(ratio[rank - 1] / _NORMAL)
