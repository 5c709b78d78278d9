# SPDX-License-Identifier: Apache-2.0
"""A Device behind an agent, however the agent was started."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from firmware_tools.answers.shapes import document
from firmware_tools.device import DeviceInfo, DeviceStatus, OperatorTime, Progress, SlotInfo, Timing, TimingPlan
from firmware_tools.errors import DeviceError, DeviceLostError, RuntimeMissingError, TransferError
from firmware_tools.linux import agent_answers
from firmware_tools.linux.session import ANSWER_TIMEOUT_S, AgentSession
from firmware_tools.timing import summarise

PROTOCOL = 2
# In base64 below what a pipe holds (64 KiB): writing a chunk never blocks on an agent that has stopped.
CHUNK_BYTES = 32 << 10
WORKER_TIMEOUT_S = 120.0
TENSORRT = "tensorrt"
ONNX_RUNTIMES = (TENSORRT, "onnxruntime")
ENGINE_TIMEOUT_S = 1800.0  # TensorRT tries many kernels for every layer, in silence
# sha256, data, how many of its bytes the agent has: brings the others into the agent's scratch/SHA256.part.
Upload = Callable[[str, bytes, int], None]


class AgentDevice:
    """The `Device` that `session` speaks to; `end` is called once, to end the agent after the session is closed.

    `runtime` names the runtime to use; None: the agent's first. `upload` carries bulk data past the session's lines;
    None: it goes through them.
    """

    def __init__(
        self,
        url: str,
        session: AgentSession,
        runtime: str | None,
        end: Callable[[], None],
        upload: Upload | None = None,
    ) -> None:
        self._url = url
        self._name = url.rstrip(":")  # for messages
        self._session = session
        self._runtime = runtime
        self._end: Callable[[], None] | None = end
        self._upload = upload
        self._staged: str | None = None  # the sha256 of what this session staged
        self._info: DeviceInfo | None = None

    @property
    def url(self) -> str:
        """The URL that the device was connected by."""
        return self._url

    def check(self) -> None:
        """Raise DeviceError if the agent speaks another protocol, RuntimeMissingError if it lacks the named runtime."""
        info = self.info()
        names = [runtime.name for runtime in info.runtimes]
        if self._runtime is not None and self._runtime not in names:
            others = f"it has {', '.join(names)}" if names else "it has none"
            packages = {"tflite": "tflite-runtime 'numpy<2'", "litert": "ai-edge-litert"}
            command = f"run python -m pip install {packages.get(self._runtime, self._runtime)} with its interpreter"
            if self._url.startswith("ssh:") and self._runtime in packages:
                command = f"run edgenas board prepare --runtime {self._runtime} --device {shlex.quote(self._url)}"
            if self._runtime == TENSORRT:
                command = "it is found by its program trtexec; on a Jetson run sudo apt-get install tensorrt"
            why = "".join(f"; {note}" for note in info.notes)
            raise RuntimeMissingError(
                f"{self._name}: no runtime {self._runtime}, {others}{why}: {command}",
                runtime=self._runtime,
                command=command,
            )

    def info(self) -> DeviceInfo:
        """What the device is and which runtimes it has."""
        answer = self._session.request("hello", answer=document)
        protocol = self._session.believed("hello", agent_answers.PROTOCOL, answer)
        if protocol != PROTOCOL:
            raise DeviceError(
                f"{self._name}: the agent speaks protocol {protocol}, this host {PROTOCOL}: install the same release",
                protocol=protocol,
            )
        info = self._session.believed("hello", agent_answers.info(self._url), answer)
        named_first = sorted(info.runtimes, key=lambda runtime: runtime.name != self._runtime)
        self._info = replace(info, runtimes=tuple(named_first))
        return self._info

    def status(self) -> DeviceStatus:
        """Which models it holds, their bytes checked against their manifests."""
        return self._session.request("status", answer=agent_answers.STATUS)

    @property
    def pairs(self) -> bool:
        """TFLite runtimes time models in turn with a reference, TensorRT does not: see `Device.pairs`."""
        return not self._builds_engines()

    def time(self, models: Sequence[bytes], plan: TimingPlan, progress: Progress | None = None) -> list[Timing]:
        """Measure the latency of each of `models`: see `Device.time`."""
        if not models:
            return []
        hashes = [self._put(model) for model in models]
        return self._timed("time", hashes, plan, progress, models=hashes)

    def time_operators(self, model: bytes, plan: TimingPlan) -> list[OperatorTime] | None:
        """What TensorRT's layers take: see `Device.time_operators`. From Python no TFLite runtime tells."""
        if not self._builds_engines():
            return None
        return self._session.request(
            "time_operators",
            answer=agent_answers.OPERATORS,
            model=self._put(model),
            runtime=self._runtime,
            timeout_s=ENGINE_TIMEOUT_S + ANSWER_TIMEOUT_S,
            silence_s=ENGINE_TIMEOUT_S,
        )

    def stage(self, model: bytes, manifest: Mapping[str, object], onnx: bytes | None = None) -> SlotInfo:
        """Write `model` and `manifest` into the spare slot and read them back: see `Device.stage`."""
        sha256 = hashlib.sha256(model).hexdigest()
        named = manifest.get("sha256", sha256)
        if named != sha256:
            raise TransferError(
                f"the manifest is of a model with sha256 {named}, the model given has {sha256}: pair them again",
                manifest=named,
                model=sha256,
            )
        self._put(model, sha256)
        beside = self._put(onnx) if onnx is not None and not set(ONNX_RUNTIMES).isdisjoint(self._runtimes()) else None
        slot = self._session.request(
            "stage", answer=agent_answers.slot, sha256=sha256, manifest=dict(manifest), onnx=beside
        )
        if not slot.valid or slot.sha256 != sha256:
            raise TransferError(
                f"{self._name}: slot {slot.slot} holds {slot.sha256 or 'no model'} after staging {sha256}: stage again",
                staged=sha256,
            )
        self._staged = sha256
        return slot

    def time_staged(self, plan: TimingPlan, progress: Progress | None = None) -> Timing:
        """Measure the latency of the staged model, from its slot: see `Device.time_staged`."""
        staged = self.status().staged
        sha256 = staged.sha256 if staged is not None else ""  # with nothing staged the agent refuses
        return self._timed("time_staged", [sha256], plan, progress)[0]

    def infer_staged(self, inputs: NDArray[np.generic]) -> NDArray[np.generic]:
        """Outputs of the staged model for `inputs`: see `Device.infer_staged`."""
        if inputs.ndim < 1 or inputs.shape[0] == 0:
            raise ValueError(f"inputs must have shape (n, ...) with n of 1 at least, got {inputs.shape}")
        return self._session.request(
            "infer_staged",
            answer=agent_answers.outputs(len(inputs)),
            inputs=self._put(np.ascontiguousarray(inputs).tobytes()),
            dtype=inputs.dtype.str,
            shape=list(inputs.shape),
            runtime=self._runtime,
            timeout_s=self._patience_s() + ANSWER_TIMEOUT_S,
            silence_s=self._patience_s(),
        )

    def commit(self) -> DeviceStatus:
        """Make the staged model the active one: see `Device.commit`.

        If the device is lost on the way, the model stays on trial: see `DeviceStatus.confirmed`.
        """
        active = self._session.request("activate", answer=agent_answers.STATUS).active
        if active is None or not active.valid or active.sha256 != (self._staged or active.sha256):
            self._session.request("rollback", answer=agent_answers.DONE)
            here = "no model" if active is None else f"a model with sha256 {active.sha256}"
            raise TransferError(
                f"{self._name}: {here} was active after activating {self._staged}, the previous model is active again: "
                "stage it again",
                staged=self._staged,
            )
        try:
            return self._session.request("confirm", answer=agent_answers.STATUS, sha256=active.sha256)
        except DeviceError:
            with suppress(DeviceError):
                self._session.request("rollback", answer=agent_answers.DONE)
            raise

    def discard(self) -> None:
        """Forget the staged model, if there is one."""
        self._session.request("discard", answer=agent_answers.DONE)

    def rollback(self) -> DeviceStatus:
        """Activate the previous model again: see `Device.rollback`."""
        return self._session.request("rollback", answer=agent_answers.STATUS)

    def close(self) -> None:
        """Empty the scratch folder and let go of the device. Closing twice is harmless."""
        end, self._end = self._end, None
        if end is None:
            return
        try:
            self._session.close()
        finally:
            end()
            self._session.join()

    def __enter__(self) -> AgentDevice:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _runtimes(self) -> list[str]:
        """The device's runtimes; the one in use is the first."""
        return [runtime.name for runtime in (self._info or self.info()).runtimes]

    def _builds_engines(self) -> bool:
        return self._runtimes()[:1] == [TENSORRT]

    def _patience_s(self) -> float:
        """How long a worker may be silent."""
        return ENGINE_TIMEOUT_S if self._builds_engines() else WORKER_TIMEOUT_S

    def _put(self, data: bytes, sha256: str | None = None) -> str:
        """Bring `data` into the scratch folder, going on where an interrupted upload stopped; its sha256."""
        if not data:
            raise ValueError("no bytes to upload")
        sha256 = sha256 or hashlib.sha256(data).hexdigest()
        have = self._have(sha256, data)
        if have == len(data):
            return sha256
        try:
            self._send(sha256, data, have)
        except TransferError:
            if have == 0:
                raise
            # What the earlier upload left was damaged; the agent has thrown it away.
            self._send(sha256, data, self._have(sha256, data))
        return sha256

    def _send(self, sha256: str, data: bytes, have: int) -> None:
        whole = len(data)
        if self._upload is None:
            while have < whole:
                chunk = data[have : have + CHUNK_BYTES]
                encoded = base64.b64encode(chunk).decode("ascii")
                arrived = agent_answers.have(have + len(chunk), have + len(chunk))
                have = self._session.request(
                    "put", answer=arrived, sha256=sha256, bytes=whole, offset=have, data=encoded
                )
            return
        try:
            self._upload(sha256, data, have)
        except BaseException as error:
            if isinstance(error, DeviceLostError) or not isinstance(error, DeviceError):
                self._session.abandon()
            raise
        arrived = agent_answers.have(whole, whole)
        self._session.request("put", answer=arrived, sha256=sha256, bytes=whole, offset=whole, data="")

    def _have(self, sha256: str, data: bytes) -> int:
        shape = agent_answers.have(0, len(data))
        return self._session.request("put", answer=shape, sha256=sha256, bytes=len(data))

    def _timed(
        self, do: str, hashes: Sequence[str], plan: TimingPlan, progress: Progress | None, **fields: object
    ) -> list[Timing]:
        settings = asdict(plan)
        settings["reference"] = None if plan.reference is None else self._put(plan.reference)
        silence_s = self._patience_s() + 2 * (plan.warmup_s + 4 * plan.timed_s)  # a disturbed run goes on for so long
        beside = plan.reference is not None and self.pairs
        times = self._session.request(
            do,
            answer=agent_answers.times(len(hashes), plan, beside),
            runtime=self._runtime,
            timeout_s=silence_s + ANSWER_TIMEOUT_S,
            silence_s=silence_s,
            progress=progress,
            steps=len(hashes) * (plan.processes + plan.repeats),
            **settings,
            **fields,
        )
        return [
            summarise(sha256, plan.statistic, runs, met)
            for sha256, runs, met in zip(hashes, times.runs, times.conditions, strict=True)
        ]
