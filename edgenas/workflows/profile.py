# SPDX-License-Identifier: Apache-2.0
"""`edgenas profile`: measure sampled architectures with random weights on the device and fit the latency model.

What is measured is in the store at once, so a session that was interrupted, however hard, loses one batch at most: the
same command goes on in the same session, drift against its first timings included, for the minutes that it is given.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from math import inf
from typing import Any, Literal

import numpy as np

from edgenas.boards import inventory
from edgenas.measuring.drift import ReferencedDevice
from edgenas.measuring.session import Session
from edgenas.nas import sampling
from edgenas.nas.lattice import Lattice
from edgenas.nas.sampling import Coverage
from edgenas.profiles.measurement import Measurement
from edgenas.profiles.profile import BoardProfile
from edgenas.progress import Reporter, Silent
from edgenas.spaces.architecture import Architecture
from edgenas.spaces.space import SearchSpace
from edgenas.units import Unit, fraction
from edgenas.workflows.validation import cross_validated
from firmware_tools.connect import Access

MINUTES = 10.0
_BATCH = 12
_AGAIN = 3  # networks of a batch, at most, that are timed again in the next because they alone were disturbed
_LEAST_BATCH = 4  # for fewer, converter and device start in vain
_LEAST = 36  # architectures of a session before its error may end it

StoppedBy = Literal["time", "target", "count", "space"]


@dataclass(frozen=True)
class Until:
    """What ends a profiling session: about `seconds`, a cross-validated error under `target_mape` (0.03 is 3 %), or
    `most` architectures, resumed ones included.
    """

    seconds: float
    target_mape: float | None = None
    most: int | None = None


FIRST = Until(60.0, 0.02, 72)  # a deploy's own profiling of a board that has no profile
COUNTED = Until(inf, 0.02, 72)  # counts repeat exactly: a busy computer must not end it earlier than a quiet one


@dataclass(frozen=True)
class Profiled:
    """A saved profile, with the space's predicted range on the board in `unit`.

    measured: architectures of this session, with those from before it was interrupted. mape: the model's mean absolute
    relative error on them, cross-validated; None of too few. drift: the largest relative change of the board since the
    session began, where it has a clock; repeated: batches that were timed again because it jumped. stopped_by: "time",
    "target" (the error was reached), "count" (a deploy needs no more), "space" (everything is measured).
    """

    profile: BoardProfile
    unit: Unit
    fastest_ms: float
    slowest_ms: float
    seconds: float
    measured: int
    mape: float | None
    coverage: Coverage
    drift: float | None
    repeated: int
    stopped_by: StoppedBy

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        profile = self.profile
        table = {
            **asdict(profile.key),
            "space": profile.space_name,
            "input_shape": list(profile.input_shape),
            "measurements": profile.measurements,
            "measured": self.measured,
            "mape": self.mape,
            "coverage": asdict(self.coverage),
            "drift": self.drift,
            "repeated": self.repeated,
            "stopped_by": self.stopped_by,
            "fastest_ms": self.fastest_ms,
            "slowest_ms": self.slowest_ms,
            "file": str(BoardProfile.path(profile.key)),
            "seconds": round(self.seconds, 3),
        }
        return self.unit.label(table)


def profile(
    board: str | None = None,
    *,
    device: str | None = None,
    space: str = "tiny",
    input_shape: tuple[int, int, int] = (1, 28, 28),
    classes: int = 10,
    precision: str | None = None,
    statistic: str | None = None,
    minutes: float = MINUTES,
    target_mape: str | None = None,
    seed: int = 0,
    set_governor: str | None = None,
    runtime: str | None = None,
    access: Access | None = None,
    reporter: Reporter | None = None,
) -> Profiled:
    """Profile `board` for about `minutes`, or until its error is under `target_mape`, and save the refined profile.

    target_mape: the cross-validated mean absolute error as a percentage, as in "3%"; None: all the minutes. What was
    measured before counts, and no architecture is measured twice on the board but a few that tell sessions' drift.
    set_governor: a frequency governor for the time of every measurement; what was set before is put back. runtime: what
    runs the models on the device (litert, tflite, tensorflow, tensorrt), else its first.

    Raises UsageError for an unknown board, space or statistic, a target that is no percentage, or a governor that
    cannot be set, DeviceError if the device fails.
    """
    reporter = reporter or Silent()
    reporter.stage("profile")
    target = None if target_mape is None else fraction(target_mape, "target MAPE")
    bound = SearchSpace.load(space, input_shape, classes)
    described, url = inventory.resolve(board, device)
    with Session(
        described,
        reporter,
        device=url,
        access=access,
        precision=precision,
        statistic=statistic,
        governor=set_governor,
        runtime=runtime,
    ) as session:
        return profile_session(session, bound, Until(60 * minutes, target), seed=seed)


def profile_session(session: Session, space: SearchSpace, until: Until, *, seed: int = 0) -> Profiled:
    """`profile` on an open session: batch by batch, half of it what is known least, the first by a prior."""
    return ProfilingSession(session, space, until, seed).run()


class ProfilingSession:
    """One profiling session."""

    def __init__(self, session: Session, space: SearchSpace, until: Until, seed: int) -> None:
        self._started = time.monotonic()
        self._session, self._space, self._until = session, space, until
        self._rng = np.random.default_rng(seed)
        session.use(space)
        self._lattice = sampling.unpriced(space, session.limits, session.precision)
        self._reference = sampling.reference(self._lattice)
        self._known = self._stored()
        self._measured = {Architecture.parse(m.architecture) for m in self._known if m.origin is None}
        self._first_ms = self._resume()
        self._tried = 0  # architectures that this session tried
        self._again: list[Architecture] = []  # of the last batch, disturbed
        self._mape: float | None = None

    def run(self) -> Profiled:
        """Measure until it is time to stop; fit and save the profile."""
        session = self._session
        device = session.referenced(self._space, self._first_ms)
        if len(self._measured) >= _BATCH:
            self._learn()
        while (stopped_by := self._ended()) is None:
            batch = self._batch()
            if not batch:  # a space of few architectures
                stopped_by = "space"
                break
            found = session.measure_fitting(self._space, batch)
            disturbed = [a for a, m in zip(batch, found, strict=True) if m is not None and m.disturbed]
            # What disturbs most of a batch lasts: it is not waited out.
            lasting = len(disturbed) > _AGAIN
            self._again = [] if lasting else [a for a in disturbed if a not in self._again]
            self._measured.update(batch)
            self._tried += len(batch)
            self._learn()
            session.reporter.status(self._status(device))
        refined = session.refined()
        refined.save()
        fastest, slowest = map(self._lattice.price, self._lattice.extremes())
        drifted = [abs(ratio - 1) for ratio in device.ratios] if device is not None else []
        return Profiled(
            profile=refined,
            unit=session.board.unit,
            fastest_ms=fastest,
            slowest_ms=slowest,
            seconds=time.monotonic() - self._started,
            measured=self._count(),
            mape=self._mape,
            coverage=sampling.coverage(self._lattice, self._measured),
            drift=max(drifted, default=None),
            repeated=device.repeated if device is not None else 0,
            stopped_by=stopped_by,
        )

    def _stored(self) -> list[Measurement]:
        """What the store has of this key and space."""
        space = self._space
        known = self._session.store.read(self._session.key, space=space.name)
        return [m for m in known if (m.input_shape, m.classes) == (space.input_shape, space.classes)]

    def _resume(self) -> float | None:
        """Go on in the last profiling session if it was interrupted: what the reference took when it began, else None.

        A session that has come to its end has left a profile that knows all of it.
        """
        profile, name = BoardProfile.load(self._session.key), str(self._reference)
        begun = [m for m in self._known if m.architecture == name and not m.trained and m.origin is None]
        if not begun or (profile is not None and begun[-1].taken_utc <= profile.refined_utc):
            return None
        self._session.id = begun[-1].session
        mine = [m for m in begun if m.session == self._session.id]
        return min(mine, key=lambda m: m.disturbed).corrected_ms  # the first undisturbed one, else the first

    def _count(self) -> int:
        return len({m.architecture for m in self._known if m.session == self._session.id})

    def _ended(self) -> StoppedBy | None:
        until, count = self._until, self._count()
        if until.most is not None and count >= until.most:
            return "count"
        target = until.target_mape
        if target is not None and self._mape is not None and count >= _LEAST and self._mape <= target:
            return "target"
        return "time" if self._room() < _LEAST_BATCH else None

    def _room(self) -> int:
        """How many architectures there is time for, of a batch."""
        if not self._tried:
            return _BATCH
        spent = time.monotonic() - self._started
        return int(min(_BATCH, (self._until.seconds - spent) / (spent / self._tried)))

    def _batch(self) -> list[Architecture]:
        """What tells this session from others, the disturbed, the space's ends, a template; then as `design` says."""
        first = [] if self._tried or self._first_ms is not None else self._shared()
        likely = [*self._lattice.extremes(), *sampling.filled(self._lattice, self._rng)]
        new = (a for a in likely if a not in self._measured)
        fixed = list(dict.fromkeys([*first, *self._again, *new]))[: self._room()]
        candidates = [a for a in sampling.pool(self._lattice, self._rng) if a not in self._measured and a not in fixed]
        chosen = sampling.choose(
            self._space, self._lattice.price, sorted({*self._measured, *fixed}), candidates, self._room() - len(fixed)
        )
        return fixed + chosen

    def _shared(self) -> list[Architecture]:
        """The reference, and the fastest and slowest of earlier sessions: three networks give sessions' drift.

        Counts do not drift: nothing is counted twice.
        """
        if self._session.counts:
            return [] if self._reference in self._measured else [self._reference]
        known = sorted((m for m in self._known if not m.trained), key=lambda m: m.corrected_ms)
        return [self._reference, *(Architecture.parse(m.architecture) for m in (*known[:1], *known[-1:]))]

    def _learn(self) -> None:
        """Price the space by what is known now, and tell how far the model is off."""
        session = self._session
        self._known = self._stored()
        model = session.model()
        self._lattice = Lattice(self._space, model.block_ms, model.bias_ms, session.limits, session.precision)
        name, exact = model.to_json()["model"], session.runtime.exact
        self._mape = cross_validated(self._space, self._known, name, exact)

    def _status(self, device: ReferencedDevice | None) -> str:
        """One line of how far the session is."""
        covered = sampling.coverage(self._lattice, self._measured)
        parts = [
            f"{self._count()} measured",
            f"off by {self._mape:.1%}" if self._mape is not None else "",
            f"{covered.operators:.0%} of the operators, {covered.latencies:.0%} of the latencies",
            f"drift {device.ratios[-1] - 1:+.1%}" if device is not None and device.ratios else "",
        ]
        return ", ".join(filter(None, parts))
