# SPDX-License-Identifier: Apache-2.0
"""From all measurements of a board's key to the rows that a latency model is fitted on.

One's own measurements are the truth. What was imported is a layer for each file: another board of the kind may be
faster or slower, so a layer is brought to one's own board by one factor, and counts less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, log, sqrt
from statistics import median
from typing import Any

import numpy as np

from edgenas import latency
from edgenas.profiles.measurement import Measurement, Origin
from edgenas.profiles.reference_speed import SMOOTH, fastest_decile
from edgenas.spaces.architecture import Block
from edgenas.spaces.network_id import NetworkId

Session = Mapping[NetworkId, Sequence[Measurement]]
Key = tuple[str | None, str]  # a session: the id of the file that it was imported with, None for one's own; its name
BlocksOf = Callable[[Measurement], Sequence[Block]]

# A session counts so many times as much as the one after it, and at least so much: the first profiling run covers the
# space, a deploy does not. What a reference has brought to the present speed is nearly as good as new.
_FADING, _FLOOR = 0.5, 0.1
_LINKED_FADING, _LINKED_FLOOR = 0.95, 0.5
_DISTURBED = 0.2  # weight of what the device has marked, beside the same undisturbed
_NEAR_WIDTH = 0.35  # of the kernel around `focus_latency`, in log latency: at 0.7 or 1.4 times it the weight is 0.6
_NEAR_FLOOR = 0.1
_EXACT = 30.0  # weight of what was trained in the last session, where measurements carry no noise
_SHARED_FOR_DRIFT = 3  # architectures that two sessions must share before one is rescaled to the other
ENOUGH = 8  # networks of one's own that a model can be fitted on, to tell a layer's scale by
_MAX_IMPORTED_WEIGHT = 0.5  # beside one's own
_UNKNOWN_STD = 0.3  # of a scale, relative, that rests on one or two networks
# Of imported rows: a fit takes time by the cube of rows, and memory by rows times different blocks.
_MAX_IMPORTED_ROWS, _MAX_IMPORTED_BLOCKS = 500, 2000


@dataclass(frozen=True)
class Layer:
    """What one imported file says of a key, and what its latencies are multiplied by to be this board's.

    measurements: that were imported. networks: rows that are fitted, a network of each session; of large files some
    are left out. scale: this board's latency divided by the other one's, 1 where nothing of one's own is there.
    scale_std: the standard error of `scale`, relative. compared: how many networks it rests on. by: "networks" that
    both measured, a "model" of one's own measurements, or "nothing".
    """

    origin: Origin
    measurements: int
    networks: int
    scale: float = 1.0
    scale_std: float = 0.0
    compared: int = 0
    by: str = "nothing"

    def to_json(self) -> dict[str, Any]:
        """What a profile's provenance says of it."""
        told = {"measurements": self.measurements, "networks": self.networks, "compared": self.compared, "by": self.by}
        scale = {"scale": round(self.scale, 4), "scale_std": round(self.scale_std, 4)}
        return {"file": self.origin.file, "sha256": self.origin.sha256, "sender": self.origin.by, **told, **scale}


@dataclass(frozen=True)
class Row:
    """A network of one session. latency_ms: in the latest session's scale. age: how many sessions came after it."""

    network: NetworkId
    blocks: tuple[Block, ...]
    latency_ms: float
    weight: float
    age: int
    origin: str | None  # the id of the file that it was imported with


@dataclass(frozen=True)
class Evidence:
    """What a model is fitted on: a row for each network of each session, one's own before imported ones and the latest
    session first.

    drift: of every session, as `by_session` orders them, how much slower the latest one was. layers: of imported files.
    """

    rows: tuple[Row, ...]
    drift: tuple[float, ...]
    layers: tuple[Layer, ...] = ()

    @property
    def networks(self) -> tuple[NetworkId, ...]:
        """The network of each row."""
        return tuple(row.network for row in self.rows)

    @property
    def architectures(self) -> tuple[tuple[Block, ...], ...]:
        """Their blocks."""
        return tuple(row.blocks for row in self.rows)

    @property
    def latency_ms(self) -> tuple[float, ...]:
        """Their latencies."""
        return tuple(row.latency_ms for row in self.rows)

    @property
    def weights(self) -> tuple[float, ...]:
        """How much each counts."""
        return tuple(row.weight for row in self.rows)


def evidence(
    measurements: Sequence[Measurement], blocks_of: BlocksOf, *, focus_latency: float | None = None, exact: bool = False
) -> Evidence:
    """The rows that `refine.refine` fits on, as documented there. Raises ValueError without a measurement."""
    if not measurements:
        raise ValueError("no measurements to refine from")
    sessions = by_session(measurements)
    alone = all(origin is not None for origin, _ in sessions)
    fading = _fading(sessions, exact, alone)
    origins = {m.origin.id: m.origin for m in measurements if m.origin is not None}
    scales = _scales(sessions) if alone else {}
    rows: list[Row] = []
    layers = []
    for origin, part in _by_origin(sessions).items():
        inner = scales if alone else _scales(part)
        found = [row for key in part for row in _rows(key, part[key], inner[key], fading[key], blocks_of, exact)]
        scale = 1.0
        if origin is not None:
            found = sampled(found, len(origins))
            layer = Layer(origins[origin], _count(part), len(found))
            layers.append(layer if alone else scaled(layer, rows, found, exact))
            scale = layers[-1].scale
        scales |= {key: scale * inner[key] for key in part}
        rows += [replace(row, latency_ms=scale * row.latency_ms) for row in found]
    near = [replace(row, weight=row.weight * _nearness(row.latency_ms, focus_latency)) for row in rows]
    latest_first = sorted(near, key=lambda row: row.age)
    return Evidence(tuple(latest_first), tuple(scales[key] for key in sessions), tuple(layers))


def rows_of(measurements: Sequence[Measurement], blocks_of: BlocksOf) -> list[Row]:
    """A row for each network of each session, all brought to the last session's scale, whoever has measured them."""
    sessions = by_session(measurements)
    scales = _scales(sessions)
    fading = _fading(sessions, exact=False, alone=True)
    return [row for key in sessions for row in _rows(key, sessions[key], scales[key], fading[key], blocks_of, False)]


def by_session(measurements: Sequence[Measurement]) -> dict[Key, Session]:
    """The measurements by session, the oldest first and imported ones before one's own, and in it by network."""
    found: dict[Key, dict[NetworkId, list[Measurement]]] = {}
    for m in sorted(measurements, key=lambda m: (m.origin is None, m.taken_utc)):
        key = (None if m.origin is None else m.origin.id, m.session)
        found.setdefault(key, {}).setdefault(m.network, []).append(m)
    return dict(found)


def session_speed(session: Session) -> float:
    """How many times as long as at its start a session's reference takes undisturbed; see `measuring.drift`."""
    found = [m for each in session.values() for m in each if not (m.trained or _is_reference([m]))]
    return fastest_decile([m.conditions.get("reference_ratio") or 1.0 for m in found])


def drift(session: Session, latest: Session) -> float:
    """How much slower the latest session was on the networks that both measured, or on the reference that both timed
    the others in turn with; 1 if they share too little.
    """
    references = _references(session, latest)
    shared = references or session.keys() & latest.keys()
    if not references and len(shared) < _SHARED_FOR_DRIFT:
        return 1.0
    now, then = session_speed(latest), session_speed(session)
    return median(_middle(latest[name], now) / _middle(session[name], then) for name in shared)


def _by_origin(sessions: Mapping[Key, Session]) -> dict[str | None, dict[Key, Session]]:
    """One's own sessions first, then those of each file; in each the oldest first."""
    found: dict[str | None, dict[Key, Session]] = {}
    for key in sorted(sessions, key=lambda key: key[0] is not None):
        found.setdefault(key[0], {})[key] = sessions[key]
    return found


def _count(sessions: Mapping[Key, Session]) -> int:
    return sum(len(found) for session in sessions.values() for found in session.values())


def _scales(sessions: Mapping[Key, Session]) -> dict[Key, float]:
    """What each session's latencies are to be multiplied by to be the last one's.

    References that differ from the latest one's by no jump are of one board at one speed: their middle counts.
    """
    latest = _anchor(sessions)
    scales = {key: drift(session, latest) for key, session in sessions.items()}
    linked = [scales[key] for key, session in sessions.items() if _references(session, latest)]
    same = [scale for scale in linked if abs(log(scale)) < SMOOTH]
    middle = median(same) if same else 1.0
    return {key: scale / middle for key, scale in scales.items()}


def _anchor(sessions: Mapping[Key, Session]) -> Session:
    """The last session that timed a reference, else the last: a model timed alone says nothing of the board's speed."""
    found = list(sessions.values())
    return next((each for each in reversed(found) if any(map(_is_reference, each.values()))), found[-1])


def _fading(sessions: Mapping[Key, Session], exact: bool, alone: bool) -> dict[Key, tuple[int, float]]:
    """The age of each session, 0 of the latest, and what it counts. alone: nothing of one's own is there."""
    latest = _anchor(sessions)
    found = {}
    for age, (key, session) in enumerate(reversed(list(sessions.items()))):
        weight = max(_FADING**age, _FLOOR)
        if _references(session, latest):
            weight = max(_LINKED_FADING**age, _LINKED_FLOOR)
        if exact:
            weight = 1.0
        is_other = key[0] is not None and not alone
        found[key] = (age, min(weight, _MAX_IMPORTED_WEIGHT) if is_other else weight)
    return found


def _rows(
    key: Key, session: Session, scale: float, fading: tuple[int, float], blocks_of: BlocksOf, exact: bool
) -> Iterator[Row]:
    age, faded = fading
    speed = session_speed(session)
    for name, found in sorted(session.items()):
        weight = faded
        if exact and age == 0 and any(m.trained for m in found):
            weight *= _EXACT
        if all(m.disturbed for m in found):
            weight *= _DISTURBED
        yield Row(name, tuple(blocks_of(found[0])), scale * _middle(found, speed), weight, age, key[0])


def sampled(rows: Sequence[Row], files: int = 1) -> list[Row]:
    """So many rows of one of so many files as a fit has time and memory for, drawn at random; the same for the same."""
    most = max(1, _MAX_IMPORTED_ROWS // files)
    blocks: set[Block] = set()
    chosen: list[int] = []
    for index in np.random.default_rng(0).permutation(len(rows)).tolist():
        new = set(rows[index].blocks) - blocks
        if not chosen or len(blocks) + len(new) <= _MAX_IMPORTED_BLOCKS // files:
            blocks |= new
            chosen.append(index)
        if len(chosen) == most:
            break
    return [rows[index] for index in sorted(chosen)]


def scaled(layer: Layer, own: Sequence[Row], theirs: Sequence[Row], exact: bool) -> Layer:
    """The layer with the factor that brings its rows to one's own: by the networks that both have, else by a model."""
    mine = {row.network: row.latency_ms for row in sorted(own, key=lambda row: row.age, reverse=True)}
    shared = [log(mine[row.network] / row.latency_ms) for row in theirs if row.network in mine]
    if len(shared) >= _SHARED_FOR_DRIFT:
        return by_ratios(layer, shared, "networks")
    if len(mine) >= ENOUGH and theirs:
        model = latency.create("engine" if exact else "features").fit(
            [row.blocks for row in own], [row.latency_ms for row in own], [row.weight for row in own]
        )
        mean, _ = model.predict([row.blocks for row in theirs])
        ratios = [log(ms / row.latency_ms) for ms, row in zip(mean.tolist(), theirs, strict=True) if ms > 0]
        return by_ratios(layer, ratios, "model") if ratios else layer
    return by_ratios(layer, shared, "networks") if shared else layer


def by_ratios(layer: Layer, logs: Sequence[float], by: str) -> Layer:
    """The median of ratios; its standard error from their median absolute deviation, as of normal ones."""
    middle = median(logs)
    std = _UNKNOWN_STD
    if len(logs) >= _SHARED_FOR_DRIFT:
        std = 1.4826 * 1.2533 * median(abs(one - middle) for one in logs) / sqrt(len(logs))
    return replace(layer, scale=exp(middle), scale_std=std, compared=len(logs), by=by)


def _references(session: Session, latest: Session) -> set[NetworkId]:
    shared = session.keys() & latest.keys()
    return {name for name in shared if all(_is_reference(found[name]) for found in (session, latest))}


def _is_reference(found: Sequence[Measurement]) -> bool:
    return any(m.conditions.get("reference") for m in found)


def _middle(found: Sequence[Measurement], speed: float) -> float:
    """Of a network's measurements in a session of that `speed`; disturbed ones count where there are no others.

    What was trained was timed by itself, not beside the reference.
    """
    taken = [m for m in found if not m.disturbed] or found
    return median(m.latency_ms if m.trained else speed * m.corrected_ms for m in taken)


def _nearness(latency_ms: float, focus_latency: float | None) -> float:
    if focus_latency is None:
        return 1.0
    return max(exp(-0.5 * (log(latency_ms / focus_latency) / _NEAR_WIDTH) ** 2), _NEAR_FLOOR)
