# SPDX-License-Identifier: Apache-2.0
"""Models as ONNX: where a slot keeps them."""

from __future__ import annotations

import os

from .refusal import Refusal


def onnx_of(model: str) -> str:
    """The ONNX file of the model in a slot; of one in scratch, itself."""
    folder, name = os.path.split(model)
    return os.path.join(folder, "model.onnx") if name == "model.tflite" else model


def require_onnx(model: str, taker: str, runtime: str) -> str:
    """`onnx_of`, after a look that it can be ONNX. Refuses what is not there or is a .tflite file.

    `taker` is what people call the runtime, `runtime` the name that commands take.
    """
    onnx = onnx_of(model)
    try:
        with open(onnx, "rb") as file:
            if file.read(8)[4:] == b"TFL3":
                raise Refusal("inference", f"{taker} takes ONNX models, this is a .tflite file", reason="refused")
    except FileNotFoundError:
        message = f"no ONNX file came with this model: convert and install it again, with --runtime {runtime}"
        raise Refusal("inference", message, reason="refused") from None
    return onnx
