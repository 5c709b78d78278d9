"""One sitting with one device: what it measures goes to the store, and the profile learns from it.

Profiling and deploying are the same work on different networks, so both use this.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from importlib import metadata
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from edgenas import latency
from edgenas.artifacts.artifact import FLOAT_TOLERANCE, HALF_TOLERANCE, QUANTISED_TOLERANCE, Artifact
from edgenas.boards.board import Board
from edgenas.boards.prior import Prior
from edgenas.conversion import Converter, Precision
from edgenas.costs.limits import Limits
from edgenas.costs.tflite_arena import arena_bytes
from edgenas.errors import UsageError
from edgenas.latency import AdditiveModel
from edgenas.latency.engine import EngineModel
from edgenas.measuring import probe_models
from edgenas.measuring.connection import connect
from edgenas.measuring.drift import SteadiedDevice
from edgenas.measuring.recorder import Recorder
from edgenas.measuring.resolve import (
    TENSORRT,
    governor_of,
    on_tensorrt,
    precision_of,
    runtime_of,
    setting_of,
    statistic_of,
    tensorrt_precision,
)
from edgenas.measuring.retiming import Retiming
from edgenas.profiles import other_boards
from edgenas.profiles.measurement import Measurement
from edgenas.profiles.profile import BoardProfile, ProfileKey
from edgenas.profiles.refine import contradicted, refreshed
from edgenas.profiles.store import Store
from edgenas.progress import Reporter
from edgenas.resources import require_package, writable_home
from edgenas.runtimes import engine
from edgenas.runtimes.engine import Memory
from edgenas.search import sampling
from edgenas.spaces import catalogue
from edgenas.spaces.architecture import Architecture, Block
from edgenas.spaces.space import SearchSpace
from edgenas.units import MINSN
from edgenas.version import __version__
from firmware_tools.connect import Access
from firmware_tools.device import Device, DeviceInfo, Timing, TimingPlan

_QUICK = {"processes": 3, "warmup_s": 0.05, "timed_s": 0.1, "repeats": 1}  # for models that are one of many
_REPEATS = 2  # where instructions are counted: the least that there may be, all are equal


class Session:
    """A board's device, opened; use it as a context manager.

    prior: of the board, to go by it and to leave the board alone: what is asked of the device is then asked of the
    emulated one that the prior names (`unicorn:`, else as `device` says). Measurements are that one's, in its unit;
    `model` is in the board's.

    `governor` is set on the board while models are timed; `runtime` runs them, the device's first if it is None. Raises
    DeviceError if the device cannot be reached, is in use or lacks the runtime; UsageError for an unknown statistic or
    precision, or a governor that cannot be set.
    """

    def __init__(
        self,
        board: Board,
        reporter: Reporter,
        *,
        device: str | None = None,
        access: Access | None = None,
        precision: str | None = None,
        statistic: str | None = None,
        prior: Prior | None = None,
        governor: str | None = None,
        runtime: str | None = None,
    ) -> None:
        self.board, self.reporter, self.prior = board, reporter, prior
        opened = board
        if prior is not None:
            opened, device = Board.load(prior.counted_on), device or "unicorn:"
        self.id = uuid.uuid4().hex[:12]
        self.precision = precision_of(precision or board.precision, board)
        self.statistic = statistic_of(statistic or board.statistic)
        self._spaces: dict[str, SearchSpace] = {}
        self._told: set[str] = set()  # kinds of notes
        self.retiming = Retiming()
        self._steadied: SteadiedDevice | None = None
        self._reference: Architecture | None = None
        writable_home()  # measurements and profiles are kept there
        require_package("torch")  # before anything is opened or installed for nothing
        with ExitStack() as stack:
            url = opened.url(device)
            self.device: Device = stack.enter_context(connect(url, runtime=runtime, access=access))
            self.info: DeviceInfo = self.device.info()
            opened.check_device(self.info)
            self._governor = governor_of(governor, self.info)
            if self.on_tensorrt:
                self.precision = tensorrt_precision(precision, runtime_of(self.info))
            self.key = self._key(opened)
            self.store = stack.enter_context(Store())
            self.converter = stack.enter_context(Converter(progress=reporter.say))
            self._stack = stack.pop_all()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def _key(self, board: Board) -> ProfileKey:
        runtime = runtime_of(self.info)
        setting = setting_of(self.info, self._governor)
        measured = (self.precision, board.threads, self.statistic)
        return ProfileKey(board.id, runtime.name, runtime.version, *measured, setting)

    @property
    def on_tensorrt(self) -> bool:
        """Whether the device runs ONNX models by TensorRT."""
        return on_tensorrt(self.info)

    @property
    def tflite_precision(self) -> Precision:
        """Of the .tflite files for this device: the session's, but float32 beside the ONNX files that TensorRT runs."""
        return "float32" if self.on_tensorrt else self.precision

    @property
    def onnx_precision(self) -> Precision | None:
        """Of the ONNX file of artifacts for this device: it goes along wherever TensorRT is, else there is none."""
        if not any(runtime.name == TENSORRT for runtime in self.info.runtimes):
            return None
        return self.precision if self.on_tensorrt else "float32"

    @property
    def float_tolerance(self) -> float:
        """By how much the device's float32 outputs may differ from the host's, as `golden_mismatch` takes it."""
        if not self.on_tensorrt:
            return FLOAT_TOLERANCE
        return QUANTISED_TOLERANCE if self.precision == "int8" else HALF_TOLERANCE

    def timed(self, artifact: Artifact) -> bytes:
        """The model of an artifact that the device times. Raises UsageError if it has none for TensorRT."""
        if not self.on_tensorrt:
            return artifact.tflite
        if artifact.onnx is None:
            raise UsageError("the artifact has no ONNX model, which TensorRT takes: deploy again in a new folder")
        return artifact.onnx

    @property
    def limits(self) -> Limits:
        """The board's hard limits; a microcontroller's are of arena and plan, what the firmware leaves of both."""
        if self.board.kind == "mcu":
            return engine.limits(self.board, self.info)
        return Limits(self.board.ram_bytes, self.board.flash_bytes)

    def versions(self) -> dict[str, str]:
        """What made and measured a model, by name."""
        agent = "firmware" if self.board.kind == "mcu" else "agent"
        runtime = {self.key.runtime: self.key.runtime_version, agent: self.info.agent_version}
        packages = ("torch", "onnx", "ai-edge-quantizer", "numpy")
        return {"edgenas": __version__, **runtime, **{name: _version(name) for name in packages}}

    def plan(self, *, quick: bool = False) -> TimingPlan:
        """The board's timing protocol; `quick` for models of which many are measured."""
        board = self.board
        plan = TimingPlan(board.processes, threads=board.threads, statistic=self.statistic, governor=self._governor)
        if quick and self.info.unit == MINSN.name:
            return replace(plan, processes=_REPEATS)
        return replace(plan, **_QUICK) if quick else plan  # type: ignore[arg-type]

    def steadied(self, space: SearchSpace, first_ms: float | None = None) -> SteadiedDevice | None:
        """The device that untrained models are timed on, in turn with a reference; None where instructions are counted.

        One for the whole session, with the reference of the space that it was first asked for. first_ms: what that took
        when the session began, if it goes on.
        """
        if self.info.unit == MINSN.name:
            return None
        if self._steadied is None:
            self._reference = sampling.reference(sampling.unpriced(space, self.limits, self.precision))
            (model,) = self.convert_untrained(space, [self._reference])
            say = partial(self._say_once, "jump")
            self._steadied = SteadiedDevice(self.device, model, first_ms, say, self.retiming)
        return self._steadied

    def begin(self, space: SearchSpace) -> None:
        """Time the reference, if this session has not yet: by it earlier sessions are brought to the present speed."""
        if self._steadied is None and (steadied := self.steadied(space)) is not None:
            assert self._reference is not None
            with self.retiming.spend(1, again=False):
                taken = steadied.time([steadied.reference], self.plan(quick=True))
            self.record(space, [self._reference], taken, trained=False)

    def measure_untrained(self, space: SearchSpace, architectures: Sequence[Architecture]) -> list[Measurement]:
        """Convert with random weights, measure on the device, append to the store; in the architectures' order."""
        return self._measured(space, architectures, list(self.convert_untrained(space, architectures)))

    def measure_fitting(self, space: SearchSpace, architectures: Sequence[Architecture]) -> list[Measurement | None]:
        """`measure_untrained`, but None for what takes more memory than there is, exactly planned."""
        models = list(self.convert_untrained(space, architectures))
        fitting = [i for i, model in enumerate(models) if self._fits(space.blocks(architectures[i]), model)]
        if len(fitting) < len(models):
            self.reporter.say(f"{len(models) - len(fitting)} of {len(models)} do not fit {self.board.id}: left out")
        found: list[Measurement | None] = [None] * len(models)
        measured = self._measured(space, [architectures[i] for i in fitting], [models[i] for i in fitting])
        for index, measurement in zip(fitting, measured, strict=True):
            found[index] = measurement
        return found

    def memory(self, tflite: bytes) -> Memory | None:
        """What a model takes of a microcontroller, exactly; None on other boards. Raises PlanError."""
        return engine.memory(self.board, tflite) if self.board.kind == "mcu" else None

    def simulated(self, artifact: Artifact) -> NDArray[np.int8] | None:
        """What a microcontroller must compute of the golden inputs, to the bit; None where that is not known."""
        if self.board.kind != "mcu":
            return None
        return engine.simulated(artifact.tflite, artifact.golden_vectors()[0])

    def _fits(self, blocks: Sequence[Block], model: bytes) -> bool:
        memory = self.memory(model)
        if memory is not None:
            return memory.fits(self.limits)
        ram, flash = self.limits.ram_bytes, self.limits.flash_bytes
        return (ram is None or arena_bytes(blocks, self.precision) <= ram) and (flash is None or len(model) <= flash)

    def _measured(
        self, space: SearchSpace, architectures: Sequence[Architecture], models: Sequence[bytes]
    ) -> list[Measurement]:
        self.begin(space)
        return self.time(space, architectures, models, self.plan(quick=True), trained=False)

    def time(
        self,
        space: SearchSpace,
        architectures: Sequence[Architecture],
        models: Sequence[bytes],
        plan: TimingPlan,
        *,
        trained: bool,
    ) -> list[Measurement]:
        """Time models on the device and append to the store; returns what is to be believed of each, in their order.

        What contradicts the profile by more than its 99 % interval is timed again before it is believed, as far as
        `edgenas.measuring.retiming` affords it. The middle one counts, the store has them all.
        """
        progress = partial(self.reporter.progress, unit="timings")
        device = self.device if trained or self._steadied is None else self._steadied

        def timed(places: Sequence[int]) -> list[Timing]:
            return device.time([models[i] for i in places], plan, progress)

        def record(places: Sequence[int], timings: Sequence[Timing], doubts: Mapping[int, float]) -> list[Measurement]:
            return self.record(space, [architectures[i] for i in places], timings, trained=trained, doubts=doubts)

        return self.retiming.settled(len(models), timed, partial(self.doubts, space, architectures), record)

    def doubts(
        self, space: SearchSpace, architectures: Sequence[Architecture], timings: Sequence[Timing]
    ) -> dict[int, float]:
        """The profile's predictions, by place, that timings contradict, the worst first; none without a profile.

        Counted instructions are exact: they repeat, so that there is nothing to doubt.
        """
        profile = None if self.info.unit == MINSN.name else BoardProfile.load(self.key)
        if profile is None:
            return {}
        model = latency.load(profile.latency, str(BoardProfile.path(self.key)))
        intervals = [_corrected(timing, self.level) for timing in timings]
        found = contradicted(model, [space.blocks(a) for a in architectures], intervals)
        if found:
            place, predicted = next(iter(found.items()))
            shown = self.board.unit.format
            self._say_once(
                "contradicted",
                f"{len(found)} of {len(timings)} measurements contradict the profile, the most "
                f"{shown(timings[place].latency_ms)}, predicted {shown(predicted)}: such are timed again (said once)",
            )
        return found

    @property
    def level(self) -> float:
        """What `Measurement.corrected_ms` of this session is to be multiplied by: its start may have been slow."""
        return 1.0 if self._steadied is None else self._steadied.level

    @property
    def scale(self) -> float:
        """How many of the board's unit there are in one of a measurement's: 1, unless counts go by a prior."""
        return 1.0 if self.prior is None else self.prior.ms_per_minsn

    def convert_untrained(self, space: SearchSpace, architectures: Sequence[Architecture]) -> Iterator[bytes]:
        """Models of random weights that the device times, one by one: .tflite files, or ONNX files for TensorRT."""
        convert = probe_models.for_tensorrt if self.on_tensorrt else partial(probe_models.for_tflite, self.converter)
        for index, model in enumerate(convert(space, architectures, self.precision)):
            self.reporter.progress(index + 1, len(architectures), "conversions")
            yield model

    def record(
        self,
        space: SearchSpace,
        architectures: Iterable[Architecture],
        timings: Iterable[Timing],
        *,
        trained: bool,
        doubts: Mapping[int, float] | None = None,
    ) -> list[Measurement]:
        """Append timings to the store and return them as measurements; those that have `doubts` are flagged."""
        timings = list(timings)
        marked = [timing.conditions.marked[0] for timing in timings if timing.conditions.marked]
        self.retiming.effort.timings += len(timings)
        self.retiming.effort.disturbed += len(marked)
        if marked:
            self._say_once("disturbed", f"timings are disturbed: {marked[0]}; the quietest moments count (said once)")
        self.use(space)
        recorder = Recorder(self.key, space, self.id, self.info.hostname, trained, self._reference)
        measurements = [
            recorder.measurement(architecture, timing, (doubts or {}).get(place))
            for place, (architecture, timing) in enumerate(zip(architectures, timings, strict=True))
        ]
        self.store.append(measurements)
        return measurements

    def refined(self, focus_latency: float | None = None) -> BoardProfile:
        """The profile fitted on all measurements of this key in the store, most accurate near `focus_latency`."""
        measured = [m for m in self.store.read(self.key) if self._space(m) is not None]
        profile = refreshed(self.board, self.key, measured, self._blocks, focus_latency=focus_latency)
        self._tell_of_others(profile)
        return profile

    def _tell_of_others(self, profile: BoardProfile) -> None:
        """When the first profile is fitted: whether other boards' helped."""
        line = other_boards.told(profile.provenance)
        if line is not None and BoardProfile.load(self.key) is None:
            self._say_once("others", line)

    def _say_once(self, kind: str, line: str) -> None:
        """`line` for the user and the log, unless one of its kind was said before."""
        if kind not in self._told:
            self._told.add(kind)
            self.reporter.say(line)

    def model(self, focus_latency: float | None = None) -> AdditiveModel:
        """The latency model of `refined`, in the board's unit."""
        if self.prior is None:
            return latency.load_additive(self.refined(focus_latency).latency)
        counts = self.refined(focus_latency and focus_latency / self.scale).latency
        return EngineModel.from_json(counts).scaled(self.scale)

    def ms_per_minsn(self, space: SearchSpace, architectures: Sequence[Architecture]) -> float:
        """What a million instructions take on the board: by its prior, or as its latency model prices `architectures`
        of which the instructions are counted in an emulator.

        Raises EmulatorError if there is none.
        """
        assert self.board.prior is not None
        if self.prior is not None:
            return self.scale
        models = self.convert_untrained(space, architectures)
        counted = sum(engine.counted(self.board.prior, model) for model in models)
        mean, _ = self.model().predict([space.blocks(architecture) for architecture in architectures])
        return float(mean.sum() / counted)

    def _blocks(self, measurement: Measurement) -> Sequence[Block]:
        space = self._space(measurement)
        assert space is not None
        return space.blocks(Architecture.parse(measurement.architecture))

    def _space(self, measurement: Measurement) -> SearchSpace | None:
        """The space that a measurement was taken in: of this sitting, else shipped or of an earlier one, else None."""
        mine = self._spaces.get(measurement.space)
        if mine is not None:
            return replace(mine, input_shape=measurement.input_shape, classes=measurement.classes)
        return catalogue.recall(measurement.space, measurement.input_shape, measurement.classes)

    def use(self, space: SearchSpace) -> None:
        """Make a user's own space known, so that measurements in it count, also later."""
        self._spaces[space.name] = space
        catalogue.remember(space)


def _corrected(timing: Timing, level: float) -> tuple[float, float]:
    """The confidence interval as in the session's quick moments, if it was timed in turn with a reference."""
    (low, high), ratio = timing.ci95_ms, timing.conditions.reference_ratio
    return (low, high) if ratio is None else (level * low / ratio, level * high / ratio)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"
