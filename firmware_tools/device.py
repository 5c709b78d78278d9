# SPDX-License-Identifier: Apache-2.0
"""What a device is to its users: the `Device` Protocol and the values that pass through it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

Slot = Literal["a", "b"]
Statistic = Literal["min", "p10", "p50", "p95", "max"]
STATISTICS: tuple[Statistic, ...] = get_args(Statistic)
# What a latency is given in: milliseconds, or millions of executed instructions where a board has no clock to speak of.
Unit = Literal["ms", "Minsn"]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class RuntimeInfo:
    """What runs models on the device: `name` is litert, tflite, tensorflow, tensorrt or onnxruntime, on a
    microcontroller edgenas-engine. TensorRT and ONNX Runtime are given ONNX models in place of .tflite files by `time`
    and `time_operators`.
    """

    name: str
    version: str


@dataclass(frozen=True)
class DeviceInfo:
    """What the device says of itself; `runtimes` in order of preference, `notes` say which were passed over and why.

    `hostname` is the board's own name for itself; a microcontroller's is its board id. There, `ram_bytes` is the arena
    that a model may use and `free_disk_bytes` the size of a slot. Latencies are in `unit`. `governors` are those that a
    timing may set; none where there are none or the user may not. `governor` is the one that is set, `max_clock_mhz`
    what it may raise the clock to, `power_mode` a Jetson's (nvpmodel); None where the device cannot say.
    """

    url: str
    hostname: str
    machine: str
    cpu: str
    cores: int
    system: str
    python_version: str
    runtimes: tuple[RuntimeInfo, ...]
    ram_bytes: int | None
    free_disk_bytes: int
    agent_version: str
    notes: tuple[str, ...] = ()
    unit: Unit = "ms"
    governors: tuple[str, ...] = ()
    governor: str | None = None
    max_clock_mhz: float | None = None
    power_mode: str | None = None


@dataclass(frozen=True)
class SlotInfo:
    """One of the two places for a model; `valid` means that its bytes have the size and sha256 of its manifest.

    `sha256` and `bytes` are what the manifest says; "" and 0 if there is no readable manifest.
    """

    slot: Slot
    sha256: str
    bytes: int
    manifest: Mapping[str, Any]
    active: bool
    valid: bool


@dataclass(frozen=True)
class DeviceStatus:
    """Which models the device holds; `previous` is what `rollback` would activate, `staged` what `commit` would.

    `commits` and `rollbacks` count over the life of the device's folder. `confirmed` is False for an active model whose
    commit was cut short: the next `stage` or `rollback` takes it back, and so does the third boot without a commit.
    """

    active: SlotInfo | None
    previous: SlotInfo | None
    staged: SlotInfo | None
    commits: int
    rollbacks: int
    confirmed: bool = True


@dataclass(frozen=True)
class TimingPlan:
    """How to time a model: in each of `processes` fresh processes warm up, then time `timed_s` and 30 inferences.

    `statistic` is what one process's latencies are reduced to. Two processes at least: one says nothing of the spread.
    Where a process was throttled, or other programs were in its way, up to `repeats` more processes time the models
    again, and of each model the quietest `processes` count. `governor`, if it is named, is set while the models run and
    put back however that ends. A microcontroller has neither. With a `reference`, a model's bytes, every model is timed
    in turn with that one, in slices, and `Timing.relative` is told, by TFLite runtimes.
    """

    processes: int = 5
    warmup_s: float = 0.2
    timed_s: float = 0.3
    threads: int = 1
    statistic: Statistic = "p10"
    repeats: int = 2
    governor: str | None = None
    reference: bytes | None = None

    def __post_init__(self) -> None:
        if self.statistic not in STATISTICS:
            raise ValueError(f"statistic {self.statistic!r} is not one of {', '.join(STATISTICS)}")
        if self.processes < 2:
            raise ValueError(f"processes is {self.processes}, at least 2 are needed for an interval")
        if self.repeats < 0:
            raise ValueError(f"repeats is {self.repeats}, at least 0 is needed")
        if self.threads < 1:
            raise ValueError(f"threads is {self.threads}, at least 1 is needed")
        if not (0 <= self.warmup_s <= 60 and 0 < self.timed_s <= 60):
            raise ValueError(f"warmup_s {self.warmup_s} and timed_s {self.timed_s} must lie within 0 and 60 seconds")


@dataclass(frozen=True)
class Conditions:
    """Under which circumstances a timing was taken; None where the device cannot say.

    `load_*` are the 1-minute load averages, `clock_mhz_*` the highest clock of the cores used, `temperature_c` is read
    after the last inference. `emulator` is name and version of what emulates the board; None for a real one.

    `affinity` are the cores that the model could run on: the fastest kind that the board has. `tools` is what programs
    of the board's maker said after the last inference, by their command line (vcgencmd, nvpmodel, jetson_clocks,
    tegrastats). `marked` says in words what disturbed the timing (throttling, other programs); nothing: a quiet one.
    `repeats` counts the processes that were timed again for it. `reference_ratio`: how many times longer than at its
    first timing a reference model took meanwhile, where there was one; latencies are as measured, not divided by it.
    """

    runtime: str
    runtime_version: str
    threads: int
    governor: str | None
    clock_mhz_before: float | None
    clock_mhz_after: float | None
    temperature_c: float | None
    load_before: float | None
    load_after: float | None
    python_version: str
    started_utc: str
    emulator: str | None = None
    affinity: tuple[int, ...] | None = None
    tools: Mapping[str, str] = field(default_factory=dict, hash=False)
    marked: tuple[str, ...] = ()
    repeats: int = 0
    reference_ratio: float | None = None


@dataclass(frozen=True)
class Timing:
    """One model's measured latency; every `*_ms` is the median over the processes of that statistic of one process.

    Every `*_ms` is in `unit`: in milliseconds, or in millions of instructions where `unit` is "Minsn".

    `latency_ms` is that of `statistic`; `per_process_ms` are the values behind it, in order of time; `n` counts all
    timed inferences. `ci95_ms` is the interval of `firmware_tools.timing.interval95`. `peak_ram_bytes` is the growth of
    the process's peak resident set from just before the model is loaded to after two inferences (what the runtime needs
    once, whatever the model, left out), the median over the processes; None where the system cannot say. It repeats to
    about 0.2 MiB. On a microcontroller it is the arena that the model takes, exactly.
    `compute_ms` is the median without the transfers to and from a GPU; None where there are none. `relative` is how
    many times as long as the plan's reference the model took, None without one.
    """

    sha256: str
    statistic: Statistic
    latency_ms: float
    min_ms: float
    p10_ms: float
    p50_ms: float
    p95_ms: float
    max_ms: float
    n: int
    processes: int
    ci95_ms: tuple[float, float]
    per_process_ms: tuple[float, ...]
    peak_ram_bytes: int | None
    conditions: Conditions
    unit: Unit = "ms"
    compute_ms: float | None = None
    relative: float | None = None


@dataclass(frozen=True)
class OperatorTime:
    """What one operator of a model takes, in the device's unit.

    `index` is its place in the .tflite file; None for one that the runtime made itself, out of several perhaps, whose
    `output_shape` is () and whose `macs` are not known.
    """

    name: str
    latency_ms: float
    index: int | None = None
    output_shape: tuple[int, ...] = ()
    macs: int | None = None


class Device(Protocol):
    """A board that times, installs and runs models; a context manager that closes itself.

    There are two slots. The active one is never written to: `stage` fills the spare one, `commit` makes it active in
    one atomic step. Staging therefore gives up the previous model, and with it what `rollback` would return to.

    Every method may raise DeviceLostError, DeviceFullError and DeviceError.
    """

    @property
    def url(self) -> str:
        """The URL that the device was connected by."""
        ...

    def info(self) -> DeviceInfo:
        """What the device is and which runtimes it has."""
        ...

    def status(self) -> DeviceStatus:
        """Which models it holds, their bytes checked against their manifests."""
        ...

    @property
    def pairs(self) -> bool:
        """Whether `time` heeds a plan's `reference`."""
        ...

    def time(self, models: Sequence[bytes], plan: TimingPlan, progress: Progress | None = None) -> list[Timing]:
        """Measure the latency of each of `models`; one Timing for each, in their order.

        In every process all models are timed, in an order shuffled by a fixed seed. `progress` is called with the
        timings done and their total (models x processes). Touches no slot.
        Raises RuntimeMissingError, InferenceError, TransferError.
        """
        ...

    def time_operators(self, model: bytes, plan: TimingPlan) -> list[OperatorTime] | None:
        """What each operator of `model` takes, by the runtime's own account; None from a runtime that gives none.

        Their sum lacks what an inference takes besides. Leaves the slots as `time` does, and raises as it does.
        """
        ...

    def stage(self, model: bytes, manifest: Mapping[str, object], onnx: bytes | None = None) -> SlotInfo:
        """Write `model` and `manifest` (plus sha256 and bytes) into the spare slot and read them back.

        `onnx` is the same network for TensorRT; a device without TensorRT leaves it out.
        Raises TransferError if the bytes read back differ, or if `manifest` names another sha256 than the model's.
        """
        ...

    def time_staged(self, plan: TimingPlan, progress: Progress | None = None) -> Timing:
        """`time` for the staged model, from its slot. Raises NothingStagedError, else as `time`."""
        ...

    def infer_staged(self, inputs: NDArray[np.generic]) -> NDArray[np.generic]:
        """Outputs of the staged model for `inputs`, both of shape (n, ...) in the model's own dtypes, not rescaled.

        Runs one inference for each input, batch 1. Raises NothingStagedError, RuntimeMissingError, InferenceError.
        """
        ...

    def commit(self) -> DeviceStatus:
        """Make the staged model the active one and confirm it once it is.

        Raises NothingStagedError, or TransferError if its bytes rotted; the previous model is then active again.
        """
        ...

    def discard(self) -> None:
        """Forget the staged model, if there is one."""
        ...

    def rollback(self) -> DeviceStatus:
        """Activate the previous model again; the model rolled back from is no longer kept for a rollback.

        Raises NothingToRollBackError if there is none or its bytes differ from its manifest.
        """
        ...

    def close(self) -> None:
        """Empty the scratch folder and let go of the device. Closing twice is harmless."""
        ...

    def __enter__(self) -> Device: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
