# SPDX-License-Identifier: Apache-2.0
"""Model inputs from a data set: float32 NHWC in 0..1, the same for training, calibration and golden inputs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgenas.tasks.dataset import Dataset
from edgenas.tasks.raw import Bytes, Ints

Inputs = npt.NDArray[np.float32]


def as_input(x: Bytes) -> Inputs:
    """(..., H, W, C) uint8 as float32 in [0, 1]."""
    return x.astype(np.float32) / np.float32(255)


def calibration(data: Dataset, n: int = 200, *, seed: int = 0) -> Inputs:
    """At most `n` training examples (n, H, W, C) in [0, 1], the classes as evenly as they allow."""
    return as_input(data.train.x[_spread(data.train.y, n, seed)])


def golden(data: Dataset, n: int = 16) -> Inputs:
    """At most `n` test examples (n, H, W, C) in [0, 1], always the same ones, the classes as evenly as they allow."""
    return as_input(data.test.x[_spread(data.test.y, n, seed=0)])


def _spread(y: Ints, n: int, seed: int) -> Ints:
    """At most `n` indices of `y`, class by class in turn, drawn by `seed`."""
    order = np.random.RandomState(seed).permutation(len(y))
    turn = np.empty(len(y), np.int64)
    for label in np.unique(y):
        members = order[y[order] == label]
        turn[members] = np.arange(len(members))
    return order[np.argsort(turn[order], kind="stable")][:n]
