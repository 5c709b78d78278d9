# SPDX-License-Identifier: Apache-2.0
"""What imported measurements say that does not fit what is known: by more than three times, after their scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from statistics import median

import numpy as np

from edgenas import latency
from edgenas.boards.board import Board
from edgenas.latency import LatencyModel
from edgenas.latency.engine import EngineModel
from edgenas.latency.residual import outlying
from edgenas.profiles import other_boards
from edgenas.profiles.evidence import ENOUGH, BlocksOf, Layer, Row, rows_of, sampled, scaled
from edgenas.profiles.measurement import Measurement, Origin
from edgenas.profiles.profile import BoardProfile, ProfileKey, list_profiles
from edgenas.profiles.refine import nearest
from edgenas.runtimes.registry import of_kind

FACTOR = 3.0
_TOGETHER = 100  # networks that are predicted at a time: memory
_REWEIGHTED = 4  # times
_LEAST_COUNTED = 30  # measurements that a profile rests on, for a prior to be held against it


@dataclass(frozen=True)
class Disagreement:
    """A network, or all of a file where `architecture` is None.

    imported_ms: as the file says; expected_ms: as is known here. scale: what the file's latencies are multiplied by.
    ratio: of `scale` x imported to expected; for a whole file of imported to expected. against: what is known: "your
    measurements", "your profile", "the board's prior", "other boards" or "the file's others".
    """

    key: ProfileKey
    architecture: str | None
    imported_ms: float
    expected_ms: float
    scale: float
    ratio: float
    against: str

    @property
    def size(self) -> float:
        """By how many times it is off, in either direction."""
        return max(self.ratio, 1 / self.ratio)


@dataclass(frozen=True)
class _Expected:
    """What is expected of rows, None where nothing is. scale: of the rows to it. absolute: whether that may be off."""

    latency_ms: Sequence[float | None]
    scale: float
    against: str
    absolute: bool


def disagreements(
    board: Board,
    key: ProfileKey,
    known_before: Sequence[Measurement],
    imported: Sequence[Measurement],
    blocks_of: BlocksOf,
) -> list[Disagreement]:
    """What `imported`, of one file and key, says against `known_before`, the worst first; a network once.

    It is held against one's own measurements; where there are too few, against the present profile, the board's prior
    and a profile of the emulated board that this is counted on, other boards' profiles, or the file itself.
    """
    exact = of_kind(board.kind).exact
    rows = rows_of(imported, blocks_of)
    own = [m for m in known_before if m.origin is None]
    expected = (
        _by_own(own, rows, blocks_of, exact)
        or _by_profile(key, rows)
        or _by_prior(board, key, rows)
        or _by_others(key, rows, exact)
        or _by_itself(rows, exact)
    )
    if expected is None:
        return []
    found = {d.architecture: d for d in sorted(_found(key, rows, expected), key=lambda d: d.size)}
    return sorted(found.values(), key=lambda d: -d.size)


def _found(key: ProfileKey, rows: Sequence[Row], expected: _Expected) -> list[Disagreement]:
    scale, found = expected.scale, []
    pairs = [(row, ms) for row, ms in zip(rows, expected.latency_ms, strict=True) if ms is not None]
    if expected.absolute and not _agree(scale):
        theirs = median(row.latency_ms for row in rows)
        found.append(Disagreement(key, None, theirs, scale * theirs, scale, 1 / scale, expected.against))
    for row, ms in pairs:
        ratio = scale * row.latency_ms / ms
        if not _agree(ratio):
            found.append(
                Disagreement(key, row.network.architecture, row.latency_ms, ms, scale, ratio, expected.against)
            )
    return found


def _agree(ratio: float) -> bool:
    return 1 / FACTOR <= ratio <= FACTOR


def _by_own(own: Sequence[Measurement], rows: Sequence[Row], blocks_of: BlocksOf, exact: bool) -> _Expected | None:
    """Of each network what was measured here, else what a model of that says."""
    if not own:
        return None
    mine = rows_of(own, blocks_of)
    layer = scaled(Layer(Origin("", "", None, ""), 0, 0), mine, sampled(rows), exact)
    if not layer.compared:
        return None
    measured = {row.network: row.latency_ms for row in sorted(mine, key=lambda row: row.age, reverse=True)}
    predicted: Sequence[float | None] = [None] * len(rows)
    if len(measured) >= ENOUGH:
        predicted = _predicted(_fitted(mine, exact), rows)
    values = [measured.get(row.network, ms) for row, ms in zip(rows, predicted, strict=True)]
    return _Expected(values, layer.scale, "your measurements", absolute=True)


def _by_profile(key: ProfileKey, rows: Sequence[Row]) -> _Expected | None:
    profile = BoardProfile.load(key)
    if profile is None or profile.measurements < ENOUGH:
        return None
    model = latency.load(profile.latency, str(BoardProfile.path(key)))
    return _by_model(_predicted(model, rows), rows, "your profile", absolute=True)


def _by_prior(board: Board, key: ProfileKey, rows: Sequence[Row]) -> _Expected | None:
    """By a profile of the emulated board that the prior's instructions are counted on, if there is one."""
    if board.prior is None:
        return None
    for entry in list_profiles():
        other = None if entry["key"] is None else ProfileKey(**entry["key"])
        if other is None or (other.board, other.precision) != (board.prior.counted_on, key.precision):
            continue
        profile = BoardProfile.load(other)
        if profile is None or profile.measurements < _LEAST_COUNTED or profile.latency.get("model") != "engine":
            continue
        model = EngineModel.from_json(profile.latency, str(BoardProfile.path(other)))
        predicted = _predicted(model.scaled(board.prior.ms_per_minsn), rows)
        return _by_model(predicted, rows, "the board's prior", absolute=True)
    return None


def _by_others(key: ProfileKey, rows: Sequence[Row], exact: bool) -> _Expected | None:
    """By the profiles of other boards, and of this one at other settings: of each network the one that is nearest."""
    models: list[LatencyModel] = [source.model for source in other_boards.boards(key)]
    near = nearest(key, "engine" if exact else latency.DEFAULT)
    if near is not None:
        models.append(latency.load(near.latency, str(BoardProfile.path(near.key))))
    if not models:
        return None
    found = [_brought(_predicted(model, rows), rows) for model in models]
    expected_ms = [_nearest(each, row) for *each, row in zip(*found, rows, strict=True)]
    return _Expected(expected_ms, 1.0, "other boards", absolute=False)


def _brought(predicted: Sequence[float | None], rows: Sequence[Row]) -> list[float | None]:
    """What another board's model predicts, brought to the rows: boards differ in speed and unit."""
    ratios = [row.latency_ms / ms for row, ms in zip(rows, predicted, strict=True) if ms is not None]
    return [None if ms is None else ms * median(ratios) for ms in predicted]


def _nearest(expected_ms: Sequence[float | None], row: Row) -> float | None:
    known_ms = [ms for ms in expected_ms if ms is not None]
    return min(known_ms, key=lambda ms: abs(log(row.latency_ms / ms)), default=None)


def _by_itself(rows: Sequence[Row], exact: bool) -> _Expected | None:
    """By a model of the file's own measurements, in which those that are far off weigh little."""
    some = sampled(rows)
    if len({row.network for row in some}) < ENOUGH:
        return None
    measured, weights = np.array([row.latency_ms for row in some]), np.ones(len(some))
    for _ in range(_REWEIGHTED):
        model = _fitted(some, exact, weights.tolist())
        weights = 1 / outlying(model.predict([row.blocks for row in some])[0] / measured - 1)
    return _by_model(_predicted(model, rows), rows, "the file's others", absolute=False)


def _by_model(predicted: Sequence[float | None], rows: Sequence[Row], against: str, absolute: bool) -> _Expected | None:
    ratios = [ms / row.latency_ms for ms, row in zip(predicted, rows, strict=True) if ms is not None]
    return _Expected(predicted, median(ratios), against, absolute) if ratios else None


def _fitted(rows: Sequence[Row], exact: bool, weights: Sequence[float] | None = None) -> LatencyModel:
    model = latency.create("engine" if exact else "features")
    return model.fit([row.blocks for row in rows], [row.latency_ms for row in rows], weights)


def _predicted(model: LatencyModel, rows: Sequence[Row]) -> list[float | None]:
    """The model's latency of each row; None where it is not positive."""
    found: list[float] = []
    for start in range(0, len(rows), _TOGETHER):
        found += model.predict([row.blocks for row in rows[start : start + _TOGETHER]])[0].tolist()
    return [ms if ms > 0 else None for ms in found]
