# SPDX-License-Identifier: Apache-2.0
"""A microcontroller with edgenas' firmware as a Device: plans instead of .tflite files, over the serial wire."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn

import numpy as np
from numpy.typing import NDArray

from firmware_tools.device import (
    DeviceInfo,
    DeviceStatus,
    OperatorTime,
    Progress,
    RuntimeInfo,
    Slot,
    SlotInfo,
    Timing,
    TimingPlan,
)
from firmware_tools.errors import (
    DeviceError,
    DeviceFullError,
    InferenceError,
    NothingStagedError,
    ProtocolError,
    TransferError,
)
from firmware_tools.link import messages
from firmware_tools.link.wire import FLASH
from firmware_tools.mcu import timings
from firmware_tools.mcu.manifests import Manifests, PlanOrigin
from firmware_tools.mcu.timings import Emulation
from firmware_tools.plan import compile_plan

if TYPE_CHECKING:
    from firmware_tools.link.session import Link
    from firmware_tools.plan.compile import Plan

RUNTIME = "edgenas-engine"
_SLOTS: tuple[Slot, ...] = ("a", "b")
_REAL_BOOT_S, _EMULATED_BOOT_S = 3.0, 20.0  # opening a port may restart a board; an emulator has to start
_NO_OPERATOR = 0xFFFFFFFF
_PLAN_HEADER_VERSION = slice(4, 6)  # PLAN.md
_PLAN_HEADER_PACKING = slice(6, 8)


class McuDevice:
    """The `Device` that `link` speaks to; `end` is called once, to end the board after the link is closed.

    A board keeps plans, not .tflite files. Which file a plan was made of, and its manifest, is kept in `manifests` on
    the computer that staged it; on another one such a model's SlotInfo has sha256 "", bytes 0 and an empty manifest,
    while its `valid` is what the board says. `emulation` is what the board runs in; None for a real one.
    """

    def __init__(
        self,
        url: str,
        link: Link,
        manifests: Manifests,
        end: Callable[[], None],
        emulation: Emulation | None = None,
    ) -> None:
        self._url = url
        self._name = url.rstrip(":")  # for messages
        self._link = link
        self._hello = link.hello(_REAL_BOOT_S if emulation is None else _EMULATED_BOOT_S)
        self._manifests = manifests
        self._emulation = emulation
        self._end: Callable[[], None] | None = end

    @property
    def url(self) -> str:
        """The URL that the device was connected by."""
        return self._url

    def info(self) -> DeviceInfo:
        """What the board says of itself; `hostname` is its board id. Nothing in it changes while it is connected."""
        hello, emulation = self._hello, self._emulation
        system = f"firmware {hello.firmware}"
        return DeviceInfo(
            url=self._url,
            hostname=hello.board,
            machine=hello.board,
            cpu=emulation.machine.core if emulation else f"Cortex-M, {hello.kernels} kernels",
            cores=1,
            system=f"{system} in {emulation.emulator}" if emulation else system,
            python_version="",
            runtimes=(RuntimeInfo(RUNTIME, hello.firmware),),
            ram_bytes=hello.arena_bytes,
            free_disk_bytes=hello.slot_bytes,
            agent_version=hello.firmware,
            unit=timings.unit(hello),
        )

    def status(self) -> DeviceStatus:
        """Which models it holds; the board has checked their hashes. It counts from when its power came on."""
        answer = self._link.ask(messages.Status(self._hello.slots))

        def slot(index: int | None) -> SlotInfo | None:
            return None if index is None else self._slot(answer, index)

        return DeviceStatus(
            slot(answer.active), slot(answer.previous), slot(answer.staged), answer.commits, answer.rollbacks
        )

    @property
    def pairs(self) -> bool:
        """No: see `Device.pairs`."""
        return False

    def time(self, models: Sequence[bytes], plan: TimingPlan, progress: Progress | None = None) -> list[Timing]:
        """Measure each of `models`: see `Device.time`; a process is one RUN message.

        Models for an emulated board are run by the same engine on a bare board of the same kind in the same emulator,
        a tenth of a second each; the counts are those that the firmware gives. That touches no slot, and a model may
        be larger than one. A real board times each model in its spare slot: the active model stays, the previous and
        the staged one are given up.
        Raises PlanError for a model that the engine does not run, DeviceFullError.
        """
        timed = []
        for index, model in enumerate(models):
            compiled = compile_plan(model)
            done = _part(progress, index * plan.processes, len(models) * plan.processes)
            timed.append(self._time(model, compiled, plan, done))
        if timed and self._emulation is None:
            self.discard()
        return timed

    def time_operators(self, model: bytes, plan: TimingPlan) -> list[OperatorTime]:
        """What each operator of the plan takes: see `Device.time_operators`.

        An emulated board counts their instructions, exactly and in no slot. A real one takes the model into its spare
        slot, as `time` does, and tells the ticks of one inference.
        """
        compiled = compile_plan(model)
        if self._emulation is not None:
            values = timings.per_operator(compiled, self._emulation)
        else:
            self._check(compiled)
            self._install(compiled.blob)
            sizes = self._select()
            if sizes.operators != len(compiled.operators):
                raise self._cannot_be("SELECT", f"{sizes.operators} operators of {len(compiled.operators)}")
            self._link.set_input(timings.probe(sizes.input_bytes))
            ticks = self._link.profile(sizes.operators)
            if not any(ticks):
                raise self._cannot_be("PROFILE", f"{len(ticks)} operators take nothing")
            values = [timings.value(self._hello, each) for each in ticks]
            self.discard()
        return [
            OperatorTime(operator.name, value, operator.index, operator.output_shape, operator.macs)
            for operator, value in zip(compiled.operators, values, strict=True)
        ]

    def stage(self, model: bytes, manifest: Mapping[str, object], onnx: bytes | None = None) -> SlotInfo:
        """Compile `model` and write its plan into the spare slot: see `Device.stage`.

        The board reads the plan back from its flash, hashes and checks it. Raises PlanError for a model that the
        engine does not run, DeviceFullError for one that is too large for slot or arena; both before anything is
        erased.
        """
        sha256 = hashlib.sha256(model).hexdigest()
        named = manifest.get("sha256", sha256)
        if named != sha256:
            raise TransferError(
                f"the manifest is of a model with sha256 {named}, the model given has {sha256}: pair them again",
                manifest=named,
                model=sha256,
            )
        plan = compile_plan(model)
        self._check(plan)
        complete = {**manifest, "sha256": sha256, "bytes": len(model)}
        sent = PlanOrigin(sha256, len(model), complete, plan.input.shape, plan.output.shape)
        # Before the transfer, so that the board never holds a plan of this computer's that it knows nothing of.
        self._manifests.put(hashlib.sha256(plan.blob).hexdigest(), sent)
        self._install(plan.blob)
        staged = self.status().staged
        if staged is None:
            raise TransferError(f"{self._name}: the board took the model but does not hold it: install it again")
        return staged

    def time_staged(self, plan: TimingPlan, progress: Progress | None = None) -> Timing:
        """Measure the staged model, in its slot, by `plan.processes` RUN messages: see `Device.time_staged`.

        A RUN reports the least, the median and the greatest of its inferences: they stand for `min` and `p10`, for
        `p50`, and for `p95` and `max`. Where instructions are counted, all are equal.
        """
        sha256 = (self.status().staged or self._nothing_staged()).sha256
        return self._time_selected(sha256, plan, progress)

    def infer_staged(self, inputs: NDArray[np.generic]) -> NDArray[np.generic]:
        """Outputs of the staged model for `inputs`: see `Device.infer_staged`.

        int8, of the model's output shape; of shape (n, output bytes) if another computer staged the model.
        """
        if inputs.ndim < 1 or inputs.shape[0] == 0:
            raise ValueError(f"inputs must have shape (n, ...) with n of 1 at least, got {inputs.shape}")
        sent = self._manifests.get(self._staged_plan())
        sizes = self._select()
        if inputs.dtype != np.int8 or inputs.size != len(inputs) * sizes.input_bytes:
            raise InferenceError(
                f"{self._name}: inputs are {inputs.dtype} {inputs.shape}, the staged model takes int8 with"
                f" {sizes.input_bytes} values each",
                dtype=str(inputs.dtype),
                shape=inputs.shape,
                input_bytes=sizes.input_bytes,
            )
        shape = sent.output_shape[1:] if sent else (sizes.output_bytes,)
        if math.prod(shape) != sizes.output_bytes:
            raise self._cannot_be("SELECT", f"{sizes.output_bytes} output bytes of {math.prod(shape)}")
        outputs = [self._infer(row.tobytes(), sizes.output_bytes) for row in np.ascontiguousarray(inputs)]
        return np.frombuffer(b"".join(outputs), np.int8).reshape(len(inputs), *shape).copy()

    def commit(self) -> DeviceStatus:
        """Make the staged model the active one: see `Device.commit`."""
        self._link.ask(messages.Commit(bytes.fromhex(self._staged_plan())))
        return self.status()

    def discard(self) -> None:
        """Forget the staged model, if there is one."""
        with suppress(NothingStagedError):
            self._link.ask(messages.Discard())

    def rollback(self) -> DeviceStatus:
        """Activate the previous model again: see `Device.rollback`."""
        self._link.ask(messages.Rollback())
        return self.status()

    def close(self) -> None:
        """Let go of the board; an emulated one is switched off. Closing twice is harmless."""
        end, self._end = self._end, None
        if end is None:
            return
        try:
            self._link.close()
        finally:
            end()

    def __enter__(self) -> McuDevice:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _slot(self, answer: messages.StatusAnswer, index: int) -> SlotInfo:
        slot = answer.slots[index]
        sent = self._manifests.get(slot.sha256.hex())
        named: tuple[str, int, Mapping[str, object]] = (sent.sha256, sent.bytes, sent.manifest) if sent else ("", 0, {})
        return SlotInfo(_SLOTS[index], *named, active=index == answer.active, valid=slot.state == "valid")

    def _select(self) -> messages.SelectAnswer:
        """The sizes of the staged model, which the board then runs."""
        sizes, hello = self._link.ask(messages.Select(staged=True)), self._hello
        if sizes.input_bytes > hello.input_bytes:
            raise self._cannot_be("SELECT", f"{sizes.input_bytes} input bytes, HELLO says {hello.input_bytes} at most")
        return sizes

    def _cannot_be(self, request: str, what: str) -> ProtocolError:
        return ProtocolError(f"{self._name}: the board's answer to {request} cannot be: {what}: {FLASH}")

    def _staged_plan(self) -> str:
        """The staged plan's sha256. Raises NothingStagedError."""
        answer = self._link.ask(messages.Status(self._hello.slots))
        if answer.staged is None:
            self._nothing_staged()
        return answer.slots[answer.staged].sha256.hex()

    def _nothing_staged(self) -> NoReturn:
        raise NothingStagedError(f"{self._name}: no model is staged on the board: install one first")

    def _check(self, plan: Plan) -> None:
        """Refuse what the board cannot hold or run, before it erases anything."""
        hello, blob = self._hello, plan.blob
        holds = (
            ("slot", len(blob), hello.slot_bytes),
            ("arena", plan.arena_bytes, hello.arena_bytes),
            ("input buffer", plan.input.bytes, hello.input_bytes),
        )
        for place, value, limit in holds:
            if value > limit:
                message = f"{self._name}: the model takes {value} bytes of the board's {place}, which has {limit}"
                raise DeviceFullError(f"{message}: choose a smaller one", place=place, bytes=value, limit=limit)
        runs = (("version", _PLAN_HEADER_VERSION, hello.plan_version), ("packing", _PLAN_HEADER_PACKING, hello.packing))
        for what, where, known in runs:
            value = int.from_bytes(blob[where], "little")
            if value != known:
                message = f"{self._name}: the plan has {what} {value}, the board's engine runs {known}"
                raise DeviceError(f"{message}: {FLASH}", **{what: value}, known=known)

    def _time(self, model: bytes, compiled: Plan, plan: TimingPlan, progress: Progress | None) -> Timing:
        sha256 = hashlib.sha256(model).hexdigest()
        if self._emulation is None:
            self._check(compiled)
            self._install(compiled.blob)
            return self._time_selected(sha256, plan, progress)
        conditions = timings.conditions(RUNTIME, self._hello.firmware, self._emulation)
        instructions = timings.measured(compiled, self._emulation)
        runs = [messages.RunAnswer(instructions, instructions, instructions)] * plan.processes
        if progress is not None:
            progress(plan.processes, plan.processes)
        return timings.timing(self._hello, sha256, plan, runs, 1, compiled.arena_bytes, conditions)

    def _time_selected(self, sha256: str, plan: TimingPlan, progress: Progress | None) -> Timing:
        sizes = self._select()
        conditions = timings.conditions(RUNTIME, self._hello.firmware, self._emulation)
        self._link.set_input(timings.probe(sizes.input_bytes))
        first = self._run(1)
        times = timings.times(self._hello, first.median, plan)
        runs = []
        for done in range(plan.processes):
            runs.append(self._run(times))
            if progress is not None:
                progress(done + 1, plan.processes)
        return timings.timing(self._hello, sha256, plan, runs, times, sizes.arena_bytes, conditions)

    def _install(self, plan: bytes) -> None:
        self._link.send(plan)
        self._link.ask(messages.Verify())

    def _run(self, times: int) -> messages.RunAnswer:
        """Run the selected model. Raises InferenceError, with the board's fault record, if it hung or faulted."""
        try:
            return self._link.ask(messages.Run(times))
        except InferenceError as error:
            fault = self._link.ask(messages.Fault(clear=True))
            at = "no operator" if fault.operator == _NO_OPERATOR else f"operator {fault.operator}"
            registers = f"pc 0x{fault.pc:08x}, cfsr 0x{fault.cfsr:08x}, address 0x{fault.address:08x}"
            message = f"{self._name}: the model ended in a {fault.fault} at {at} ({registers})"
            raise InferenceError(f"{message}: it is no longer staged, install another", **asdict(fault)) from error

    def _infer(self, input_: bytes, output_bytes: int) -> bytes:
        self._link.set_input(input_)
        self._run(1)
        return self._link.get_output(output_bytes)


def _part(progress: Progress | None, before: int, total: int) -> Progress | None:
    """`progress` of one model as progress of all of them."""
    return None if progress is None else lambda done, _: progress(before + done, total)
