# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgenas.tasks import load
from edgenas.tasks.batches import _spread, as_input, calibration, golden


def test_as_input() -> None:
    x = as_input(np.array([[[[0], [51], [255]]]], np.uint8))
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x.ravel(), np.array([0, 0.2, 1], np.float32))


def test_calibration_and_golden() -> None:
    data = load("digits")
    inputs = calibration(data)
    assert inputs.shape == (200, 8, 8, 1)
    assert inputs.dtype == np.float32
    assert 0 <= inputs.min() < inputs.max() <= 1
    np.testing.assert_array_equal(inputs, calibration(data))
    assert not np.array_equal(inputs, calibration(data, seed=1))
    assert golden(data).shape == (16, 8, 8, 1)
    assert calibration(data, 10**6).shape[0] == len(data.train)
    train = {image.tobytes() for image in as_input(data.train.x)}
    assert all(image.tobytes() in train for image in inputs)


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(1, 80), st.integers(0, 99))
def test_spread_takes_the_classes_in_turn(labels: list[int], n: int, seed: int) -> None:
    y = np.array(labels)
    picked = _spread(y, n, seed)
    assert len(picked) == len(set(picked.tolist())) == min(n, len(y))
    taken, available = np.bincount(y[picked], minlength=5), np.bincount(y, minlength=5)
    short = taken < available
    if short.any():
        assert taken[short].min() >= taken.max() - 1
