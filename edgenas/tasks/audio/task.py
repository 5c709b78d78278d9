# SPDX-License-Identifier: Apache-2.0
"""Keywords from recordings as a task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from edgenas.tasks.audio.load import load
from edgenas.tasks.classification import Classification
from edgenas.tasks.dataset import Dataset
from edgenas.tasks.task import Settings, Task

if TYPE_CHECKING:
    from torch import Generator, Tensor

# Sounds that are not read as well: what to do about them is for this task to say.
_SOUNDS = (".wav", ".flac", ".mp3", ".ogg", ".m4a", ".opus", ".aiff")


class Audio(Classification):
    """Classes of recordings of a second."""

    value = "feature"

    def recognises(self, kinds: Counter[str]) -> bool:
        """Whether more than half of the files are sounds."""
        return 2 * sum(kinds[suffix] for suffix in _SOUNDS) > sum(kinds.values())

    def load(
        self,
        source: str,
        *,
        seed: int,
        size: int | None,
        group_by: str | None,
        progress: Callable[[int, int], None] | None,
    ) -> Dataset:
        """See `edgenas.tasks.audio.load.load`."""
        return load(source, seed=seed, size=size, group_by=group_by, progress=progress)

    def augmentation(self, input_shape: tuple[int, int, int]) -> Settings:
        """A shift of up to 100 ms, as in MLPerf Tiny, 3 dB, and masks of up to an eighth of the frames and bands."""
        _, frames, bands = input_shape
        return {"shift": 5, "gain_db": 3.0, "mask_frames": frames // 8, "mask_bands": bands // 8}

    def augment(self, batch: Tensor, settings: Settings, generator: Generator) -> Tensor:
        """See `edgenas.tasks.audio.augmentation.augment`."""
        from edgenas.tasks.audio.augmentation import augment

        return augment(batch, settings, generator)


TASK: Task = Audio()
