# SPDX-License-Identifier: Apache-2.0
"""What the manifest tells whoever writes the program between a sensor and the model: bytes in, classes out.

`preprocessing`, in the order of the steps:

    ...                 the steps of the task, from its source to a byte (`edgenas.tasks.images.preprocessing`,
                        `edgenas.tasks.audio.preprocessing`)
    value               "pixel / 255": the real value of a byte, in 0..1; "pixel" is what the task calls a byte
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

from edgenas import tasks
from edgenas.artifacts.artifact import Tensor
from edgenas.conversion import quantised
from edgenas.tasks.dataset import Dataset


def preprocessing(data: Dataset, tensor: Tensor, onnx: bool = False) -> dict[str, Any]:
    """How `data` became what `tensor`, the model's input, takes. onnx: there is a model.onnx, too."""
    byte = tasks.named(data.task).value
    return {
        **data.preprocessing,
        "value": f"{byte} / 255",
        "layout": "NHWC",
        "dtype": tensor.dtype,
        **_quantisation("quantise", "clip(round(value / scale) + zero_point, -128, 127)", tensor),
        f"int8_from_{byte}": f"{byte} - 128" if _is_difference(tensor) else None,
        "onnx": {"layout": "NCHW", "dtype": "float32", "value": f"{byte} / 255"} if onnx else None,
    }


def postprocessing(data: Dataset, tensor: Tensor) -> dict[str, Any]:
    """How `tensor`, the model's output, is read."""
    dequantise = _quantisation("dequantise", "(output - zero_point) * scale", tensor)
    return tasks.named(data.task).postprocessing(dequantise)


def _quantisation(name: str, formula: str, tensor: Tensor) -> dict[str, Any]:
    if tensor.dtype == "float32":
        return {name: None, "scale": None, "zero_point": None}
    return {name: formula, "scale": float(tensor.scale), "zero_point": int(tensor.zero_point)}


def _is_difference(tensor: Tensor) -> bool:
    """Whether the input is the byte - 128, for all 256 of them."""
    if tensor.dtype != "int8":
        return False
    values = np.arange(256)
    inputs = quantised(values.astype(np.float32) / np.float32(255), tensor.scale, tensor.zero_point)
    return np.array_equal(inputs, values - 128)
