# SPDX-License-Identifier: Apache-2.0
"""A part of the built-in digits, and networks that learn it in seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgenas import tasks
from edgenas.spaces.space import SearchSpace
from edgenas.tasks.arrays import save_arrays
from edgenas.tasks.dataset import Dataset, Split
from edgenas.training import Job, Recipe

SMALL = "stem-8s2/plain-8x1/residual-16x1/separable-32x1k3"

Jobs = Callable[..., Job]


@pytest.fixture(scope="session", autouse=True)
def on_one_thread(one_thread: None) -> None:
    """All tests here, as the training processes."""


@pytest.fixture(scope="session")
def digits() -> Dataset:
    """All digits, 8x8."""
    return tasks.load("digits")


@pytest.fixture(scope="session")
def few(digits: Dataset) -> Dataset:
    """A few digits: an epoch takes a moment."""

    def first(split: Split, n: int) -> Split:
        return Split(np.ascontiguousarray(split.x[:n]), split.y[:n])

    parts = first(digits.train, 200), first(digits.validation, 60), first(digits.test, 60)
    return replace(digits, train=parts[0], validation=parts[1], test=parts[2])


@pytest.fixture(scope="session")
def space(digits: Dataset) -> SearchSpace:
    return SearchSpace.load("tiny", digits.input_shape, digits.classes)


@pytest.fixture(scope="session")
def arrays(few: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The few digits as the file that training processes read."""
    path = tmp_path_factory.mktemp("arrays") / "few.npz"
    save_arrays(few, path)
    return path


@pytest.fixture
def job(tmp_path: Path) -> Jobs:
    """`job(until=2, epochs=4, seed=0, name="a")`: its checkpoint is in the test's own folder, named after the job."""

    def make(until: int = 2, epochs: int = 4, seed: int = 0, name: str = "a", flip: bool = False) -> Job:
        recipe = Recipe(epochs, {"flip": flip, "crop": 1}, batch=32)
        return Job(name, SMALL, recipe, until, seed, str(tmp_path / f"{name}.pt"))

    return make
