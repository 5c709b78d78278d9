# SPDX-License-Identifier: Apache-2.0
"""torch module to a TFLite file that passed the gate. Nothing heavy is imported before it is used.

`Converter` converts, `gate.gate` judges, `describe` and `run_tflite` read and run the result on the host.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgenas.conversion.converter import Converted, Converter
    from edgenas.conversion.export import reference_outputs
    from edgenas.conversion.model_info import ModelInfo, OperatorInfo, describe
    from edgenas.conversion.runtime import dequantised, quantised, run_tflite

__all__ = [
    "Converted",
    "Converter",
    "ModelInfo",
    "OperatorInfo",
    "dequantised",
    "describe",
    "quantised",
    "reference_outputs",
    "run_tflite",
]

_HOMES = {
    "Converted": "converter",
    "Converter": "converter",
    "ModelInfo": "model_info",
    "OperatorInfo": "model_info",
    "dequantised": "runtime",
    "describe": "model_info",
    "quantised": "runtime",
    "reference_outputs": "export",
    "run_tflite": "runtime",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
