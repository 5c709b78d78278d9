# SPDX-License-Identifier: Apache-2.0
"""What a microcontroller's engine takes and leaves, and what it computes: exact figures from a model's plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgenas.artifacts.artifact import FLOAT_TOLERANCE, Artifact
from edgenas.boards.board import Board, Precision
from edgenas.boards.prior import Prior
from edgenas.costs.limits import Limits
from edgenas.errors import ProfileError, UsageError
from edgenas.runtimes.memory import Memory
from edgenas.runtimes.runtime import Format
from firmware_tools.device import DeviceInfo
from firmware_tools.mcu import MACHINES, timings
from firmware_tools.plan import compile_plan, simulate
from firmware_tools.plan.compile import Plan
from firmware_tools.plan.footprint import Footprint, footprints


@dataclass(frozen=True)
class Engine:
    """See `edgenas.runtimes.runtime.Runtime`. Counted operations explain its latencies, within 0.3 %."""

    title: str = "the engine for microcontrollers"
    format: Format = "tflite"
    precisions: tuple[Precision, ...] = ("int8",)
    exact: bool = True
    latency_model: str = "engine"
    automatic: bool = True

    def precision(self, asked: Precision | None, default: Precision, version: str) -> Precision:
        """The default: it was held against `precisions`."""
        return default

    def float_tolerance(self, precision: Precision) -> float:
        """Its outputs are integers."""
        return FLOAT_TOLERANCE

    def limits(self, board: Board, info: DeviceInfo) -> Limits:
        """Of arena and plan: see `limits`."""
        return limits(board, info)

    def memory(self, board: Board, tflite: bytes) -> Memory | None:
        """See `memory`."""
        return memory(board, tflite)

    def simulated(self, artifact: Artifact) -> npt.NDArray[Any] | None:
        """See `simulated`."""
        return simulated(artifact.tflite, artifact.golden_vectors()[0])


def engine_of(board: Board) -> tuple[str, Footprint]:
    """A microcontroller's kernel set and what the engine takes with it.

    Raises UsageError for another kind of board, ProfileError if its file names no kernel set that there is.
    """
    if not board.has_firmware:
        raise UsageError(
            f"board {board.id} is of kind {board.kind}: plans are for microcontrollers, `edgenas boards` lists them",
            board=board.id,
        )
    known, kernels = footprints(), board.facts.get("kernels")
    if not isinstance(kernels, str) or kernels not in known:
        raise ProfileError(
            f"{board.file}: key 'facts.kernels' is {kernels!r}, not one of {', '.join(sorted(known))}",
            file=str(board.file),
            key="facts.kernels",
        )
    return kernels, known[kernels]


def ram_bytes(board: Board) -> int | None:
    """What the board has for arena and stack: its RAM, or less if its firmware's arena is less."""
    arena = board.facts.get("arena_bytes")
    return _less(board.ram_bytes, None if arena is None else int(arena) + engine_of(board)[1].stack_bytes)


def limits(board: Board, info: DeviceInfo) -> Limits:
    """Arena and plan at most: what the board has without the engine, and what its firmware offers, the less of both."""
    _, engine = engine_of(board)
    whole = ram_bytes(board)
    ram = None if whole is None else whole - engine.stack_bytes
    flash = None if board.flash_bytes is None else board.flash_bytes - engine.code_bytes
    return Limits(_less(ram, info.ram_bytes), _less(flash, info.free_disk_bytes), planned=True)


def memory(board: Board, tflite: bytes) -> Memory:
    """What `tflite` takes of `board`, exactly. Raises PlanError if the engine cannot run it."""
    plan = compile_plan(tflite)
    return Memory(plan.arena_bytes, engine_of(board)[1].stack_bytes, len(plan.blob))


def counted(prior: Prior, model: bytes | Plan) -> float:
    """Millions of instructions of one inference of a .tflite file or a plan, as the emulated board of `prior` counts.

    Raises PlanError if the engine cannot run it, EmulatorError without Unicorn, ProfileError for another board.
    """
    machine = MACHINES.get(prior.counted_on)
    if machine is None:
        known = ", ".join(MACHINES)
        raise ProfileError(f"key 'prior.counted_on' is {prior.counted_on!r}, not one of {known}", key="counted_on")
    plan = model if isinstance(model, Plan) else compile_plan(model)
    return timings.measured(plan, timings.Emulation("unicorn", "", machine)) / 1e6


def simulated(tflite: bytes, inputs: npt.NDArray[Any]) -> npt.NDArray[np.int8] | None:
    """Outputs (n, values) of the engine for `inputs` (n, ...), bit for bit; None without a C compiler to build it with.

    Raises PlanError if the engine cannot run the model.
    """
    if not simulate.available():
        return None
    return simulate.simulate(compile_plan(tflite).blob, inputs)


def _less(one: int | None, other: int | None) -> int | None:
    known = [value for value in (one, other) if value is not None]
    return min(known, default=None)
