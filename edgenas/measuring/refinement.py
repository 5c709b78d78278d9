# SPDX-License-Identifier: Apache-2.0
"""The profile of one key: fitted again on all that the store holds, and held against new timings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgenas import latency
from edgenas.boards.board import Board
from edgenas.latency import AdditiveModel
from edgenas.latency.engine import EngineModel
from edgenas.measuring.notes import Notes
from edgenas.profiles import other_boards
from edgenas.profiles.measurement import Measurement
from edgenas.profiles.profile import BoardProfile, ProfileKey
from edgenas.profiles.refine import contradicted, refreshed
from edgenas.profiles.store import Store
from edgenas.spaces import catalogue
from edgenas.spaces.architecture import Architecture, Block
from edgenas.spaces.space import SearchSpace
from firmware_tools.device import Timing


class Refinement:
    """What is learnt about one key. Fitting needs scipy; torch and a converter are not needed.

    board: the one that latencies are for, also where `key` is of the emulated board that a prior is counted on.
    """

    def __init__(self, board: Board, key: ProfileKey, store: Store, notes: Notes) -> None:
        self._board, self._key, self._store, self._notes = board, key, store, notes
        self._spaces: dict[str, SearchSpace] = {}

    def use(self, space: SearchSpace) -> None:
        """Make a user's own space known, so that measurements in it count, also later."""
        self._spaces[space.name] = space
        catalogue.remember(space)

    def refined(self, focus_latency: float | None = None) -> BoardProfile:
        """The profile fitted on all measurements of the key in the store, most accurate near `focus_latency`."""
        measured = [m for m in self._store.read(self._key) if self._space(m) is not None]
        profile = refreshed(self._board, self._key, measured, self._blocks, focus_latency=focus_latency)
        line = other_boards.told(profile.provenance)
        if line is not None and BoardProfile.load(self._key) is None:  # the first profile: whether other boards' helped
            self._notes.say("others", line)
        return profile

    def model(self, focus_latency: float | None = None) -> AdditiveModel:
        """The latency model of `refined`, in the board's unit."""
        if self._board.id == self._key.board:
            return latency.load_additive(self.refined(focus_latency).latency)
        assert self._board.prior is not None
        scale = self._board.prior.ms_per_minsn
        return EngineModel.from_json(self.refined(focus_latency and focus_latency / scale).latency).scaled(scale)

    def doubts(
        self, space: SearchSpace, architectures: Sequence[Architecture], timings: Sequence[Timing], session_speed: float
    ) -> dict[int, float]:
        """`contradicted`, of which the user is told once."""
        found = self.contradicted(space, architectures, timings, session_speed)
        if found:
            place, predicted = next(iter(found.items()))
            shown = self._board.unit.format
            self._notes.say(
                "contradicted",
                f"{len(found)} of {len(timings)} measurements contradict the profile, the most "
                f"{shown(timings[place].latency_ms)}, predicted {shown(predicted)}: such are timed again (said once)",
            )
        return found

    def contradicted(
        self,
        space: SearchSpace,
        architectures: Sequence[Architecture],
        timings: Sequence[Timing],
        session_speed: float = 1.0,
    ) -> dict[int, float]:
        """The profile's predictions, by place, that timings contradict, the worst first; none without a profile.

        session_speed: how many times as long as at the session's start its reference takes undisturbed.
        """
        profile = BoardProfile.load(self._key)
        if profile is None:
            return {}
        model = latency.load(profile.latency, str(BoardProfile.path(self._key)))
        intervals = [_corrected(timing, session_speed) for timing in timings]
        return contradicted(model, [space.blocks(a) for a in architectures], intervals)

    def _blocks(self, measurement: Measurement) -> Sequence[Block]:
        space = self._space(measurement)
        assert space is not None
        return space.blocks(Architecture.parse(measurement.architecture))

    def _space(self, measurement: Measurement) -> SearchSpace | None:
        """The space of a measurement: one that is in use, else shipped or of an earlier session, else None."""
        mine = self._spaces.get(measurement.space)
        if mine is not None:
            return replace(mine, input_shape=measurement.input_shape, classes=measurement.classes)
        return catalogue.recall(measurement.space, measurement.input_shape, measurement.classes)


def _corrected(timing: Timing, session_speed: float) -> tuple[float, float]:
    """The confidence interval at the session's undisturbed speed, if it was timed in turn with a reference."""
    (low, high), ratio = timing.ci95_ms, timing.conditions.reference_ratio
    return (low, high) if ratio is None else (session_speed * low / ratio, session_speed * high / ratio)
