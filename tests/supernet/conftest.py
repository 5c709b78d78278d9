# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgenas import tasks
from edgenas.spaces.operators import STAGE_OPERATORS
from edgenas.spaces.space import SearchSpace, StageChoices
from edgenas.tasks.dataset import Dataset, Split


@pytest.fixture(scope="session")
def space() -> SearchSpace:
    """Two stages with every operator, small enough for seconds; some wide stages are over its limit."""
    return SearchSpace(
        name="test",
        stem_strides=(1, 2),
        stem_widths=(4, 8),
        operators=tuple(STAGE_OPERATORS),
        blocks_choices=(1, 2),
        kernels=(3, 5),
        expansions=(2, 3),
        stage_macs_per_pixel=1500,
        depthwise_weight=4,
        stages=(StageChoices(1, (4, 8)), StageChoices(2, (8, 12, 16))),
        templates=(),
        input_shape=(1, 8, 8),
        classes=10,
    )


@pytest.fixture(scope="session")
def digits() -> Dataset:
    """A part of the built-in digits, 8x8."""
    data = tasks.load("digits")

    def first(split: Split, n: int) -> Split:
        return Split(np.ascontiguousarray(split.x[:n]), split.y[:n])

    train, validation, test = first(data.train, 256), first(data.validation, 96), first(data.test, 64)
    return replace(data, train=train, validation=validation, test=test)


@pytest.fixture(scope="session", autouse=True)
def on_one_thread(one_thread: None) -> None:
    """All tests here."""
