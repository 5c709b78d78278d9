"""Images and labels from an .npz: never unpickled, and every fault named by file and key."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgenas.errors import DataError
from edgenas.tasks.raw import TEST, TRAIN, VALIDATION, Pixels, Raw, listed, shown
from edgenas.tasks.sizes import resized

_Array = npt.NDArray[Any]

_PAIRS = {"x": TRAIN, "x_train": TRAIN, "x_test": TEST, "x_val": VALIDATION}
# What zipfile, zlib and numpy raise on damaged files; MemoryError: a damaged header that claims a huge array.
_DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    RuntimeError,
    ArithmeticError,
    MemoryError,
    SyntaxError,
    TypeError,
    struct.error,
    zlib.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
)


def read_npz(path: Path, size: int | None) -> Raw:
    """The images of `path` as `load` describes them. Raises DataError naming the file and the key."""
    pairs = _pairs(path)
    xs = {key: _images(path, key, x) for key, (x, _) in pairs.items()}
    ys = {key: _labels(path, key.replace("x", "y", 1), y, len(xs[key])) for key, (_, y) in pairs.items()}
    shapes = {x.shape[1:] for x in xs.values()}
    if len(shapes) > 1:
        found = ", ".join(f"{key} {x.shape[1:]}" for key, x in xs.items())
        raise _fault(path, "x_test", f"the parts have different image shapes ({found}): bring them to one")
    kinds = {y.dtype.kind for y in ys.values()}
    if len(kinds) > 1:
        raise _fault(path, "y_test", "some labels are strings and some are integers: use one kind")
    x, notes = _as_uint8(path, xs)
    values, y = np.unique(np.concatenate(list(ys.values())), return_inverse=True)
    part = np.concatenate([np.full(len(images), _PAIRS[key], np.int64) for key, images in xs.items()])
    labels = tuple(str(value) for value in values)
    side = min(x.shape[1:3])
    x, more = resized(path.stem, x, size)
    return Raw(path.stem, x, y.astype(np.int64).reshape(-1), part, labels, notes + more, side)


def _pairs(path: Path) -> dict[str, tuple[_Array, _Array]]:
    try:
        # Opened here because numpy forgets to close a file that turns out to be damaged.
        with path.open("rb") as stream:
            file = np.load(stream, allow_pickle=False)
            return _chosen(path, file)
    except _DAMAGE as error:
        raise _fault(path, None, f"the file is damaged or no .npz ({_why(error)}): save it again") from error


def _chosen(path: Path, file: Any) -> dict[str, tuple[_Array, _Array]]:
    """The images and labels under each key of `_PAIRS` that is there."""
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise _fault(path, None, "the file holds a single array: save x and y with numpy.savez")
    wanted = [key for key in _PAIRS if key in file.files]
    if "x" in wanted and "x_train" in wanted:
        raise _fault(path, "x", "both x and x_train are there: keep one")
    if "x" not in wanted and "x_train" not in wanted:
        found = listed(file.files) or "nothing"
        raise _fault(path, "x", f"neither x nor x_train is there, only {found}: rename the images")
    return {key: (_array(path, file, key), _array(path, file, key.replace("x", "y", 1))) for key in wanted}


def _array(path: Path, file: Any, key: str) -> _Array:
    if key not in file.files:
        raise _fault(path, key, f"{key} is missing, only {listed(file.files)} are there: add the labels")
    try:
        array = file[key]
    except _DAMAGE as error:
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
    if not (x.ndim == 3 or (x.ndim == 4 and x.shape[3] in (1, 3))):
        raise _fault(
            path, key, f"{key} is {x.shape}, images must be (N, H, W), (N, H, W, 1) or (N, H, W, 3): reshape them"
        )
    if 0 in x.shape:
        raise _fault(path, key, f"{key} is {x.shape}, there are no images in it: remove {key} or add images")
    return x if x.ndim == 4 else x[..., np.newaxis]


def _labels(path: Path, key: str, y: _Array, images: int) -> _Array:
    """(N,) of int64 or str."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise _fault(
            path, key, f"{key} is {y.shape}, labels must be (N,): save the class of each image, not one-hot rows"
        )
    if len(y) != images:
        raise _fault(path, key, f"{key} has {len(y)} labels for {images} images: make them equally many")
    if y.dtype.kind == "S":
        y = np.char.decode(y, "utf-8", "replace")
    if y.dtype.kind not in "buiU":
        raise _fault(path, key, f"{key} is {y.dtype}, labels must be integers or strings: convert them")
    return y if y.dtype.kind == "U" else y.astype(np.int64)


def _as_uint8(path: Path, xs: dict[str, _Array]) -> tuple[Pixels, tuple[str, ...]]:
    """All parts behind each other as uint8; the scale is decided once, by the largest value of all."""
    for key, x in xs.items():
        if x.dtype.kind == "f" and not np.isfinite(x).all():
            bad = int(np.count_nonzero(~np.isfinite(x)))
            raise _fault(path, key, f"{key} has {bad} values that are NaN or infinite: remove those images")
    least = min(float(x.min()) for x in xs.values())
    largest = max(float(x.max()) for x in xs.values())
    if least < 0 or largest > 255:
        key = next(key for key, x in xs.items() if x.min() < 0 or x.max() > 255)
        raise _fault(
            path, key, f"{key} has values from {least:g} to {largest:g}, they must be in 0..1 or 0..255: scale them"
        )
    kinds = ", ".join(sorted({str(x.dtype) for x in xs.values()}))
    if largest <= 1:
        scaled = [np.rint(x * np.float32(255)).astype(np.uint8) for x in xs.values()]
        return np.concatenate(scaled), (f"{kinds} values up to {largest:g} taken as 0..1",)
    plain = [x if x.dtype == np.uint8 else np.rint(x).astype(np.uint8) for x in xs.values()]
    return np.concatenate(plain), () if kinds == "uint8" else (f"{kinds} values up to {largest:g} taken as 0..255",)


def _why(error: BaseException) -> str:
    return shown(str(error).splitlines()[0] if str(error) else type(error).__name__)


def _fault(path: Path, key: str | None, what: str) -> DataError:
    return DataError(f"{shown(path)}: {what}", file=str(path), key=key)
