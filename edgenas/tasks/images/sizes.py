# SPDX-License-Identifier: Apache-2.0
"""The one size that all images of a set are brought to, and the resizing itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgenas.errors import DataError
from edgenas.tasks.images.source import Pixels
from edgenas.tasks.raw import shown

if TYPE_CHECKING:
    from PIL import Image

LEAST_SIDE = 8  # pixels; the smallest built-in set has it, and a network that halves three times needs it
LARGEST_SIDE = 96  # pixels; what is chosen by itself stays affordable on a small board, more must be asked for
_CUT = 0.25  # of an image left out is worth a word
LARGEST_SIZE = 512  # pixels; what can be asked for


def choose_size(name: str, sides: set[tuple[int, int]], median: float, size: int | None) -> tuple[tuple[int, int], str]:
    """The target (H, W) in pixels for images whose distinct (H, W) are `sides`, and a note ("" if they are kept).

    `median` is the median of the shorter sides over all images. Raises DataError if the images are all of one size that
    is too small.
    """
    if size is not None:
        target = (size, size)
        return target, "" if sides == {
            target
        } else f"images resized to {size}x{size} as asked (centre crop{_cut(sides)})"
    if len(sides) == 1:
        height, width = next(iter(sides))
        if min(height, width) < LEAST_SIDE:
            raise DataError(
                f"images of {shown(name)} are {width}x{height} pixels, at least {LEAST_SIDE} a side are needed: give "
                f"larger images or a size of {LEAST_SIDE} or more",
                width=width,
                height=height,
                limit=LEAST_SIDE,
            )
        if max(height, width) <= LARGEST_SIDE:
            return (height, width), ""
        scale = LARGEST_SIDE / max(height, width)
        new_height, new_width = (max(LEAST_SIDE, round(scale * side)) for side in (height, width))
        return (new_height, new_width), f"images resized from {width}x{height} to {new_width}x{new_height} (w x h)"
    side = min(LARGEST_SIDE, max(LEAST_SIDE, round(median / 8) * 8))
    how = f"shorter side, then centre crop{_cut(sides)}"
    return (side, side), f"mixed sizes ({len(sides)} different): images resized to {side}x{side} ({how})"


def _cut(sides: set[tuple[int, int]]) -> str:
    """How much of the longest image a square leaves out, where that is a quarter or more."""
    most = max(1 - min(side) / max(side) for side in sides)
    return f", which cuts off up to {most:.0%}" if most >= _CUT else ""


def fitted(image: Image.Image, height: int, width: int) -> Image.Image:
    """`image` at exactly `height` x `width` pixels: scaled to cover, the rest cropped evenly on both sides."""
    from PIL import Image, ImageOps

    if image.size == (width, height):
        return image
    # Pillow's bilinear filter widens with the scale when it reduces: this is the antialiasing.
    return ImageOps.fit(image, (width, height), method=Image.Resampling.BILINEAR)


def resized(name: str, x: Pixels, size: int | None) -> tuple[Pixels, tuple[str, ...]]:
    """`x` (N, H, W, C) at the size that `choose_size` gives, and the note about it if it changed."""
    from PIL import Image

    height, width = x.shape[1:3]
    (new_height, new_width), note = choose_size(name, {(height, width)}, min(height, width), size)
    if (new_height, new_width) == (height, width):
        return x, ()
    result = np.empty((len(x), new_height, new_width, x.shape[3]), np.uint8)
    for source, target in zip(x, result, strict=True):
        image = fitted(Image.fromarray(source[:, :, 0] if x.shape[3] == 1 else source), new_height, new_width)
        target[:] = np.asarray(image).reshape(target.shape)
    return result, (note,)
