"""A loaded data set as one file of plain arrays, for the processes that train on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgenas import resources
from edgenas.tasks.images.load import ImageData, Split

_SPLITS = ("train", "validation", "test")


def save_arrays(data: ImageData, path: Path) -> None:
    """Write `data` to an uncompressed .npz, as a whole or not at all."""
    arrays = {f"{name}_{part}": getattr(getattr(data, name), part) for name in _SPLITS for part in "xy"}
    with resources.writing(path) as part, part.open("wb") as file:
        np.savez(file, labels=np.array(data.labels), name=data.name, fingerprint=data.fingerprint, **arrays)


def load_arrays(path: str | Path) -> ImageData:
    """Read what `save_arrays` wrote."""
    with np.load(path, allow_pickle=False) as file:
        labels = tuple(str(label) for label in file["labels"])
        train, validation, test = (Split(file[f"{name}_x"], file[f"{name}_y"]) for name in _SPLITS)
        return ImageData(str(file["name"]), train, validation, test, labels, str(file["fingerprint"]), ())
