# SPDX-License-Identifier: Apache-2.0
"""Images and labels from an .npz: never unpickled, and every fault named by file and key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgenas.archives import DAMAGE, ArchiveError, check_arrays, open_archive
from edgenas.errors import DataError
from edgenas.tasks.images.npz_keys import Pair, pairs_of
from edgenas.tasks.images.npz_labels import integers_or_names, label_notes
from edgenas.tasks.images.scale import UnsuitableError, as_uint8
from edgenas.tasks.images.sizes import resized
from edgenas.tasks.images.source import RawImages, Source
from edgenas.tasks.raw import shown

_Array = npt.NDArray[Any]


def read_npz(path: Path, size: int | None) -> RawImages:
    """The images of `path` as `load` describes them. Raises DataError naming the file and the key."""
    pairs, arrays, notes = _read(path)
    xs = {pair.x: _images(path, pair.x, arrays[pair.x]) for pair in pairs}
    try:
        ys = {pair.y: integers_or_names(pair.y, arrays[pair.y], len(xs[pair.x])) for pair in pairs}
        _check_alike(path, xs, ys)
        x, scale_notes = as_uint8(xs)
    except UnsuitableError as error:
        raise _fault(path, error.key, error.what) from error
    values, y = np.unique(np.concatenate([labels for labels, _ in ys.values()]), return_inverse=True)
    part = np.concatenate([np.full(len(xs[pair.x]), pair.part, np.int64) for pair in pairs])
    notes += [note for _, note in ys.values() if note] + label_notes(values)
    source = Source("npz", frozenset({x.shape[1:3]}))
    x, size_notes = resized(path.stem, x, size)
    labels = tuple(str(value) for value in values)
    notes = [*notes, *scale_notes, *size_notes]
    return RawImages(path.stem, x, y.astype(np.int64).reshape(-1), part, labels, tuple(notes), source=source)


def _read(path: Path) -> tuple[list[Pair], dict[str, _Array], list[str]]:
    try:
        # Opened here because numpy forgets to close a file that turns out to be damaged.
        with open_archive(path) as stream:
            if stream.peek(6).startswith(b"\x93NUMPY"):
                raise _fault(path, None, "the file holds a single array: save x and y with numpy.savez")
            file = np.load(stream, allow_pickle=False)
            stream.listed = True
            try:
                pairs, notes = pairs_of(file.files)
                keys = [key for pair in pairs for key in (pair.x, pair.y)]
                check_arrays(file.zip, keys)
            except (UnsuitableError, ArchiveError) as error:
                raise _fault(path, error.key, error.what) from error
            return pairs, {key: _array(path, file, key) for key in keys}, notes
    except DAMAGE as error:
        raise _fault(path, None, f"the file is damaged or no .npz ({_why(error)}): save it again") from error


def _array(path: Path, file: Any, key: str) -> _Array:
    try:
        array = file[key]
    except DAMAGE as error:
        raise _fault(
            path, key, f"{key} is damaged or pickled ({_why(error)}): save it again as a plain array"
        ) from error
    if not isinstance(array, np.ndarray):  # an entry of the zip file that is no .npy
        raise _fault(path, key, f"{key} is no array: save it with numpy.savez")
    return array


def _images(path: Path, key: str, x: _Array) -> _Array:
    """(N, H, W, C) with C 1 or 3, values not looked at yet."""
    if x.dtype.kind not in "buif":
        raise _fault(path, key, f"{key} is {x.dtype}, images must be uint8 or float: convert them")
    if x.ndim == 4 and x.shape[3] not in (1, 3) and x.shape[1] in (1, 3):
        raise _fault(path, key, f"{key} is {x.shape}, channels first: save it as {key}.transpose(0, 2, 3, 1)")
    if x.ndim == 4 and x.shape[2] in (1, 3) and x.shape[3] not in (1, 3, 4):
        raise _fault(path, key, f"{key} is {x.shape}, images last: save it as {key}.transpose(3, 0, 1, 2)")
    if not (x.ndim == 3 or (x.ndim == 4 and x.shape[3] in (1, 3))):
        mend = f"save {key}[..., :3]" if x.ndim == 4 and x.shape[3] == 4 else "reshape them"
        raise _fault(path, key, f"{key} is {x.shape}, images must be (N, H, W), (N, H, W, 1) or (N, H, W, 3): {mend}")
    if 0 in x.shape:
        raise _fault(path, key, f"{key} is {x.shape}, there are no images in it: remove {key} or add images")
    return x if x.ndim == 4 else x[..., np.newaxis]


def _check_alike(path: Path, xs: dict[str, _Array], ys: dict[str, tuple[_Array, str]]) -> None:
    """Raise DataError unless the parts have images of one shape and labels of one kind."""
    if len({x.shape[1:] for x in xs.values()}) > 1:
        found = ", ".join(f"{key} {x.shape[1:]}" for key, x in xs.items())
        raise _fault(path, list(xs)[1], f"the parts have different image shapes ({found}): bring them to one")
    if len({y.dtype.kind for y, _ in ys.values()}) > 1:
        raise _fault(path, list(ys)[1], "some labels are strings and some are integers: use one kind")


def _why(error: BaseException) -> str:
    return shown(str(error).splitlines()[0] if str(error) else type(error).__name__)


def _fault(path: Path, key: str | None, what: str) -> DataError:
    return DataError(f"{shown(path)}: {what}", file=str(path), key=key)
