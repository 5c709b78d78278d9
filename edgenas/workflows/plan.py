# SPDX-License-Identifier: Apache-2.0
"""`edgenas plan`: what a model takes of a microcontroller, operator by operator, before anything is connected."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgenas import resources
from edgenas.artifacts.artifact import read_model
from edgenas.boards.board import Board
from edgenas.boards.prior import Prior
from edgenas.errors import InfeasibleError, UsageError
from edgenas.runtimes.engine import counted, engine_of, ram_bytes
from firmware_tools.errors import EmulatorError, PlanError
from firmware_tools.plan import compile_plan
from firmware_tools.plan.compile import Plan, PlannedOperator, Port


@dataclass(frozen=True)
class MemoryUse:
    """What is needed of a board's RAM or flash: by the model, by the engine, and what there is (None: no limit)."""

    name: str
    model_bytes: int
    engine_bytes: int
    limit_bytes: int | None

    @property
    def bytes(self) -> int:
        """Model and engine."""
        return self.model_bytes + self.engine_bytes

    @property
    def fits(self) -> bool:
        """Whether there is as much as is needed."""
        return self.limit_bytes is None or self.bytes <= self.limit_bytes

    @property
    def used(self) -> float:
        """The fraction of the limit, 0 without one."""
        return self.bytes / self.limit_bytes if self.limit_bytes else 0.0

    def to_json(self) -> dict[str, Any]:
        """A part of the object that `--json` prints."""
        sizes = {"model_bytes": self.model_bytes, "engine_bytes": self.engine_bytes, "bytes": self.bytes}
        return {**sizes, "limit_bytes": self.limit_bytes, "fits": self.fits}


@dataclass(frozen=True)
class Estimate:
    """A latency by a board's prior: `minsn` million instructions were counted, or None and `missing` says why not."""

    prior: Prior
    minsn: float | None
    missing: str | None = None

    @property
    def ms(self) -> float | None:
        """Milliseconds of an inference."""
        return None if self.minsn is None else self.minsn * self.prior.ms_per_minsn

    def to_json(self) -> dict[str, Any]:
        """A part of the object that `--json` prints."""
        found = {"predicted_ms": self.ms, "counted_minsn": self.minsn, "missing": self.missing}
        return {**found, "prior": self.prior.to_json()}


@dataclass(frozen=True)
class Planned:
    """A model's plan and what it takes of a board; `file` is where the plan was written, None if it was not.

    latency: None for a board without a prior.
    """

    board: str
    kernels: str
    model: str
    model_bytes: int
    plan: Plan
    ram: MemoryUse
    flash: MemoryUse
    latency: Estimate | None = None
    file: str | None = None

    @property
    def peak(self) -> int:
        """The operator, counted in the plan's order, at which most of the arena is in use."""
        live = [operator.live_bytes for operator in self.plan.operators]
        return live.index(max(live))

    @property
    def tightest(self) -> MemoryUse:
        """Of RAM and flash the one of which a larger fraction is used."""
        return max(self.ram, self.flash, key=lambda need: need.used)

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        plan = self.plan
        return {
            "board": self.board,
            "kernels": self.kernels,
            "model": {"path": self.model, "bytes": self.model_bytes},
            "plan": {"path": self.file, "bytes": len(plan.blob), "arena_bytes": plan.arena_bytes},
            "input": _port(plan.input),
            "output": _port(plan.output),
            "macs": sum(operator.macs for operator in plan.operators),
            "operators": [_operator(operator) for operator in plan.operators],
            "unused_operators": [{"index": operator.index, "name": operator.name} for operator in plan.unused],
            "peak_operator": self.peak,
            "ram": self.ram.to_json(),
            "flash": self.flash.to_json(),
            "latency": self.latency.to_json() if self.latency else None,
            "fits": self.ram.fits and self.flash.fits,
            "limited_by": self.tightest.name,
        }


def plan(model: str | Path, *, board: str, out: str | Path | None = None) -> Planned:
    """Compile `model`, an int8 .tflite file or an artifact's folder, to a plan for the engine of the microcontroller
    `board`; write the plan to the new file `out`, if one is named. Of a board with a prior, say what an inference takes
    by it: its instructions are counted in an emulator, if there is one.

    Raises UsageError if the board is no microcontroller, `out` exists, or the model cannot be read or planned;
    InfeasibleError if it does not fit the board: nothing is written then, and its field `planned` is what was found;
    EdgenasError if `out` cannot be written.
    """
    described = Board.load(board)
    kernels, engine = engine_of(described)
    if out is not None:
        resources.require_new(out, "plan")
    path, tflite = read_model(Path(model))
    try:
        compiled = compile_plan(tflite)
    except PlanError as error:
        raise UsageError(f"{path}: {error}", file=str(path)) from error
    planned = Planned(
        board=described.id,
        kernels=kernels,
        model=str(path),
        model_bytes=len(tflite),
        plan=compiled,
        ram=MemoryUse("RAM", compiled.arena_bytes, engine.stack_bytes, ram_bytes(described)),
        flash=MemoryUse("flash", len(compiled.blob), engine.code_bytes, described.flash_bytes),
    )
    _check(planned)
    if described.prior is not None:
        planned = replace(planned, latency=_estimate(described.prior, compiled))
    return planned if out is None else _written(planned, Path(out))


def _estimate(prior: Prior, compiled: Plan) -> Estimate:
    try:
        return Estimate(prior, counted(prior, compiled))
    except EmulatorError as error:  # a plan has its use without an emulator
        return Estimate(prior, None, str(error))


def _written(planned: Planned, out: Path) -> Planned:
    try:
        resources.write_bytes(out, planned.plan.blob)
    except OSError as error:
        raise resources.not_written(out, error) from error
    return replace(planned, file=str(out))


def _check(planned: Planned) -> None:
    missing = [need for need in (planned.ram, planned.flash) if not need.fits]
    if not missing:
        return
    need = max(missing, key=lambda need: need.used)
    raise InfeasibleError(
        f"{planned.model} does not fit board {planned.board}: {need.bytes:,} bytes of {need.name} "
        f"({_what(planned, need)} {need.model_bytes:,}, engine {need.engine_bytes:,}), limit {need.limit_bytes:,}: "
        f"{_advice(planned, need)}",
        planned=planned,
        value=need.bytes,
        limit=need.limit_bytes,
    )


def _what(planned: Planned, need: MemoryUse) -> str:
    return "arena" if need is planned.ram else "plan"


def _advice(planned: Planned, need: MemoryUse) -> str:
    if need is planned.flash:
        largest = max(planned.plan.operators, key=lambda operator: operator.weight_bytes)
        return f"fewer weights, most are in operator {_label(largest)}, or another board"
    return f"smaller tensors around operator {_label(planned.plan.operators[planned.peak])}, or another board"


def _label(operator: PlannedOperator) -> str:
    return f"{operator.index} ({operator.name})"


def _port(port: Port) -> dict[str, Any]:
    return {"name": port.name, "shape": list(port.shape), "scale": port.scale, "zero_point": port.zero_point}


def _operator(operator: PlannedOperator) -> dict[str, Any]:
    return {
        "index": operator.index,
        "name": operator.name,
        "kind": operator.kind,
        "output_shape": list(operator.output_shape),
        "macs": operator.macs,
        "weight_bytes": operator.weight_bytes,
        "live_bytes": operator.live_bytes,
        "scratch_bytes": operator.scratch_bytes,
    }
