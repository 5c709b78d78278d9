"""What the manifest tells whoever writes the program between a camera and the model: pixels in, classes out.

`preprocessing`, in the order of the steps:

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
    value               "pixel / 255": the real value of a byte, in 0..1
    layout              "NHWC": of the .tflite model; the batch is 1
    dtype               of the .tflite model's input
    quantise            how a real value becomes the input; null for float32. Halves are rounded to the even integer
    scale, zero_point   in that formula; null for float32
    int8_from_pixel     what all this comes to: "pixel - 128"; null if it does not
    onnx                null, or the same for model.onnx: `layout` "NCHW", `dtype` "float32", `value` as above

`postprocessing`, where the labels are `output.labels`:

    values              "logits": one for each class, not normalised
    dequantise          how an integer becomes a logit; null for float32
    scale, zero_point   in that formula; null for float32
    class               "argmax": the label at the place of the largest value, quantised or not
    probabilities       "softmax of the logits"
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgenas.artifacts.artifact import Tensor
from edgenas.conversion import quantised
from edgenas.tasks.images.load import ImageData

_GRAY = "(19595 * R + 38470 * G + 7471 * B + 32768) >> 16"


def preprocessing(data: ImageData, tensor: Tensor, onnx: bool = False) -> dict[str, Any]:
    """How `data` became what `tensor`, the model's input, takes. onnx: there is a model.onnx, too."""
    channels, height, width = data.input_shape
    gray, files, sides = channels == 1, data.source.kind == "files", data.source.sides
    cover = sides != {(height, width)} and bool(sides)
    return {
        "source": data.source.kind,
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
        "value": "pixel / 255",
        "layout": "NHWC",
        "dtype": tensor.dtype,
        **_quantisation("quantise", "clip(round(value / scale) + zero_point, -128, 127)", tensor),
        "int8_from_pixel": _difference(tensor),
        "onnx": {"layout": "NCHW", "dtype": "float32", "value": "pixel / 255"} if onnx else None,
    }


def postprocessing(tensor: Tensor) -> dict[str, Any]:
    """How `tensor`, the model's output, is read."""
    return {
        "values": "logits",
        **_quantisation("dequantise", "(output - zero_point) * scale", tensor),
        "class": "argmax",
        "probabilities": "softmax of the logits",
    }


def _quantisation(name: str, formula: str, tensor: Tensor) -> dict[str, Any]:
    if tensor.dtype == "float32":
        return {name: None, "scale": None, "zero_point": None}
    return {name: formula, "scale": float(tensor.scale), "zero_point": int(tensor.zero_point)}


def _difference(tensor: Tensor) -> str | None:
    """The input as a difference to the pixel, if it is one for all 256 of them."""
    if tensor.dtype != "int8":
        return None
    pixels = np.arange(256)
    inputs = quantised(pixels.astype(np.float32) / np.float32(255), tensor.scale, tensor.zero_point)
    return "pixel - 128" if np.array_equal(inputs, pixels - 128) else None
