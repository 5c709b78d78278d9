# SPDX-License-Identifier: Apache-2.0
"""A loaded data set as one file of plain arrays, for the processes that train on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgenas import resources
from edgenas.tasks.dataset import Dataset, InputSpec, Split

_SPLITS = ("train", "validation", "test")
_TEXTS = ("name", "fingerprint", "task")


def save_arrays(data: Dataset, path: Path) -> None:
    """Write `data` to an uncompressed .npz, as a whole or not at all."""
    arrays = {f"{name}_{part}": getattr(getattr(data, name), part) for name in _SPLITS for part in "xy"}
    with resources.writing(path) as part, part.open("wb") as file:
        texts = {name: getattr(data, name) for name in _TEXTS}
        np.savez(file, labels=np.array(data.labels), axes=np.array(data.spec.axes), **texts, **arrays)


def load_arrays(path: str | Path) -> Dataset:
    """Read what `save_arrays` wrote."""
    with np.load(path, allow_pickle=False) as file:
        labels = tuple(str(label) for label in file["labels"])
        train, validation, test = (Split(file[f"{name}_x"], file[f"{name}_y"]) for name in _SPLITS)
        name, fingerprint, task = (str(file[key]) for key in _TEXTS)
        spec = InputSpec(tuple(str(axis) for axis in file["axes"]))  # type: ignore[arg-type]  # three of them
        return Dataset(name, train, validation, test, labels, fingerprint, (), task, spec)
