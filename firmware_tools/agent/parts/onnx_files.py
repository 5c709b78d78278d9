"""Models as ONNX: where a slot keeps them."""

from __future__ import annotations

import os


def onnx_of(model: str) -> str:
    """The ONNX file of the model in a slot; of one in scratch, itself."""
    folder, name = os.path.split(model)
    return os.path.join(folder, "model.onnx") if name == "model.tflite" else model
