# SPDX-License-Identifier: Apache-2.0
"""Files that people hand on: what goes out comes in, and nothing else does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.recorded import KEY, taken

from edgenas.errors import UsageError
from edgenas.profiles import exchange
from edgenas.profiles.measurement import Measurement, blocks_of
from edgenas.profiles.profile import BoardProfile, ProfileKey
from edgenas.profiles.refine import refine
from edgenas.profiles.store import Store
from edgenas.spaces import catalogue
from edgenas.spaces.space import SearchSpace
from edgenas.workflows.profile_show import show_profile
from edgenas.workflows.profiles import export_profile, import_profile, merge_profiles


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """`at(name)`: go to somebody's home; an empty one for a new name."""

    def go(name: str) -> Path:
        monkeypatch.setenv("EDGENAS_HOME", str(tmp_path / name))
        return tmp_path / name

    go("nobody")
    return go


def measured(*measurements: Measurement) -> None:
    with Store() as store:
        store.append(measurements)


def stored(key: ProfileKey = KEY) -> list[Measurement]:
    with Store() as store:
        return store.read(key)


def bare(measurements: list[Measurement]) -> list[Measurement]:
    """Without what an import adds."""
    return [replace(m, origin=None) for m in measurements]


def edited(file: Path, change: Callable[[dict[str, Any]], object], *, signed: bool = True) -> Path:
    table = json.loads(file.read_text())
    change(table)
    if signed:
        table["sha256"] = exchange.digest(table)
    file.write_text(json.dumps(table))
    return file


def test_what_is_exported_is_imported_once(at: Callable[[str], Path], tmp_path: Path) -> None:
    at("one")
    fast = replace(KEY, setting="performance-1500MHz")
    mine = [taken(i) for i in range(20)]
    measured(*mine, taken(3, key=fast))
    refine(None, KEY, mine, lambda m: blocks_of(m) or ()).save()
    made = export_profile("host", out=tmp_path / "host.json", by="Ann")
    assert (made.keys, made.measurements, made.left_out) == ((KEY, fast), 21, 0)
    home = at("two")
    done = import_profile(tmp_path / "host.json")
    assert (done.new, done.known, done.notes) == (21, 0, ())
    assert bare(stored()) == mine
    (origin,) = {m.origin for m in stored()}
    assert origin is not None
    content = json.loads((tmp_path / "host.json").read_text())
    assert (origin.file, origin.by, origin.sha256) == ("host.json", "Ann", content["sha256"])
    profile = BoardProfile.load(KEY)
    assert profile is not None
    assert profile.measurements == 20
    assert BoardProfile.load(fast) is not None
    again = import_profile(tmp_path / "host.json")
    assert (again.new, again.known) == (0, 21)
    assert len(stored()) == 20
    assert {path.name for path in home.iterdir()} >= {"measurements.sqlite", "profiles"}


def test_ones_own_measurements_count_more_than_newer_imported_ones(at: Callable[[str], Path], tmp_path: Path) -> None:
    at("theirs")
    measured(*(taken(i, session="t", factor=2.0, hour=9) for i in range(20)))
    export_profile("host", out=tmp_path / "theirs.json")
    at("mine")
    mine = [taken(i) for i in range(20)]
    measured(*mine)
    import_profile(tmp_path / "theirs.json")
    profile = BoardProfile.load(KEY)
    assert profile is not None
    assert profile.provenance["drift"] == pytest.approx([0.5, 1.0])  # theirs, brought to mine


def test_merged_files_hold_every_measurement_once(at: Callable[[str], Path], tmp_path: Path) -> None:
    at("one")
    measured(*(taken(i) for i in range(12)))
    export_profile("host", out=tmp_path / "one.json", by="Ann")
    measured(*(taken(i, session="b", hour=3) for i in range(10, 22)))
    export_profile("host", out=tmp_path / "two.json", by="Bob")
    made = merge_profiles([tmp_path / "one.json", tmp_path / "two.json"], tmp_path / "both.json")
    assert made.measurements == 24
    both = exchange.read(tmp_path / "both.json")
    assert both.by == "Ann, Bob"
    profile = both.profile(KEY)
    assert profile is not None
    assert profile.measurements == 24
    with pytest.raises(UsageError, match=r"one.json exists: name another file, or delete it to merge again"):
        merge_profiles([tmp_path / "one.json", tmp_path / "two.json"], tmp_path / "one.json")
    edited(tmp_path / "two.json", lambda t: t["board"].update(unit="Minsn"))
    with pytest.raises(UsageError, match=r"two.json: unit Minsn, .*one.json: ms; merge files of one board"):
        merge_profiles([tmp_path / "one.json", tmp_path / "two.json"], tmp_path / "no.json")
    assert not (tmp_path / "no.json").exists()


def test_a_space_of_ones_own_goes_along(at: Callable[[str], Path], tmp_path: Path) -> None:
    own = replace(SearchSpace.load("tiny", (1, 28, 28), 10), name="my space")
    odd = replace(taken(0), space="my space")
    at("one")
    measured(odd, taken(1), replace(odd, space="of a file that is gone"))
    assert export_profile("host", out=tmp_path / "x.json").left_out == 2
    catalogue.remember(own)
    assert catalogue.recall("my space", (1, 28, 28), 10) == own
    with pytest.raises(UsageError, match=r"x.json exists: name another file, or delete it to export again"):
        export_profile("host", out=tmp_path / "x.json")
    (tmp_path / "x.json").unlink()
    assert export_profile("host", out=tmp_path / "x.json").left_out == 1
    at("two")
    assert import_profile(tmp_path / "x.json").new == 2
    assert catalogue.recall("my space", (1, 28, 28), 10) == own
    at("three")
    catalogue.remember(replace(own, stages=own.stages[:2], templates=()))
    with pytest.raises(UsageError, match="its search space 'my space' is not yours of that name"):
        import_profile(tmp_path / "x.json")
    assert stored() == []


def first(change: dict[str, Any]) -> Callable[[dict[str, Any]], object]:
    return lambda table: table["keys"][0]["measurements"][0].update(change)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (first({"latency_ms": float("nan")}), "not JSON, or cut off: NaN is no number"),
        (first({"latency_ms": 0}), "measurement 1: latency_ms is 0, not a latency"),
        (first({"p95_ms": -1.0}), "p95_ms is -1.0, not a latency"),
        (first({"p50_ms": float("inf")}), "not JSON, or cut off: Infinity is no number"),
        (first({"ci95_ms": [2.0, 1.0]}), "ci95_ms is [2.0, 1.0], not an interval"),
        (first({"n": 0}), "classes, n or peak_ram_bytes"),
        (first({"input_shape": [1, 28]}), "input_shape is [1, 28]"),
        (first({"session": 7}), "session is 7, not text"),
        (first({"conditions": {"reference_ratio": -1}}), "reference_ratio is -1"),
        (first({"trained": 1}), "trained or conditions"),
        (first({"taken_utc": "yesterday"}), "taken_utc is 'yesterday', not a time"),
        (first({"taken_utc": "2126-01-01T00:00:00Z"}), "which is to come: check the clocks"),
        (first({"taken_utc": "2026-01-01T00:00:00+02:00"}), "not in UTC"),
        (first({"architecture": "resnet"}), "architecture 'resnet' is not of the form"),
        (first({"architecture": "stem-16s1/plain-16x1"}), "is none of the space 'tiny'"),
        (first({"architecture": "stem-16s0/plain-16x1/plain-16x1/plain-16x1"}), "is none of the space 'tiny'"),
        (first({"architecture": f"stem-16s1/plain-16x{10**9}/plain-16x1/plain-16x1"}), "is none of the space 'tiny'"),
        (first({"space": "elsewhere"}), "search space 'elsewhere' is unknown"),
        (first({"colour": "red"}), "colour"),
        (lambda t: t["keys"][0]["measurements"][0].pop("p10_ms"), "KeyError: 'p10_ms'"),
        (lambda t: t["keys"][0]["key"].update(board="rpi-5"), "is no key of board host"),
        (lambda t: t["keys"][0]["key"].update(statistic="mean"), "is no key of board host"),
        (lambda t: t["keys"][0]["profile"]["latency"].pop("offset_ms"), "key 'offset_ms' is missing or wrong"),
        (lambda t: t["keys"][0]["profile"].update(schema=99), "key 'schema' is missing or wrong"),
        (
            lambda t: t.update(spaces={"tiny": catalogue.to_table(SearchSpace.load("tiny", (1, 8, 8), 2))}),
            "another one",
        ),
        (lambda t: t.update(spaces={"x": {"name": "x"}}), "not the table of a space"),
        (lambda t: t.update(keys={}), None),
        (lambda t: t.update(schema=2), "its schema is version 2, this edgenas reads version 1: update edgenas"),
        (lambda t: t.update(schema="new"), "its schema is version 'new'"),
        (lambda t: t.update(format="a cake"), "not a file of `edgenas profile export`"),
    ],
)
def test_a_file_with_what_cannot_be_is_refused_as_a_whole(
    at: Callable[[str], Path], tmp_path: Path, change: Callable[[dict[str, Any]], object], reason: str | None
) -> None:
    file = exported(at, tmp_path)
    home = at("other")
    edited(file, change)
    if reason is None:  # a board of which nothing is known: nothing to do
        assert import_profile(file).new == 0
        return
    with pytest.raises(UsageError) as caught:
        import_profile(file)
    assert caught.value.message.startswith(f"{file}: ")
    assert reason in caught.value.message
    assert "\n" not in caught.value.message
    assert not home.exists()


def exported(at: Callable[[str], Path], tmp_path: Path) -> Path:
    at("one")
    found = [taken(i) for i in range(3)]
    measured(*found)
    refine(None, KEY, found, lambda m: blocks_of(m) or ()).save()
    export_profile("host", out=tmp_path / "host.json")
    return tmp_path / "host.json"


def test_damaged_and_foreign_files_say_so(at: Callable[[str], Path], tmp_path: Path) -> None:
    file = exported(at, tmp_path)
    text = file.read_text()
    home = at("other")
    edited(file, first({"latency_ms": 1.0}), signed=False)
    with pytest.raises(UsageError, match="its sha256 is not that of its content"):
        import_profile(file)
    for content, reason in (
        (text[: len(text) // 2].encode(), "not JSON, or cut off"),
        (b"\xff\xfe", "not JSON, or cut off"),
        (b"[" * 100_000, "not JSON, or cut off"),
        (b"[]", "not a file of `edgenas profile export`"),
        (b'{"schema": 1}', "not a file of `edgenas profile export`"),
    ):
        file.write_bytes(content)
        with pytest.raises(UsageError, match=reason):
            import_profile(file)
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        import_profile(tmp_path / "nothing.json")
    assert not home.exists()


def test_another_board_of_the_name_is_refused(at: Callable[[str], Path], tmp_path: Path) -> None:
    file = exported(at, tmp_path)
    home = at("other")
    board = home / "boards" / "host" / "board.toml"
    board.parent.mkdir(parents=True)
    shipped = (Path(__file__).parents[2] / "boards" / "host" / "board.toml").read_text()
    board.write_text(shipped.replace('kind = "linux"', 'kind = "linux"\nunit = "Minsn"'))
    with pytest.raises(UsageError, match="the unit of board host is ms there and Minsn in"):
        import_profile(file)
    board.write_text(
        f"{shipped}\n[facts]\ncores = 3\n"
        if "[facts]" not in shipped
        else shipped.replace("[facts]", "[facts]\ncores_of_mine = 3")
    )
    assert "is it the same board?" in import_profile(file).notes[0]
    edited(
        file,
        lambda t: (
            t["board"].update(id="mars"),
            t["keys"][0]["key"].update(board="mars"),
            t["keys"][0].update(profile=None),
        ),
    )
    with pytest.raises(UsageError, match=r"of board 'mars', unknown here: put its board.toml into"):
        import_profile(file)


def test_one_sample_equal_latencies_and_twice_the_same(at: Callable[[str], Path], tmp_path: Path) -> None:
    at("one")
    measured(taken(0))
    with pytest.raises(UsageError, match="nothing was measured on board rpi-5 yet: run edgenas profile --board rpi-5"):
        export_profile("rpi-5", out=tmp_path / "x.json")
    assert export_profile("host", out=tmp_path / "x.json").measurements == 1
    (review,) = show_profile("host").reviews
    assert (review.mape, review.networks, review.measurements) == (None, (), 1)
    at("two")
    assert (
        import_profile(
            edited(tmp_path / "x.json", lambda t: t["keys"][0]["measurements"].append(t["keys"][0]["measurements"][0]))
        ).new
        == 1
    )
    at("three")
    measured(*(replace(taken(i), latency_ms=1.0, ci95_ms=(1.0, 1.0)) for i in range(12)))
    (review,) = show_profile("host").reviews
    assert review.mape is not None
    assert all(0 < network.predicted_ms < 100 for network in review.networks)


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_a_review_compares_what_was_left_out_and_draws_it(
    at: Callable[[str], Path], tmp_path: Path, suffix: str
) -> None:
    at("one")
    flagged = taken(40, session="b", hour=5)
    flagged = replace(flagged, conditions={"contradicted": True, "predicted_ms": 1.0})
    measured(*(taken(i) for i in range(40)), *(taken(i, session="b", factor=1.25, hour=5) for i in range(6)), flagged)
    shown = show_profile("host", picture=tmp_path / f"drawn{suffix}")
    (review,) = shown.reviews
    assert review.mape is not None
    assert 0.001 < review.mape < 0.06
    assert [round(session.drift, 2) for session in review.sessions] == [1.25, 1.0]
    assert [session.contradicted for session in review.sessions] == [0, 1]
    assert {operator.operator for operator in review.operators} >= {"stem", "head", "plain"}
    assert len(review.networks) == 47
    json.dumps(shown.to_json(), allow_nan=False)
    start = (tmp_path / f"drawn{suffix}").read_bytes()[:5]
    assert start == {".svg": b"<?xml", ".png": b"\x89PNG\r"}[suffix]
    with pytest.raises(UsageError, match=r"name a file that ends in \.svg, \.png, \.pdf"):
        show_profile("host", picture="drawn.txt")


def test_what_fails_half_way_has_changed_nothing(at: Callable[[str], Path], tmp_path: Path) -> None:
    file = exported(at, tmp_path)
    home = at("other")
    measured(taken(9, session="mine"))
    BoardProfile.path(KEY).parent.mkdir()
    BoardProfile.path(KEY).write_text("{")
    before = {path: path.read_bytes() for path in home.rglob("*.json")}
    with pytest.raises(UsageError, match="not valid JSON"):
        import_profile(file)
    assert [m.session for m in stored()] == ["mine"]
    assert {path: path.read_bytes() for path in home.rglob("*.json")} == before


def test_two_imports_at_once_are_one(at: Callable[[str], Path], tmp_path: Path) -> None:
    file = exported(at, tmp_path)
    at("other")
    code = f"import sys; sys.stdin.read(1); import edgenas; print(edgenas.import_profile({str(file)!r}).new)"
    started = [
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.write(b"x")
        process.stdin.flush()
    counts = sorted(int(process.communicate(timeout=60)[0]) for process in started)
    assert counts == [0, 3]
    assert len(stored()) == 3
