# SPDX-License-Identifier: Apache-2.0
"""What edgenas must know of a kind of data: one Protocol, one folder for each task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from edgenas.tasks.dataset import Dataset
from edgenas.tasks.raw import Ints

if TYPE_CHECKING:
    from torch import Generator, Tensor

Settings = Mapping[str, float]  # of an augmentation, by name: numbers and booleans, as JSON holds them


class Task(Protocol):
    """A kind of data: how it is read, augmented and judged.

    `value` is what one byte of the input is called in the manifest, as in "pixel".
    """

    @property
    def value(self) -> str:
        """What one byte of the input is called."""

    def recognises(self, kinds: Counter[str]) -> bool:
        """Whether a folder with so many files of each suffix (lower case, with the dot) is of this task."""

    def load(
        self,
        source: str,
        *,
        seed: int,
        size: int | None,
        group_by: str | None,
        progress: Callable[[int, int], None] | None,
    ) -> Dataset:
        """Read and split `source`. Raises DataError with one line that says value, limit and next step.

        size: a side that the input shall have. group_by: a regular expression whose first group, in a file's path below
        `source`, names what must be in one part as a whole. `progress(done, total)` counts steps of reading.
        """

    def augmentation(self, input_shape: tuple[int, int, int]) -> Settings:
        """The default settings of `augment` for inputs of (C, H, W)."""

    def augment(self, batch: Tensor, settings: Settings, generator: Generator) -> Tensor:
        """A varied copy of (N, C, H, W) float32 in 0..1; `generator` is the only source of randomness."""

    def loss(self, outputs: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """The scalar loss of outputs (N, classes) for labels (N,); `weights` (classes,) are what a class counts."""

    def right(self, outputs: npt.NDArray[Any], labels: Ints) -> npt.NDArray[np.bool_]:
        """(N,) whether outputs (N, classes), float or quantised, are right: what every accuracy is counted from."""

    def postprocessing(self, dequantise: Mapping[str, Any]) -> dict[str, Any]:
        """How the manifest says the output is read; `dequantise` are the keys of the quantisation."""
