# SPDX-License-Identifier: Apache-2.0
"""The labels of an .npz: integers or names, whatever form they were saved in."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edgenas.tasks.images.scale import UnsuitableError
from edgenas.tasks.names import name_notes
from edgenas.tasks.raw import cut, listed

_Array = npt.NDArray[Any]


def integers_or_names(key: str, y: _Array, images: int) -> tuple[_Array, str]:
    """(N,) of int64 or str, and a note ("" if they were saved like this). Raises UnsuitableError."""
    note = ""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim == 2 and y.dtype.kind in "buif" and len(y) == images:
        y, note = _of_one_hot(key, y)
    if y.ndim != 1:
        raise UnsuitableError(key, f"{key} is {y.shape}, labels must be (N,): save the class of each image")
    if len(y) != images:
        raise UnsuitableError(key, f"{key} has {len(y)} labels for {images} images: make them equally many")
    if y.dtype.kind == "S":
        y = np.char.decode(y, "utf-8", "replace")
    if y.dtype.kind == "f" and np.isfinite(y).all() and (y == np.rint(y)).all():
        y, note = y.astype(np.int64), f"{key} is {y.dtype}, every value whole: taken as integers"
    if y.dtype.kind not in "buiU":
        raise UnsuitableError(key, f"{key} is {y.dtype}, labels must be integers or strings: convert them")
    return (y if y.dtype.kind == "U" else y.astype(np.int64)), note


def label_notes(values: _Array) -> list[str]:
    """Sentences about names, and integers that are not the numbers of the outputs; `values` (C,) are sorted."""
    if values.dtype.kind == "U":
        return name_notes(values.tolist())
    if list(values) == list(range(len(values))):
        return []
    there = listed([cut(value) for value in values], 6)
    return [f"labels are not 0 to {len(values) - 1} but {there}: outputs are in this order, labels keep these names"]


def _of_one_hot(key: str, y: _Array) -> tuple[_Array, str]:
    if not (((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all()):
        raise UnsuitableError(
            key, f"{key} is {y.shape} and not one-hot, labels must be (N,): save the class of each image"
        )
    return y.argmax(axis=1), f"{key} is one-hot: taken as the classes 0 to {y.shape[1] - 1}"
