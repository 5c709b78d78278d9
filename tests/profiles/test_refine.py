# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.recorded import KEY, NETWORKS, taken

from edgenas import latency
from edgenas.boards.board import Board
from edgenas.profiles.evidence import evidence
from edgenas.profiles.measurement import Measurement
from edgenas.profiles.profile import BoardProfile
from edgenas.profiles.refine import contradicted, refine, refreshed
from edgenas.spaces.architecture import Architecture, Block
from edgenas.spaces.space import SearchSpace


def blocks_of(m: Measurement) -> tuple[Block, ...]:
    return SearchSpace.load(m.space, m.input_shape, m.classes).blocks(Architecture.parse(m.architecture))


def mean_ratio(profile: BoardProfile, indices: Sequence[int]) -> float:
    """Predicted over first-session latency, averaged."""
    found = [taken(i) for i in indices]
    mean, _ = latency.load(profile.latency).predict([blocks_of(m) for m in found])
    return float(np.mean(mean / [m.latency_ms for m in found]))


def test_the_first_profile() -> None:
    profile = refine(None, KEY, [taken(i) for i in range(30)], blocks_of)
    assert profile.measurements == 30
    assert profile.created_utc == profile.refined_utc == "2026-01-01T00:00:00Z"
    assert profile.space_name == "tiny"
    assert profile.provenance["sessions"] == 1
    assert mean_ratio(profile, range(30, 68)) == pytest.approx(1, abs=0.03)
    json.dumps(profile.latency)


def test_it_is_a_function_of_its_arguments() -> None:
    found = [taken(i) for i in range(12)]
    assert refine(None, KEY, found, blocks_of) == refine(None, KEY, list(reversed(found)), blocks_of)


def test_a_later_deploy_moves_the_prediction_and_keeps_the_creation() -> None:
    first = [taken(i) for i in range(20)]
    before = refine(None, KEY, first, blocks_of)
    later = [taken(i, session="b", factor=1.1, hour=5) for i in range(20, 26)]  # no network shared
    after = refine(before, KEY, first + later, blocks_of)
    assert mean_ratio(before, range(20, 26)) < mean_ratio(after, range(20, 26))
    assert (after.created_utc, after.refined_utc) == ("2026-01-01T00:00:00Z", "2026-01-01T05:00:00Z")
    assert after.provenance["drift"] == [1.0, 1.0]


def test_sessions_that_share_networks_are_brought_to_the_latest_ones_scale() -> None:
    first = [taken(i) for i in range(30)]
    later = [taken(i, session="b", factor=1.3, hour=5) for i in (0, 5, 10)]
    after = refine(None, KEY, first + later, blocks_of)
    assert after.provenance["drift"] == pytest.approx([1.3, 1.0])
    assert mean_ratio(after, range(30, 68)) == pytest.approx(1.3, abs=0.04)
    two = refine(None, KEY, first + later[:2], blocks_of)
    assert two.provenance["drift"] == [1.0, 1.0]


def test_the_reference_that_sessions_timed_the_others_in_turn_with_is_enough_to_link_them() -> None:
    def reference(m: Measurement) -> Measurement:
        return replace(m, conditions={"reference": True})

    first = [reference(taken(0)), *(taken(i) for i in range(1, 30))]
    later = [taken(i, session="b", factor=1.3, hour=5) for i in (0, 30, 31)]
    assert refine(None, KEY, first + later, blocks_of).provenance["drift"] == [1.0, 1.0]
    later[0] = reference(later[0])
    after = refine(None, KEY, first + later, blocks_of)
    assert after.provenance["drift"] == pytest.approx([1.3, 1.0])
    assert mean_ratio(after, range(32, 68)) == pytest.approx(1.3, abs=0.04)


def test_a_network_measured_alone_leaves_the_sessions_before_it_linked() -> None:
    def reference(m: Measurement) -> Measurement:
        return replace(m, conditions={"reference": True})

    first = [reference(taken(0)), *(taken(i) for i in range(1, 30))]
    later = [reference(taken(0, session="b", factor=1.3, hour=5)), taken(31, session="b", factor=1.3, hour=5)]
    alone = [replace(taken(5, session="c", factor=1.3, hour=9), trained=True)]
    profile = refine(None, KEY, first + later + alone, blocks_of)
    assert profile.provenance["drift"] == pytest.approx([1.3, 1.0, 1.0], abs=1e-3)
    rows = evidence(first + later + alone, blocks_of).rows
    assert {row.age: row.weight for row in rows} == pytest.approx({0: 1.0, 1: 0.95, 2: 0.95**2})


def beside(session: str, reference_factor: float, factors: Sequence[float], first: int, hour: int) -> list[Measurement]:
    """A session that began `reference_factor` times as slow as the board is, and then was as slow as `factors`."""
    reference = taken(0, session=session, factor=reference_factor, hour=hour)
    found = [replace(reference, conditions={"reference": True})]
    for place, factor in enumerate(factors, start=first):
        ratio = {"reference_ratio": factor / reference_factor}
        found.append(replace(taken(place, session=session, factor=factor, hour=hour), conditions=ratio))
    return found


def test_a_session_that_began_in_a_slow_moment_is_at_the_speed_of_its_quick_ones() -> None:
    first = beside("a", 1.0, [1.0, 1.6] * 10, 1, 0)
    later = beside("b", 2.1, [1.0, 2.1, 1.5, 1.0, 1.9, 2.0], 21, 5)
    after = refine(None, KEY, first + later, blocks_of)
    assert after.provenance["drift"] == pytest.approx([1.0, 1.0])
    assert mean_ratio(after, range(30, 68)) == pytest.approx(1.0, abs=0.04)
    slower = beside("b", 2.1, [2.1] * 6, 21, 5)  # all the time: so is the board now
    assert refine(None, KEY, first + slower, blocks_of).provenance["drift"] == pytest.approx([2.1, 1.0])


def test_of_sessions_that_agree_on_the_reference_the_middle_counts() -> None:
    sessions = [beside(name, factor, [factor] * 6, 1 + 6 * n, n) for n, (name, factor) in enumerate(SPEEDS)]
    found = refine(None, KEY, [m for session in sessions for m in session], blocks_of)
    assert found.provenance["drift"] == pytest.approx([1.02 / 1.5, 1.0, 1.02, 1.02 / 1.08], abs=1e-4)


SPEEDS = (("a", 1.5), ("b", 1.02), ("c", 1.0), ("d", 1.08))


def test_what_was_disturbed_counts_where_there_is_nothing_else_and_less() -> None:
    def disturbed(i: int) -> Measurement:
        return replace(taken(i, factor=1.5), conditions={"marked": ["other programs"]})

    quiet = [taken(i) for i in range(20)]
    plain = refine(None, KEY, quiet, blocks_of)
    both = refine(None, KEY, [*quiet, *(disturbed(i) for i in range(20))], blocks_of)
    assert both.latency == plain.latency
    alone = refine(None, KEY, [*quiet, *(disturbed(i) for i in range(20, 24))], blocks_of)
    believed = refine(None, KEY, [*quiet, *(taken(i, factor=1.5) for i in range(20, 24))], blocks_of)
    said = [mean_ratio(p, range(20, 24)) for p in (plain, alone, believed)]
    assert said[0] < said[1] < said[2]
    off = [np.mean([abs(mean_ratio(p, [i]) - 1) for i in range(24, 68)]) for p in (plain, alone, believed)]
    assert max(off[:2]) < off[2]


@pytest.mark.parametrize(("linked", "weights"), [(True, (0.95, 0.9025, 0.5)), (False, (0.5, 0.25, 0.1))])
def test_a_session_fades_and_slowly_if_the_reference_links_it_to_the_latest(
    linked: bool, weights: tuple[float, float, float]
) -> None:
    sessions = [beside(f"s{n:02}", 1.0, [1.0], 1 + n, n) for n in range(20)]
    if not linked:
        sessions = [session[1:] for session in sessions]
    found = evidence([m for session in sessions for m in session], blocks_of)
    weight = dict(zip(found.networks, found.weights, strict=True))
    assert weight[sessions[-1][-1].network] == 1.0
    assert [weight[sessions[i][-1].network] for i in (-2, -3, 0)] == pytest.approx(weights)


def test_counts_do_not_age() -> None:
    first, later = [taken(i) for i in range(12)], [taken(i, session="b", hour=5) for i in range(12, 24)]
    exact = refine(None, KEY, first + later, blocks_of, exact=True)
    at_once = refine(None, KEY, first + [replace(m, session="a") for m in later], blocks_of)
    for i in range(24, 68):
        assert mean_ratio(exact, [i]) == pytest.approx(mean_ratio(at_once, [i]), rel=1e-3)


def test_an_outlier_among_repeats_of_a_session_is_ignored() -> None:
    found = [taken(i) for i in range(20)]
    spoilt = [*found, taken(3), taken(3, factor=10)]
    assert refine(None, KEY, spoilt, blocks_of).latency == refine(None, KEY, found, blocks_of).latency


def test_a_target_makes_the_model_right_near_it() -> None:
    order = sorted(range(68), key=lambda i: float(NETWORKS[i]["int8_ms"]))
    focus_latency = float(NETWORKS[order[50]]["int8_ms"])
    # Small networks that cost 1.5 times what the same prices say of large ones: no additive model fits both.
    found = [taken(i, factor=1.5 if place < 30 else 1.0) for place, i in enumerate(order)]
    near = order[44:57]
    plain, aimed = (refine(None, KEY, found, blocks_of, focus_latency=target) for target in (None, focus_latency))
    assert abs(mean_ratio(aimed, near) - 1) < abs(mean_ratio(plain, near) - 1)
    assert mean_ratio(aimed, near) == pytest.approx(1, abs=0.04)


def test_a_shipped_profile_is_not_forgotten_for_two_measurements() -> None:
    shipped = refine(None, KEY, [taken(i) for i in range(40)], blocks_of)
    found = [taken(i, session="b", hour=5) for i in (50, 51)]
    with_it, without = refine(shipped, KEY, found, blocks_of), refine(None, KEY, found, blocks_of)
    # Two measurements rescale all prices, so this is how far these two are off the rest: 4 %, without the profile more.
    assert abs(mean_ratio(with_it, range(52, 68)) - 1) < 0.06
    assert abs(mean_ratio(with_it, range(52, 68)) - 1) < abs(mean_ratio(without, range(52, 68)) - 1)


def test_callers_bugs_are_value_errors() -> None:
    with pytest.raises(ValueError, match="no measurements"):
        refine(None, KEY, [], blocks_of)
    with pytest.raises(ValueError, match="another key"):
        refine(None, replace(KEY, threads=2), [taken(0)], blocks_of)


def test_what_was_trained_last_comes_out_within_a_thousandth_where_measurements_carry_no_noise() -> None:
    """On counted instructions, of the network that the engine's model explains worst."""
    rows = json.loads((Path(__file__).parents[1] / "latency" / "mps2_an386_counted.json").read_text())["networks"]
    shape = (1, 28, 28)
    known = [
        replace(taken(0), architecture=row["architecture"], input_shape=shape, latency_ms=row["instructions"] / 1e6)
        for row in rows
    ]

    def errors(measurements: Sequence[Measurement], exact: bool) -> np.ndarray:
        profile = refine(None, KEY, measurements, blocks_of, model="engine", exact=exact)
        mean, _ = latency.load(profile.latency).predict([blocks_of(m) for m in measurements])
        return np.abs(mean / [m.latency_ms for m in measurements] - 1)

    worst = int(errors(known, False).argmax())
    known[worst] = replace(known[worst], session="b", taken_utc="2026-01-02T00:00:00Z", trained=True)
    assert errors(known, True)[worst] < 0.001 < errors(known, False)[worst]


def test_the_first_profile_of_a_key_is_drawn_towards_the_boards_nearest_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EDGENAS_HOME", str(tmp_path))
    board, every = Board.load("host"), [taken(i) for i in range(40)]
    old = replace(KEY, runtime_version="2.2.0")
    for key, factor in ((old, 1.0), (replace(old, threads=2, statistic="p50"), 3.0), (replace(KEY, runtime="x"), 9.0)):
        known = [replace(m, key=key, latency_ms=factor * m.latency_ms) for m in every]
        refine(None, key, known, blocks_of).save()
    fresh = replace(KEY, setting="performance-1500MHz")
    few = [replace(taken(i, session="b", factor=1.3, hour=5), key=fresh) for i in (50, 51)]
    seeded = refreshed(board, fresh, few, blocks_of)
    assert seeded.provenance["seeded_by"] == str(old)
    assert abs(mean_ratio(seeded, range(52, 68)) / 1.3 - 1) < 0.06  # without: see the test of two measurements above
    seeded.save()
    again = refreshed(board, fresh, few, blocks_of)
    assert again.provenance["seeded_by"] == str(old)
    alone = refreshed(
        board,
        replace(fresh, precision="float32"),
        [replace(m, key=replace(fresh, precision="float32")) for m in few],
        blocks_of,
    )
    assert alone.provenance["seeded_by"] is None


def test_what_is_outside_both_intervals_contradicts_the_worst_first() -> None:
    known = [taken(i) for i in range(40)]
    model = latency.load(refine(None, KEY, known, blocks_of).latency)
    blocks = [blocks_of(m) for m in known[:4]]
    mean, std = model.predict(blocks)
    inside = (mean[0] + 2.5 * std[0], mean[0] + 2.6 * std[0])
    unsure = (0.1 * mean[1], 5 * mean[1])
    slow, slower = ((1 + x) * mean[i] for i, x in ((2, 0.5), (3, 0.9)))
    found = contradicted(model, blocks, [inside, unsure, (slow, slow), (slower, slower)])
    assert list(found.items()) == [(3, pytest.approx(mean[3])), (2, pytest.approx(mean[2]))]
    assert contradicted(model, blocks[:1], [(0.0, mean[0] - 2.6 * std[0])]).keys() == {0}
