# SPDX-License-Identifier: Apache-2.0
"""An open device of a board, with every choice resolved. It needs neither torch nor a converter."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib import metadata
from types import TracebackType
from typing import Any, TypedDict, TypeVar

from numpy.typing import NDArray

from edgenas.artifacts.artifact import Artifact
from edgenas.boards.board import Board, Precision
from edgenas.boards.prior import Prior
from edgenas.costs.limits import Limits
from edgenas.costs.tflite_arena import arena_bytes
from edgenas.errors import UsageError
from edgenas.measuring.resolve import (
    governor_of,
    precision_of,
    runtime_of,
    setting_of,
    statistic_of,
)
from edgenas.profiles.profile import ProfileKey
from edgenas.resources import home, writable_home
from edgenas.runtimes.memory import Memory
from edgenas.runtimes.registry import RUNTIMES, in_use, unasked
from edgenas.spaces.architecture import Block
from edgenas.units import UNITS
from edgenas.version import __version__
from firmware_tools import connect as devices
from firmware_tools.device import Device, DeviceInfo, TimingPlan

_QUICK = {"processes": 3, "warmup_s": 0.05, "timed_s": 0.1, "repeats": 1}  # for models that are one of many
_COUNTED_PROCESSES = 2  # the fewest that there may be: counted instructions are the same in all of them
_PACKAGES = ("torch", "onnx", "ai-edge-quantizer", "numpy")  # that make a model

Self = TypeVar("Self", bound="Connection")


def connect(url: str, *, runtime: str | None = None, access: devices.Access | None = None) -> Device:
    """`firmware_tools.connect.connect` with the user's folder.

    Raises UsageError, which names EDGENAS_HOME, if the device lives in that folder and it cannot be written.
    """
    folder = writable_home() if devices.lives_in_home(url) else home()
    return devices.connect(url, home=folder, runtime=runtime, access=access)


class Choices(TypedDict, total=False):
    """What `Connection` takes by keyword, for those who pass it on."""

    device: str | None
    access: devices.Access | None
    precision: str | None
    statistic: str | None
    prior: Prior | None
    governor: str | None
    runtime: str | None


class Connection:
    """A board's open device, and the precision, statistic, governor and runtime chosen for it; a context manager.

    prior: the board's, to leave the board alone. The emulated device that the prior names is then opened instead
    (`unicorn:`, else as `device` says), and measurements are in that one's unit.

    `governor` is set on the board while models are timed; `runtime` runs them, the device's first if it is None. Raises
    DeviceError if the device cannot be reached, is in use or lacks the runtime; UsageError for an unknown statistic or
    precision, or a governor that cannot be set.
    """

    def __init__(
        self,
        board: Board,
        *,
        device: str | None = None,
        access: devices.Access | None = None,
        precision: str | None = None,
        statistic: str | None = None,
        prior: Prior | None = None,
        governor: str | None = None,
        runtime: str | None = None,
    ) -> None:
        self.board, self.prior = board, prior
        opened = board
        if prior is not None:
            opened, device = Board.load(prior.counted_on), device or "unicorn:"
        self.precision: Precision = precision_of(precision or board.precision, board)
        self.statistic = statistic_of(statistic or board.statistic)
        self._before_opening()
        with ExitStack() as stack:
            self.device: Device = stack.enter_context(connect(opened.url(device), runtime=runtime, access=access))
            self.info: DeviceInfo = self.device.info()
            opened.check_device(self.info)
            self.governor = governor_of(governor, self.info)
            self.runtime = in_use(self.info, board.kind)
            asked = None if precision is None else self.precision
            self.precision = self.runtime.precision(asked, self.precision, runtime_of(self.info).version)
            self.key = self._key(opened)
            self._stack = stack.pop_all()

    def _before_opening(self) -> None:
        """Raise what is to be said before the device is opened, and after all choices were understood."""

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def _key(self, board: Board) -> ProfileKey:
        runtime = runtime_of(self.info)
        setting = setting_of(self.info, self.governor)
        return ProfileKey(
            board.id, runtime.name, runtime.version, self.precision, board.threads, self.statistic, setting
        )

    @property
    def counts(self) -> bool:
        """Whether the device counts instructions, which repeat exactly, instead of taking the time."""
        return UNITS[self.info.unit].counted

    @property
    def scale(self) -> float:
        """How many of the board's unit make one of a measurement's: 1 unless the prior's emulator counts."""
        return 1.0 if self.prior is None else self.prior.ms_per_minsn

    @property
    def tflite_precision(self) -> Precision:
        """Of the .tflite files for this device: as chosen, but float32 beside ONNX files that the device runs."""
        return self.precision if self.runtime.format == "tflite" else "float32"

    @property
    def onnx_precision(self) -> Precision | None:
        """Of the ONNX file of artifacts for this device; None where no runtime takes it that a deploy may choose."""
        if self.runtime.format == "onnx":
            return self.precision
        takers = [name for name in unasked(self.info) if name in RUNTIMES and RUNTIMES[name].format == "onnx"]
        return "float32" if takers else None

    @property
    def float_tolerance(self) -> float:
        """By how much the device's float32 outputs may differ from the host's, as `golden_mismatch` takes it."""
        return self.runtime.float_tolerance(self.precision)

    @property
    def limits(self) -> Limits:
        """The board's hard limits; a microcontroller's are of arena and plan, what the firmware leaves of both."""
        return self.runtime.limits(self.board, self.info)

    def timed(self, artifact: Artifact) -> bytes:
        """The model of an artifact that the device times. Raises UsageError if it has none for the runtime."""
        if self.runtime.format == "tflite":
            return artifact.tflite
        if artifact.onnx is None:
            taker = self.runtime.title
            raise UsageError(f"the artifact has no ONNX model, which {taker} takes: deploy again in a new folder")
        return artifact.onnx

    def plan(self, *, quick: bool = False) -> TimingPlan:
        """The board's timing protocol; `quick` for models of which many are measured."""
        board = self.board
        plan = TimingPlan(board.processes, threads=board.threads, statistic=self.statistic, governor=self.governor)
        if quick and self.counts:
            return replace(plan, processes=_COUNTED_PROCESSES)
        return replace(plan, **_QUICK) if quick else plan  # type: ignore[arg-type]

    def memory(self, tflite: bytes) -> Memory | None:
        """What a model takes of a microcontroller, exactly; None on other boards. Raises PlanError."""
        return self.runtime.memory(self.board, tflite)

    def fits(self, blocks: Sequence[Block], model: bytes) -> bool:
        """Whether a network, converted to `model`, is within the limits, exactly planned."""
        memory = self.memory(model)
        if memory is not None:
            return memory.fits(self.limits)
        ram, flash = self.limits.ram_bytes, self.limits.flash_bytes
        return (ram is None or arena_bytes(blocks, self.precision) <= ram) and (flash is None or len(model) <= flash)

    def simulated(self, artifact: Artifact) -> NDArray[Any] | None:
        """What the runtime must compute of the golden inputs, to the bit; None where that is not known."""
        return self.runtime.simulated(artifact)

    def versions(self) -> dict[str, str]:
        """What made and measured a model, by name."""
        agent = "firmware" if self.board.has_firmware else "agent"
        runtime = {self.key.runtime: self.key.runtime_version, agent: self.info.agent_version}
        return {"edgenas": __version__, **runtime, **{name: _version(name) for name in _PACKAGES}}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"
