# SPDX-License-Identifier: Apache-2.0
"""TensorRT on a Linux board: it takes ONNX files, and builds engines in half precision unless int8 is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from edgenas.artifacts.artifact import HALF_TOLERANCE, QUANTISED_TOLERANCE
from edgenas.boards.board import Precision
from edgenas.errors import UsageError
from edgenas.runtimes.runtime import Format
from edgenas.runtimes.tflite import TFLite

_QUANTISES = 8  # from this version on it takes int8 models: see edgenas/conversion/tensorrt.py


@dataclass(frozen=True)
class TensorRT(TFLite):
    """See `edgenas.runtimes.runtime.Runtime`."""

    title: str = "TensorRT"
    format: Format = "onnx"

    def precision(self, asked: Precision | None, default: Precision, version: str) -> Precision:
        """float32, which its engines are built from in half precision, unless int8 was asked for.

        Raises UsageError if this version of it takes no int8 models.
        """
        if asked != "int8":
            return "float32"
        if int(version.partition(".")[0]) < _QUANTISES:
            raise UsageError(
                f"precision int8 with TensorRT {version}: it takes int8 models from version {_QUANTISES} on; leave "
                "--precision out for half precision",
                value=version,
                limit=_QUANTISES,
            )
        return "int8"

    def float_tolerance(self, precision: Precision) -> float:
        """It computes in half precision, or rounds to int8 in between."""
        return QUANTISED_TOLERANCE if precision == "int8" else HALF_TOLERANCE
