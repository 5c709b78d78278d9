# SPDX-License-Identifier: Apache-2.0
"""Image classification as a task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from edgenas.tasks.classification import Classification
from edgenas.tasks.dataset import Dataset
from edgenas.tasks.images.load import load
from edgenas.tasks.task import Settings, Task

if TYPE_CHECKING:
    from torch import Generator, Tensor


class Images(Classification):
    """Classes of images."""

    value = "pixel"

    def recognises(self, kinds: Counter[str]) -> bool:
        """Always: what is no image is told by the reader, which knows what may be mended."""
        return True

    def load(
        self,
        source: str,
        *,
        seed: int,
        size: int | None,
        group_by: str | None,
        progress: Callable[[int, int], None] | None,
    ) -> Dataset:
        """See `edgenas.tasks.images.load.load`."""
        return load(source, seed=seed, size=size, group_by=group_by, progress=progress)

    def augmentation(self, input_shape: tuple[int, int, int]) -> Settings:
        """Colour images are mirrored (letters and digits must not be); crops move by an eighth of the image.

        That is 4 pixels for 32x32, 1 for 8x8. No cutout: it costs accuracy in runs this short.
        """
        channels, height, width = input_shape
        return {"flip": channels == 3, "crop": max(1, min(height, width) // 8)}

    def augment(self, batch: Tensor, settings: Settings, generator: Generator) -> Tensor:
        """See `edgenas.tasks.images.augmentation.augment`."""
        from edgenas.tasks.images.augmentation import augment

        return augment(batch, settings, generator)


TASK: Task = Images()
