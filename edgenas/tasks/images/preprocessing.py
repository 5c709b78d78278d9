# SPDX-License-Identifier: Apache-2.0
"""How a picture becomes the input, as the manifest tells it, in the order of the steps:

source              "files", "npz", "built-in": what the model was trained on; "unknown" if that was not told
exif_orientation    "apply": image files are turned upright first; null where there were no files
jpeg_reduced_to     a JPEG file is decoded at the least of 1, 1/2, 1/4 and 1/8 of its size that keeps both sides at
                    this many pixels or more (Pillow's `Image.draft`); null where there were no files
transparency        "white": it is laid over white; null where there were no files
color               "RGB" or "grayscale": the channels of the input; three of an .npz are taken for red first
gray_from_rgb       how a camera's colour picture becomes gray, in integers (BT.601, Pillow's `convert("L")`): what
                    the model was trained on was gray before; null in RGB
width, height       of the input in pixels
resize              "none": every image had this size, nothing is known of others. "cover": a box in the middle, as
                    large as fits and of the input's ratio of width to height, its edges at fractions of a pixel, is
                    scaled to the input (Pillow's `ImageOps.fit`); an image that has the size stays as it is
resize_filter       "bilinear, antialiased": a triangle as wide as the step between output pixels, at least 1 pixel
                    (Pillow's BILINEAR); null if nothing is resized
resized_from        [width, height] that all images had before; null if their sizes were mixed or nothing is resized
"""

from __future__ import annotations

from typing import Any

from edgenas.tasks.images.source import Source

_GRAY = "(19595 * R + 38470 * G + 7471 * B + 32768) >> 16"


def preprocessing(shape: tuple[int, ...], source: Source) -> dict[str, Any]:
    """How images from `source` became arrays of `shape` (H, W, C)."""
    height, width, channels = shape
    gray, files, sides = channels == 1, source.kind == "files", source.sides
    cover = sides != {(height, width)} and bool(sides)
    return {
        "source": source.kind,
        "exif_orientation": "apply" if files else None,
        "jpeg_reduced_to": 2 * max(height, width) if files else None,
        "transparency": "white" if files else None,
        "color": "grayscale" if gray else "RGB",
        "gray_from_rgb": _GRAY if gray else None,
        "width": width,
        "height": height,
        "resize": "cover" if cover else "none",
        "resize_filter": "bilinear, antialiased" if cover else None,
        "resized_from": next([w, h] for h, w in sides) if cover and len(sides) == 1 else None,
    }
