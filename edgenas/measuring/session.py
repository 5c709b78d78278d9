# SPDX-License-Identifier: Apache-2.0
"""An open connection to one board. Every measurement is stored and refines the board's profile.

Profiling and deploying are the same work on different networks, so both use this.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from edgenas.boards.board import Board
from edgenas.conversion import Converter
from edgenas.measuring import probe_models
from edgenas.measuring.connection import Choices, Connection
from edgenas.measuring.drift import ReferencedDevice
from edgenas.measuring.notes import Notes
from edgenas.measuring.recorder import Recorder
from edgenas.measuring.refinement import Refinement
from edgenas.measuring.retiming import Retiming
from edgenas.nas import sampling
from edgenas.profiles.measurement import Measurement
from edgenas.profiles.store import Store
from edgenas.progress import Reporter
from edgenas.resources import require_package, writable_home
from edgenas.spaces.architecture import Architecture
from edgenas.spaces.space import SearchSpace
from firmware_tools.device import Timing, TimingPlan

if TYPE_CHECKING:  # Python 3.10 has no Unpack
    from typing_extensions import Unpack

Networks = Sequence[Architecture]


class Session(Connection):
    """A connection that times networks with random weights. Raises as `Connection`, and EdgenasError without torch."""

    def __init__(self, board: Board, reporter: Reporter, **choices: Unpack[Choices]) -> None:
        super().__init__(board, **choices)
        self.reporter = reporter
        self.id = uuid.uuid4().hex[:12]
        self.retiming = Retiming()
        self.store = self._stack.enter_context(Store())
        self.converter = self._stack.enter_context(Converter(progress=reporter.say))
        self._notes = Notes(lambda line: self.reporter.say(line))  # a run's log may take the reporter's place
        self._refinement = Refinement(board, self.key, self.store, self._notes)
        self.use, self.refined, self.model = self._refinement.use, self._refinement.refined, self._refinement.model
        self._referenced: ReferencedDevice | None = None
        self._reference: Architecture | None = None

    def _before_opening(self) -> None:
        writable_home()  # measurements and profiles are kept there
        require_package("torch")

    def referenced(self, space: SearchSpace, first_ms: float | None = None) -> ReferencedDevice | None:
        """The device that times untrained models in turn with a reference of the first space; None where it counts.

        first_ms: what the reference took when an earlier session began that goes on.
        """
        if self.counts:
            return None
        if self._referenced is None:
            self._reference = sampling.reference(sampling.unpriced(space, self.limits, self.precision))
            (model,) = self.convert_untrained(space, [self._reference])
            say = partial(self._notes.say, "jump")
            self._referenced = ReferencedDevice(self.device, model, first_ms, say, self.retiming)
        return self._referenced

    def begin(self, space: SearchSpace) -> None:
        """Time the reference, if this session has not yet: by it earlier sessions are brought to the present speed."""
        if self._referenced is None and (device := self.referenced(space)) is not None:
            assert self._reference is not None
            with self.retiming.spend(1, again=False):
                timings = device.time([device.reference], self.plan(quick=True))
            self.record(space, [self._reference], timings, trained=False)

    def measure_untrained(self, space: SearchSpace, architectures: Networks) -> list[Measurement]:
        """Convert with random weights, measure on the device, append to the store; in the architectures' order."""
        return self._measured(space, architectures, list(self.convert_untrained(space, architectures)))

    def measure_fitting(self, space: SearchSpace, architectures: Networks) -> list[Measurement | None]:
        """`measure_untrained`, but None for what takes more memory than there is, exactly planned."""
        models = list(self.convert_untrained(space, architectures))
        fitting = [i for i, model in enumerate(models) if self.fits(space.blocks(architectures[i]), model)]
        if len(fitting) < len(models):
            self.reporter.say(f"{len(models) - len(fitting)} of {len(models)} do not fit {self.board.id}: left out")
        measured = self._measured(space, [architectures[i] for i in fitting], [models[i] for i in fitting])
        by_place = dict(zip(fitting, measured, strict=True))
        return [by_place.get(place) for place in range(len(models))]

    def _measured(self, space: SearchSpace, architectures: Networks, models: Sequence[bytes]) -> list[Measurement]:
        self.begin(space)
        return self.time(space, architectures, models, self.plan(quick=True), trained=False)

    def time(
        self,
        space: SearchSpace,
        architectures: Networks,
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
        device = self.device if trained or self._referenced is None else self._referenced

        def timed(places: Sequence[int]) -> list[Timing]:
            return device.time([models[i] for i in places], plan, progress)

        def record(places: Sequence[int], timings: Sequence[Timing], doubts: Mapping[int, float]) -> list[Measurement]:
            return self.record(space, [architectures[i] for i in places], timings, trained=trained, doubts=doubts)

        return self.retiming.settled(len(models), timed, partial(self.doubts, space, architectures), record)

    def doubts(self, space: SearchSpace, architectures: Networks, timings: Sequence[Timing]) -> dict[int, float]:
        """`Refinement.doubts`; none where instructions are counted: they repeat exactly."""
        return {} if self.counts else self._refinement.doubts(space, architectures, timings, self.session_speed)

    @property
    def session_speed(self) -> float:
        """What `Measurement.corrected_ms` of this session is to be multiplied by: its start may have been slow."""
        return 1.0 if self._referenced is None else self._referenced.session_speed

    def convert_untrained(self, space: SearchSpace, architectures: Networks) -> Iterator[bytes]:
        """Models of random weights that the device times, one by one, in the format that its runtime takes."""
        models = probe_models.convert(self.runtime.format, self.converter, space, architectures, self.precision)
        for index, model in enumerate(models):
            self.reporter.progress(index + 1, len(architectures), "conversions")
            yield model

    def record(
        self,
        space: SearchSpace,
        architectures: Networks,
        timings: Sequence[Timing],
        *,
        trained: bool,
        doubts: Mapping[int, float] | None = None,
    ) -> list[Measurement]:
        """Append timings to the store and return them as measurements; those that have `doubts` are flagged."""
        if marked := self.retiming.effort.count(timings):
            self._notes.say("disturbed", f"timings are disturbed: {marked[0]}; the quietest moments count (said once)")
        self.use(space)
        recorder = Recorder(self.key, space, self.id, self.info.hostname, trained, self._reference)
        measurements = recorder.measurements(architectures, timings, doubts or {})
        self.store.append(measurements)
        return measurements
