# SPDX-License-Identifier: Apache-2.0
"""LiteRT, tflite-runtime and TensorFlow on a Linux board: they take .tflite files in the precision of the board."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from edgenas.artifacts.artifact import FLOAT_TOLERANCE, Artifact
from edgenas.boards.board import PRECISIONS, Board, Precision
from edgenas.costs.limits import Limits
from edgenas.runtimes.memory import Memory
from edgenas.runtimes.runtime import Format
from firmware_tools.device import DeviceInfo


@dataclass(frozen=True)
class TFLite:
    """See `edgenas.runtimes.runtime.Runtime`; the base of every runtime under Linux."""

    title: str = "TFLite"
    format: Format = "tflite"
    precisions: tuple[Precision, ...] = PRECISIONS
    exact: bool = False
    latency_model: str = "auto"
    automatic: bool = True

    def precision(self, asked: Precision | None, default: Precision, version: str) -> Precision:
        """The default."""
        return default

    def float_tolerance(self, precision: Precision) -> float:
        """In float32 its outputs are the host's, but for the order of additions."""
        return FLOAT_TOLERANCE

    def limits(self, board: Board, info: DeviceInfo) -> Limits:
        """Those of the board's file: of activations and of the model file."""
        return Limits(board.ram_bytes, board.flash_bytes)

    def memory(self, board: Board, tflite: bytes) -> Memory | None:
        """Not known exactly."""
        return None

    def simulated(self, artifact: Artifact) -> npt.NDArray[Any] | None:
        """Not known to the bit: kernels differ from processor to processor."""
        return None
