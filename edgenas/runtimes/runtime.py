# SPDX-License-Identifier: Apache-2.0
"""What a runtime on a board is to the host. Each has one file here and one line in `edgenas.runtimes.registry`."""

from __future__ import annotations

from typing import Any, Literal, Protocol

import numpy.typing as npt

from edgenas.artifacts.artifact import Artifact
from edgenas.boards.board import Board, Precision
from edgenas.costs.limits import Limits
from edgenas.runtimes.memory import Memory
from firmware_tools.device import DeviceInfo

Format = Literal["tflite", "onnx"]  # the model file of an artifact that a runtime takes


class Runtime(Protocol):
    """A runtime, as far as the host has to know it. How a board is made to use it is the agent's business."""

    @property
    def title(self) -> str:
        """What people call it, as in "TensorRT"."""

    @property
    def format(self) -> Format:
        """The model file that it takes; random networks are converted to it by `edgenas.measuring.probe_models`."""

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """In which models may be for it."""

    @property
    def exact(self) -> bool:
        """Whether measurements carry no noise: the same model takes as long every time."""

    @property
    def latency_model(self) -> str:
        """The name in `edgenas.latency.MODELS` of what explains its latencies."""

    @property
    def automatic(self) -> bool:
        """Whether a deploy may choose it without being told to, and artifacts carry a model for it unasked."""

    def precision(self, asked: Precision | None, default: Precision, version: str) -> Precision:
        """In which a model is made. asked: by the user; default: that, or the board's. Raises UsageError."""

    def float_tolerance(self, precision: Precision) -> float:
        """By how much its float32 outputs may differ from the host's, as `golden_mismatch` takes it."""

    def limits(self, board: Board, info: DeviceInfo) -> Limits:
        """What a model may take of the board."""

    def memory(self, board: Board, tflite: bytes) -> Memory | None:
        """What a model takes of the board, exactly; None where that is not known. Raises PlanError."""

    def simulated(self, artifact: Artifact) -> npt.NDArray[Any] | None:
        """Outputs (n, values) that it must compute of the golden inputs, bit for bit; None where they are not known."""
