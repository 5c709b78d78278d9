# SPDX-License-Identifier: Apache-2.0
"""From all measurements of a board's key to its next profile, and what of a new measurement is to be believed.

Who calls this saves the result.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np

from edgenas import latency
from edgenas.boards.board import Board
from edgenas.latency import LatencyModel
from edgenas.profiles import other_boards
from edgenas.profiles.evidence import Evidence, evidence
from edgenas.profiles.measurement import Measurement
from edgenas.profiles.profile import BoardProfile, ProfileKey, list_profiles
from edgenas.runtimes.registry import of_kind
from edgenas.spaces.architecture import Block

_STDS_99 = 2.576  # half of an interval that holds 99 of 100 normal values, in standard deviations


def refine(
    profile: BoardProfile | None,
    key: ProfileKey,
    measurements: Sequence[Measurement],
    blocks_of: Callable[[Measurement], Sequence[Block]],
    *,
    focus_latency: float | None = None,
    model: str = latency.DEFAULT,
    exact: bool = False,
    seed: LatencyModel | None = None,
    seeded_by: str | None = None,
) -> BoardProfile:
    """Fit the latency model on every measurement of `key` and return the profile that holds it.

    profile: the present one; its model is what the new one is drawn towards where measurements say little, so a shipped
    or older profile is not forgotten when only a few measurements are at hand. blocks_of: the blocks of a measurement's
    architecture, which its space knows. focus_latency: near it the model has to be most accurate. exact: that
    measurements carry no noise: what was trained in the last session, of which one was installed, has to come out as
    measured, within what the model can express. seed: the model that a key's first profile is drawn towards;
    seeded_by: what it is of, for the provenance.

    Repeated measurements of an architecture in one session become their median, undisturbed ones if there are any. A
    session counts half as much as the one after it, 0.95 times as much if it has the latest one's reference, unless it
    is exact. An older session that shares at least three architectures, or the reference, with the latest is rescaled
    to it, since a board's clock or load drifts. A session's speed is that of its fastest decile, see
    `edgenas.profiles.evidence.session_speed`, and where the references of several sessions agree, it is their median.

    Imported sessions are taken as older than one's own, and count half as much at most. Those of a file are rescaled
    together, by one factor, to one's own: see `edgenas.profiles.evidence.Layer`.

    What a linear model makes of this is Bayesian linear regression (Bishop, Pattern Recognition and Machine Learning,
    2006, 3.3) by its mode: relative errors normal with a variance inverse to the weight, prices normal around those
    before, and truncated at 0. The variances of the measurements themselves stay out of the weights: their intervals,
    from three processes, are known so badly that weights from them made predictions worse as often as better.

    Raises ValueError if there is no measurement, or one of another key.
    """
    if any(measurement.key != key for measurement in measurements):
        raise ValueError(f"measurements of another key than {key}")
    data = evidence(measurements, blocks_of, focus_latency=focus_latency, exact=exact)
    before = seed or latency.create(model)
    if profile is not None:
        same = profile.latency.get("model") in (model, "transfer")
        before = latency.load(profile.latency, str(BoardProfile.path(key))) if same else latency.create(model)
    elif seed is None:
        seeded_by = None
    fitted, others = other_boards.settled(_fitted(before, data, model))
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
            "architectures": len({m.network for m in measurements}),
            "near_ms": focus_latency,
            "drift": [round(scale, 4) for scale in data.drift],
            "layers": [layer.to_json() for layer in data.layers],
            "conditions": dict(last.conditions),
        },
    )


def _fitted(before: LatencyModel, data: Evidence, model: str) -> LatencyModel:
    """`before` fitted on `data`; where it says what nothing can be fitted from, a new model.

    A profile's file may say anything. All that is known of the board is in the measurements.
    """
    rows = (data.architectures, data.latency_ms, data.weights)
    try:
        with np.errstate(all="ignore"):
            fitted = before.fit(*rows)
            if np.all(np.isfinite(fitted.predict(data.architectures))):
                return fitted
    except (ValueError, ArithmeticError, RuntimeError):
        pass
    return latency.create(model).fit(*rows)


def refreshed(
    board: Board,
    key: ProfileKey,
    measurements: Sequence[Measurement],
    blocks_of: Callable[[Measurement], Sequence[Block]],
    *,
    focus_latency: float | None = None,
    before: BoardProfile | None = None,
    without: Collection[ProfileKey] = (),
) -> BoardProfile:
    """`refine` of the user's present profile of `key` on `board`, of `before` if there is none.

    The first profile of a key is drawn towards the nearest one of the same board, else to other boards' if that helps.
    without: keys of which the present profiles are not to be learnt from, as if they were not there.
    """
    runtime = of_kind(board.kind)
    exact, model = runtime.exact, runtime.latency_model
    present = before if key in without else BoardProfile.load(key) or before
    seed, seeded_by = None, None
    if present is None and (other := nearest(key, model, without)) is not None:
        seed, seeded_by = latency.load(other.latency, str(BoardProfile.path(other.key))), str(other.key)
    elif present is None and not exact:  # counted operations explain themselves, within 0.3 %
        seed = other_boards.seed(key, model, without)
    return refine(
        present,
        key,
        measurements,
        blocks_of,
        focus_latency=focus_latency,
        model=model,
        exact=exact,
        seed=seed,
        seeded_by=seeded_by,
    )


def nearest(key: ProfileKey, model: str, without: Collection[ProfileKey] = ()) -> BoardProfile | None:
    """The user's profile of another key, same in board, runtime and precision, that holds a latency model `model`.

    The one that differs in the least of runtime version, threads, statistic and setting; of those the newest. Not one
    of the keys `without`.
    """
    found = []
    for entry in list_profiles():
        if entry["key"] is None:  # a damaged file
            continue
        other = ProfileKey(**entry["key"])
        if (
            other == key
            or other in without
            or (other.board, other.runtime, other.precision) != (key.board, key.runtime, key.precision)
        ):
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
