# SPDX-License-Identifier: Apache-2.0
"""The scale of image arrays, decided by type and range: 0..1 or 0..255; whatever fits neither is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgenas.tasks.images.source import Pixels
from edgenas.tasks.raw import counted

_Array = npt.NDArray[Any]

OVERSHOOT = 0.25  # of the scale: so far bicubic resizing and sharpening reach over the edge
_DARK = 128  # a set whose largest value is below this has another scale, or an odd camera
_SAVE = "save uint8 in 0..255 or floats in 0..1"


class UnsuitableError(Exception):
    """An array cannot be used: `key` is its name, `what` the reason and the way out."""

    def __init__(self, key: str, what: str) -> None:
        super().__init__(what)
        self.key, self.what = key, what


@dataclass(frozen=True)
class _Range:
    key: str
    dtype: str
    least: float
    largest: float

    def __str__(self) -> str:
        return f"{self.key} has {self.dtype} values from {self.least:.6g} to {self.largest:.6g}"


def as_uint8(xs: Mapping[str, _Array]) -> tuple[Pixels, tuple[str, ...]]:
    """All parts (N, H, W, C) behind each other as uint8, and notes. Raises UnsuitableError if the scale is not clear.

    The scale is one for all parts, 0..1 or 0..255. Values up to a quarter of it outside are clipped.
    """
    ranges = [_range(key, x) for key, x in xs.items()]
    least, largest = min(r.least for r in ranges), max(r.largest for r in ranges)
    scale = _scale(ranges, least, largest)
    notes = []
    kinds = ", ".join(sorted({r.dtype for r in ranges}))
    if kinds != "uint8" or scale == 1:
        notes.append(f"{kinds} values from {least:.6g} to {largest:.6g} taken as 0..{scale}")
    elif largest < _DARK:
        notes.append(f"uint8 values only up to {largest:.6g} of 255: the images are dark, scale them if that is white")
    if least < 0 or largest > scale:
        outside = sum(int(np.count_nonzero((x < 0) | (x > scale))) for x in xs.values())
        notes.append(f"{counted(outside, 'value')} outside 0..{scale} clipped ({least:.6g} to {largest:.6g})")
    if scale == 255 and (dim := sum(_in_0_1(x) for x in xs.values())):
        notes.append(f"{counted(dim, 'image')} of these in 0..1: black now, bring all images to one scale")
    pixels = np.concatenate([_scaled(x, scale) for x in xs.values()])
    return np.ascontiguousarray(pixels), tuple(notes)


def _range(key: str, x: _Array) -> _Range:
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        bad = int(np.count_nonzero(~np.isfinite(x)))
        raise UnsuitableError(key, f"{key} has {bad} values that are NaN or infinite: remove those images")
    return _Range(key, str(x.dtype), float(x.min()), float(x.max()))


def _scale(ranges: list[_Range], least: float, largest: float) -> int:
    """1 or 255: what white is. Raises UnsuitableError if `least` to `largest` is not clearly one of them."""
    if least >= -OVERSHOOT and largest <= 1 + OVERSHOOT:
        return 1
    widest = max(ranges, key=lambda r: r.largest - r.least)
    plain = all(r.dtype == "uint8" for r in ranges)
    if largest > 255 * (1 + OVERSHOOT):
        raise UnsuitableError(widest.key, f"{widest}, more than 0..255: scale them, {_SAVE}")
    if least < -255 * OVERSHOOT or (least < -OVERSHOOT and largest < _DARK):
        one = widest.least >= -1.05 and widest.largest <= 1.05
        mend = f"save ({widest.key} + 1) / 2" if one else f"undo the normalisation, {_SAVE}"
        raise UnsuitableError(widest.key, f"{widest}, as if normalised: {mend}")
    if largest < _DARK and not plain:
        raise UnsuitableError(widest.key, f"{widest}, which may be 0..1, 0..255 or another scale: {_SAVE}")
    for one_range in ranges:
        if 0 < one_range.largest <= 1 + OVERSHOOT:
            raise UnsuitableError(one_range.key, f"{one_range}, but {widest}: bring them to one scale")
    return 255


def _in_0_1(x: _Array) -> int:
    """How many images have no value above 1 but fractions of it."""
    if x.dtype.kind != "f":
        return 0
    tops = x.reshape(len(x), -1).max(axis=1)
    dim = x[(tops > 0) & (tops <= 1)]
    return int((dim != np.rint(dim)).reshape(len(dim), -1).any(axis=1).sum()) if len(dim) else 0


def _scaled(x: _Array, scale: int) -> Pixels:
    if x.dtype == np.uint8 and scale == 255:
        return x
    pixels: Pixels = np.rint((x if scale == 255 else x * np.float32(255)).clip(0, 255)).astype(np.uint8)
    return pixels
