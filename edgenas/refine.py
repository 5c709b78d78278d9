"""From all measurements of a board's key to its next profile, and what of a new measurement is to be believed.

Who calls this saves the result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from statistics import median

from edgenas import known, latency
from edgenas.board import Board, BoardProfile, ProfileKey, list_profiles
from edgenas.drift import SMOOTH, quick
from edgenas.latency import LatencyModel
from edgenas.space import Block
from edgenas.store import Measurement

Name = tuple[str, tuple[int, int, int], int, str]  # an architecture bound to an input, classes and a space

# A session counts so many times as much as the one after it, and at least so much: the first profiling run covers the
# space, a deploy does not. What a reference has brought to the present speed is nearly as good as new.
_FADING, _FLOOR = 0.5, 0.1
_LINKED_FADING, _LINKED_FLOOR = 0.95, 0.5
_DISTURBED = 0.2  # weight of what the device has marked, beside the same undisturbed
_NEAR_WIDTH = 0.35  # of the kernel around `near_ms`, in log latency: at 0.7 or 1.4 times the target a weight of 0.6
_NEAR_FLOOR = 0.1
_EXACT = 30.0  # weight of what was trained in the last session, where measurements carry no noise
_SHARED_FOR_DRIFT = 3  # architectures that two sessions must share before one is rescaled to the other
_STDS_99 = 2.576  # half of an interval that holds 99 of 100 normal values, in standard deviations


def refine(
    profile: BoardProfile | None,
    key: ProfileKey,
    measurements: Sequence[Measurement],
    blocks_of: Callable[[Measurement], Sequence[Block]],
    *,
    near_ms: float | None = None,
    model: str = latency.DEFAULT,
    exact: bool = False,
    seed: LatencyModel | None = None,
    seeded_by: str | None = None,
) -> BoardProfile:
    """Fit the latency model on every measurement of `key` and return the profile that holds it.

    profile: the present one; its model is what the new one is drawn towards where measurements say little, so a shipped
    or older profile is not forgotten when only a few measurements are at hand. blocks_of: the blocks of a measurement's
    architecture, which its space knows. near_ms: the latency near which the model has to be most right. exact: that
    measurements carry no noise: what was trained in the last session, of which one was installed, has to come out as
    measured, within what the model can express. seed: the model that a key's first profile is drawn towards;
    seeded_by: what it is of, for the provenance.

    Repeated measurements of an architecture in one session become their median, undisturbed ones if there are any. A
    session counts half as much as the one after it, 0.95 times as much if it has the latest one's reference, unless it
    is exact; imported ones are taken as older than one's own. An older session that shares at least three
    architectures, or the reference, with the latest is rescaled to it, since a board's clock or load drifts. A
    session's speed is that of its quick moments, see `level`, and where the references of several sessions agree, it is
    their median.

    What a linear model makes of this is Bayesian linear regression (Bishop, Pattern Recognition and Machine Learning,
    2006, 3.3) by its mode: relative errors normal with a variance inverse to the weight, prices normal around those
    before, and truncated at 0. The variances of the measurements themselves stay out of the weights: their intervals,
    from three processes, are known so badly that weights from them made predictions worse as often as better.

    Raises ValueError if there is no measurement, or one of another key.
    """
    if any(measurement.key != key for measurement in measurements):
        raise ValueError(f"measurements of another key than {key}")
    data = evidence(measurements, blocks_of, near_ms=near_ms, exact=exact)
    before = seed or latency.create(model)
    if profile is not None:
        same = profile.latency.get("model") in (model, "transfer")
        before = latency.load(profile.latency, str(BoardProfile.path(key))) if same else latency.create(model)
    elif seed is None:
        seeded_by = None
    fitted, others = known.settled(before.fit(data.architectures, data.latency_ms, data.weights))
    last = max(measurements, key=lambda m: m.taken_utc)
    told = {"seeded_by": seeded_by} if profile is None else profile.provenance
    return BoardProfile(
        key=key,
        space_name=last.space,
        input_shape=last.input_shape,
        latency=fitted.to_json(),
        measurements=len(measurements),
        created_utc=profile.created_utc if profile else min(m.taken_utc for m in measurements),
        refined_utc=last.taken_utc,
        provenance={
            **told,
            **others,
            "sessions": len(data.drift),
            "architectures": len({name_of(m) for m in measurements}),
            "near_ms": near_ms,
            "drift": [round(scale, 4) for scale in data.drift],
            "conditions": dict(last.conditions),
        },
    )


@dataclass(frozen=True)
class Evidence:
    """What a model is fitted on: a row for each network of each session, the latest session first.

    names: what identifies the networks. drift: of every session, the oldest first, how much slower the latest one was.
    """

    names: tuple[Name, ...]
    architectures: tuple[tuple[Block, ...], ...]
    latency_ms: tuple[float, ...]
    weights: tuple[float, ...]
    drift: tuple[float, ...]


def evidence(
    measurements: Sequence[Measurement],
    blocks_of: Callable[[Measurement], Sequence[Block]],
    *,
    near_ms: float | None = None,
    exact: bool = False,
) -> Evidence:
    """The rows that `refine` fits on, as documented there. Raises ValueError if there is no measurement."""
    if not measurements:
        raise ValueError("no measurements to refine from")
    sessions = list(by_session(measurements).values())
    scales = _scales(sessions)
    rows = []
    for age, (session, scale) in enumerate(zip(reversed(sessions), reversed(scales), strict=True)):
        at, faded = level(session), _faded(age, linked=bool(_references(session, sessions[-1])))
        for name, found in sorted(session.items()):
            measured = scale * _middle(found, at)
            weight = _EXACT if exact and age == 0 and any(m.trained for m in found) else 1.0
            weight *= _nearness(measured, near_ms)
            if not exact:
                weight *= faded
            if all(m.disturbed for m in found):
                weight *= _DISTURBED
            rows.append((name, tuple(blocks_of(found[0])), measured, weight))
    names, architectures, latency_ms, weights = zip(*rows, strict=True)
    return Evidence(names, architectures, latency_ms, weights, tuple(scales))


def refreshed(
    board: Board,
    key: ProfileKey,
    measurements: Sequence[Measurement],
    blocks_of: Callable[[Measurement], Sequence[Block]],
    *,
    near_ms: float | None = None,
    before: BoardProfile | None = None,
) -> BoardProfile:
    """`refine` of the user's present profile of `key` on `board`, of `before` if there is none.

    The first profile of a key is drawn towards the nearest one of the same board, else to other boards' if that helps.
    """
    exact = board.kind == "mcu"
    model = "engine" if exact else latency.DEFAULT
    present = BoardProfile.load(key) or before
    seed, seeded_by = None, None
    if present is None and (other := nearest(key, model)) is not None:
        seed, seeded_by = latency.load(other.latency, str(BoardProfile.path(other.key))), str(other.key)
    elif present is None and not exact:  # counted operations explain themselves, within 0.3 %
        seed = known.seed(key, model)
    return refine(
        present,
        key,
        measurements,
        blocks_of,
        near_ms=near_ms,
        model=model,
        exact=exact,
        seed=seed,
        seeded_by=seeded_by,
    )


def nearest(key: ProfileKey, model: str) -> BoardProfile | None:
    """The user's profile of another key, same in board, runtime and precision, that holds a latency model `model`.

    The one that differs in the least of runtime version, threads, statistic and setting; of those the newest.
    """
    found = []
    for entry in list_profiles():
        if entry["key"] is None:  # a damaged file
            continue
        other = ProfileKey(**entry["key"])
        if other == key or (other.board, other.runtime, other.precision) != (key.board, key.runtime, key.precision):
            continue
        profile = BoardProfile.load(other)
        if profile is not None and profile.latency.get("model") == model:
            found.append(profile)
    fields = ("runtime_version", "threads", "statistic", "setting")

    def differing(profile: BoardProfile) -> int:
        return sum(getattr(profile.key, name) != getattr(key, name) for name in fields)

    return min(sorted(found, key=lambda profile: profile.refined_utc, reverse=True), key=differing, default=None)


def contradicted(
    model: LatencyModel, architectures: Sequence[Sequence[Block]], ci95_ms: Sequence[tuple[float, float]]
) -> dict[int, float]:
    """The predictions, by place, that measurements with the intervals `ci95_ms` contradict, the worst one first.

    Those of which the 99 % interval has nothing in common with the measurement's own interval.
    """
    mean, std = model.predict(architectures)
    apart = {}
    for place, (predicted, margin, (low, high)) in enumerate(zip(mean, _STDS_99 * std, ci95_ms, strict=True)):
        beyond = max(low - predicted, predicted - high) - margin
        if beyond > 0:
            apart[place] = beyond / predicted
    return {place: float(mean[place]) for place in sorted(apart, key=lambda place: -apart[place])}


def name_of(m: Measurement) -> Name:
    """What identifies a measured network: the architecture bound to an input, classes and space."""
    return m.architecture, m.input_shape, m.classes, m.space


def by_session(measurements: Sequence[Measurement]) -> dict[str, dict[Name, list[Measurement]]]:
    """The measurements by session, the oldest first and imported ones before one's own, and in it by network."""
    found: dict[str, dict[Name, list[Measurement]]] = {}
    for m in sorted(measurements, key=lambda m: ("imported" not in m.conditions, m.taken_utc)):
        found.setdefault(m.session, {}).setdefault(name_of(m), []).append(m)
    return found


def level(session: Mapping[Name, Sequence[Measurement]]) -> float:
    """How many times as long as at its start a session's reference takes in its quick moments, see `edgenas.drift`."""
    found = [m for each in session.values() for m in each if not (m.trained or _is_reference([m]))]
    return quick([m.conditions.get("reference_ratio") or 1.0 for m in found])


def _faded(age: int, linked: bool) -> float:
    """The weight of a session, `age` sessions before the latest."""
    return max(_LINKED_FADING**age, _LINKED_FLOOR) if linked else max(_FADING**age, _FLOOR)


def _scales(sessions: Sequence[Mapping[Name, list[Measurement]]]) -> list[float]:
    """What each session's latencies are to be multiplied by, the oldest first.

    References that differ from the latest one's by no jump are of one board at one speed: their middle counts.
    """
    scales = [drift(session, sessions[-1]) for session in sessions]
    linked = [scale for session, scale in zip(sessions, scales, strict=True) if _references(session, sessions[-1])]
    same = [scale for scale in linked if abs(log(scale)) < SMOOTH]
    return [scale / median(same) for scale in scales] if same else scales


def drift(session: Mapping[Name, list[Measurement]], latest: Mapping[Name, list[Measurement]]) -> float:
    """How much slower the latest session was on the networks that both measured, or on the reference that both timed
    the others in turn with; 1 if they share too little.
    """
    references = _references(session, latest)
    shared = references or session.keys() & latest.keys()
    if not references and len(shared) < _SHARED_FOR_DRIFT:
        return 1.0
    now, then = level(latest), level(session)
    return median(_middle(latest[name], now) / _middle(session[name], then) for name in shared)


def _references(session: Mapping[Name, list[Measurement]], latest: Mapping[Name, list[Measurement]]) -> set[Name]:
    shared = session.keys() & latest.keys()
    return {name for name in shared if all(_is_reference(found[name]) for found in (session, latest))}


def _is_reference(found: Sequence[Measurement]) -> bool:
    return any(m.conditions.get("reference") for m in found)


def _middle(found: Sequence[Measurement], level: float) -> float:
    """Of a network's measurements in a session of that `level`; disturbed ones count where there are no others.

    What was trained was timed by itself, not beside the reference.
    """
    taken = [m for m in found if not m.disturbed] or found
    return median(m.latency_ms if m.trained else level * m.corrected_ms for m in taken)


def _nearness(latency_ms: float, near_ms: float | None) -> float:
    if near_ms is None:
        return 1.0
    return max(exp(-0.5 * (log(latency_ms / near_ms) / _NEAR_WIDTH) ** 2), _NEAR_FLOOR)
