# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime on a Linux board's processor: it takes the ONNX files that TensorRT takes, in float32 or int8."""

from __future__ import annotations

from dataclasses import dataclass

from edgenas.artifacts.artifact import FLOAT_TOLERANCE, QUANTISED_TOLERANCE
from edgenas.boards.board import Precision
from edgenas.runtimes.runtime import Format
from edgenas.runtimes.tflite import TFLite


@dataclass(frozen=True)
class OnnxRuntime(TFLite):
    """See `edgenas.runtimes.runtime.Runtime`. It runs what it is asked to run: deploys do not choose it unasked."""

    title: str = "ONNX Runtime"
    format: Format = "onnx"
    automatic: bool = False

    def precision(self, asked: Precision | None, default: Precision, version: str) -> Precision:
        """float32 unless int8 was asked for: its int8 kernels are fast on few processors."""
        return "int8" if asked == "int8" else "float32"

    def float_tolerance(self, precision: Precision) -> float:
        """In int8 it rounds in between, as the host simulates it, but for the order of additions."""
        return QUANTISED_TOLERANCE if precision == "int8" else FLOAT_TOLERANCE
