"""From all measurements of a board's key to its next profile. Pure: who calls it saves the result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from math import exp, log
from statistics import median

from edgenas import latency
from edgenas.board import BoardProfile, ProfileKey
from edgenas.space import Block
from edgenas.store import Measurement

_SESSION_HALVING = 0.5  # a session counts half as much as the one after it ...
_SESSION_FLOOR = 0.1  # ... but never less than this: the first profiling run covers the space, a deploy does not
_NEAR_WIDTH = 0.35  # of the kernel around `near_ms`, in log latency: at 0.7 or 1.4 times the target a weight of 0.6
_NEAR_FLOOR = 0.1
_EXACT = 30.0  # weight of what was trained in the last session, where measurements carry no noise
_SHARED_FOR_DRIFT = 3  # architectures that two sessions must share before one is rescaled to the other


def refine(
    profile: BoardProfile | None,
    key: ProfileKey,
    measurements: Sequence[Measurement],
    blocks_of: Callable[[Measurement], Sequence[Block]],
    *,
    near_ms: float | None = None,
    model: str = latency.DEFAULT,
    exact: bool = False,
) -> BoardProfile:
    """Fit the latency model on every measurement of `key` and return the profile that holds it.

    profile: the present one; its model is what the new one is drawn towards where measurements say little, so a shipped
    or older profile is not forgotten when only a few measurements are at hand. blocks_of: the blocks of a measurement's
    architecture, which its space knows. near_ms: the latency near which the model has to be most right. exact: that
    measurements carry no noise: what was trained in the last session, of which one was installed, has to come out as
    measured, within what the model can express.

    Repeated measurements of an architecture in one session become their median; a session counts half as much as the
    next one; an older session that shares at least three architectures with the latest is rescaled to it, since a
    board's clock or load drifts. Raises ValueError if there is no measurement, or one of another key.
    """
    if not measurements:
        raise ValueError("no measurements to refine from")
    if any(measurement.key != key for measurement in measurements):
        raise ValueError(f"measurements of another key than {key}")
    sessions = _sessions(measurements)
    scales = [_drift(session, sessions[-1]) for session in sessions]
    architectures, latency_ms, weights = [], [], []
    for age, (session, scale) in enumerate(zip(reversed(sessions), reversed(scales), strict=True)):
        for found in session.values():
            measured = scale * median(m.latency_ms for m in found)
            architectures.append(tuple(blocks_of(found[0])))
            latency_ms.append(measured)
            weight = _EXACT if exact and age == 0 and any(m.trained for m in found) else 1.0
            weights.append(weight * max(_SESSION_HALVING**age, _SESSION_FLOOR) * _nearness(measured, near_ms))
    before = latency.create(model)
    if profile is not None and profile.latency.get("model") == model:
        before = latency.load(profile.latency, str(BoardProfile.path(key)))
    fitted = before.fit(architectures, latency_ms, weights)
    last = max(measurements, key=lambda m: m.taken_utc)
    return BoardProfile(
        key=key,
        space_name=last.space,
        input_shape=last.input_shape,
        latency=fitted.to_json(),
        measurements=len(measurements),
        created_utc=profile.created_utc if profile else min(m.taken_utc for m in measurements),
        refined_utc=last.taken_utc,
        provenance={
            **(profile.provenance if profile else {}),
            "sessions": len(sessions),
            "architectures": len({_name(m) for m in measurements}),
            "near_ms": near_ms,
            "drift": [round(scale, 4) for scale in scales],
            "conditions": dict(last.conditions),
        },
    )


_Name = tuple[str, tuple[int, int, int], int, str]


def _name(m: Measurement) -> _Name:
    """What identifies a measured network: the architecture bound to an input, classes and space."""
    return m.architecture, m.input_shape, m.classes, m.space


def _sessions(measurements: Sequence[Measurement]) -> list[Mapping[_Name, list[Measurement]]]:
    """The measurements by session, the oldest first, and in it by network."""
    by_session: dict[str, list[Measurement]] = {}
    for m in sorted(measurements, key=lambda m: m.taken_utc):
        by_session.setdefault(m.session, []).append(m)
    return [
        {name: list(found) for name, found in groupby(sorted(session, key=_name), key=_name)}
        for session in by_session.values()
    ]


def _drift(session: Mapping[_Name, list[Measurement]], latest: Mapping[_Name, list[Measurement]]) -> float:
    """How much slower the latest session was on the networks that both measured; 1 if they share too few."""
    shared = session.keys() & latest.keys()
    if len(shared) < _SHARED_FOR_DRIFT:
        return 1.0
    return median(
        median(m.latency_ms for m in latest[name]) / median(m.latency_ms for m in session[name]) for name in shared
    )


def _nearness(latency_ms: float, near_ms: float | None) -> float:
    if near_ms is None:
        return 1.0
    return max(exp(-0.5 * (log(latency_ms / near_ms) / _NEAR_WIDTH) ** 2), _NEAR_FLOOR)
