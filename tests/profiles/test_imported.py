# SPDX-License-Identifier: Apache-2.0
"""Imported measurements: a layer with a scale, what disagrees, and how a file or a session is taken back."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.recorded import KEY, taken

from edgenas.boards.board import Board
from edgenas.errors import UsageError
from edgenas.profiles import exchange
from edgenas.profiles.evidence import evidence
from edgenas.profiles.measurement import Measurement, Origin, blocks_of
from edgenas.profiles.profile import BoardProfile, ProfileKey
from edgenas.profiles.refine import refine, refreshed
from edgenas.profiles.store import Store
from edgenas.spaces.architecture import Block
from edgenas.workflows.profile_forget import forget_profile
from edgenas.workflows.profile_show import show_profile
from edgenas.workflows.profiles import export_profile, import_profile

FAST = replace(KEY, setting="performance-1500MHz")


class Heard:
    """A reporter that keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def stage(self, name: str) -> None: ...

    def progress(self, done: int, total: int, unit: str) -> None: ...

    def status(self, text: str) -> None: ...


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """`at(name)`: go to somebody's home; an empty one for a new name."""

    def go(name: str) -> Path:
        monkeypatch.setenv("EDGENAS_HOME", str(tmp_path / name))
        return tmp_path / name

    go("nobody")
    return go


def known_blocks(m: Measurement) -> tuple[Block, ...]:
    return blocks_of(m) or ()


def measured(*measurements: Measurement) -> None:
    with Store() as store:
        store.append(measurements)


def refitted(key: ProfileKey = KEY) -> None:
    """What a deploy does with what was measured."""
    refine(None, key, stored(key), known_blocks).save()


def stored(key: ProfileKey = KEY) -> list[Measurement]:
    with Store() as store:
        return store.read(key)


def from_ann(at: Callable[[str], Path], file: Path, measurements: Sequence[Measurement]) -> Path:
    """Ann's export of what she has measured."""
    at(file.stem)
    measured(*measurements)
    export_profile("host", out=file, by="Ann")
    return file


def imported_from(file: str, *measurements: Measurement) -> list[Measurement]:
    origin = Origin(file * 8, file, "Ann", "2026-02-01T00:00:00Z")
    return [replace(m, origin=origin) for m in measurements]


def layer_of(profile: BoardProfile | None) -> dict[str, object]:
    assert profile is not None
    (layer,) = profile.provenance["layers"]
    return dict(layer)


def test_a_layer_is_scaled_by_the_networks_that_both_measured() -> None:
    mine = [taken(i) for i in range(6)]
    theirs = imported_from("t", *(taken(i, session="t", factor=2.0, hour=9) for i in range(3, 20)))
    data = evidence([*mine, *theirs], known_blocks)
    (layer,) = data.layers
    assert (layer.by, layer.compared, layer.measurements) == ("networks", 3, 17)
    assert layer.scale == pytest.approx(0.5)
    rows = {(row.network.architecture, row.origin is None): row for row in data.rows}
    assert rows[mine[4].architecture, False].latency_ms == pytest.approx(mine[4].latency_ms)
    assert rows[mine[4].architecture, False].weight == 0.5
    assert rows[mine[4].architecture, True].weight == 1.0


def test_a_layer_is_scaled_by_a_model_where_nothing_is_shared() -> None:
    mine = [taken(i) for i in range(20)]
    theirs = imported_from("t", *(taken(i, session="t", factor=2.5) for i in range(30, 50)))
    (layer,) = evidence([*mine, *theirs], known_blocks).layers
    assert (layer.by, layer.compared) == ("model", 20)
    assert layer.scale == pytest.approx(0.4, rel=0.05)
    assert 0 < layer.scale_std < 0.05
    assert evidence(theirs, known_blocks).layers[0].scale == 1.0
    (alone,) = evidence([*mine[:2], *theirs], known_blocks).layers
    assert (alone.scale, alone.by) == (1.0, "nothing")


def test_layers_have_scales_of_their_own_and_a_session_of_mine_is_mine() -> None:
    mine = [taken(i, session="same") for i in range(4)]
    two = [
        imported_from(name, *(taken(i, session="same", factor=factor) for i in range(4)))
        for name, factor in (("a", 2.0), ("b", 0.5))
    ]
    data = evidence([*mine, *two[0], *two[1]], known_blocks)
    assert {layer.origin.file: round(layer.scale, 6) for layer in data.layers} == {"a": 0.5, "b": 2.0}
    assert all(
        row.latency_ms == pytest.approx(m.latency_ms)
        for row in data.rows
        for m in mine
        if m.architecture == row.network.architecture
    )


def test_of_a_large_file_a_part_is_fitted_and_all_of_ones_own() -> None:
    many = [taken(i % 60, session=f"s{i // 60}", hour=i // 60) for i in range(60 * 20)]
    data = evidence([taken(61), *imported_from("t", *many)], known_blocks)
    assert sum(row.origin is not None for row in data.rows) == 500
    assert data.layers[0].measurements == 1200
    assert len(evidence(many, known_blocks).rows) == 1200


def test_the_profile_says_which_file_at_which_scale(at: Callable[[str], Path], tmp_path: Path) -> None:
    file = from_ann(at, tmp_path / "ann.json", [taken(i, session="t", factor=2.0, hour=9) for i in range(7)])
    at("mine")
    measured(*(taken(i) for i in range(4)))
    done = import_profile(file)
    assert (done.new, done.disagreements) == (7, ())
    assert done.layers[0]["scale"] == 0.5
    layer = layer_of(BoardProfile.load(KEY))
    assert {name: layer[name] for name in ("file", "sender", "measurements", "compared", "by", "scale")} == {
        "file": "ann.json",
        "sender": "Ann",
        "measurements": 7,
        "compared": 4,
        "by": "networks",
        "scale": 0.5,
    }
    (review,) = show_profile("host").reviews
    assert [(s.session, s.file) for s in review.sessions] == [("t", "ann.json"), ("a", None)]
    assert review.layers[0]["scale"] == 0.5


def refused(file: Path, heard: Heard) -> str:
    before = {key: stored(key) for key in (KEY, FAST)}
    with pytest.raises(UsageError) as caught:
        import_profile(file, reporter=heard)
    assert {key: stored(key) for key in (KEY, FAST)} == before
    assert "say --yes to take the file all the same; nothing was changed" in caught.value.message
    assert len(caught.value.message.replace(str(file), file.name)) < 200
    return str(caught.value.message)


def test_what_disagrees_is_shown_and_wants_a_yes(at: Callable[[str], Path], tmp_path: Path) -> None:
    odd = [taken(i, session="t", factor=10.0 + i, hour=9) for i in range(7)]
    file = from_ann(at, tmp_path / "ann.json", [*odd, *(taken(i, session="t", hour=9) for i in range(7, 20))])
    home = at("mine")
    measured(*(taken(i) for i in range(20)))
    heard = Heard()
    message = refused(file, heard)
    assert "7 of them disagree with your measurements by more than 3 times, the worst by 16 times" in message
    assert len(heard.lines) == 6
    assert heard.lines[0].startswith(f"{odd[6].architecture}: ")
    assert heard.lines[0].endswith("by your measurements, 16 times as long")
    assert heard.lines[5] == "and 2 more"
    assert not (home / "profiles").exists()
    done = import_profile(file, accept=True)
    assert (done.new, len(done.disagreements)) == (20, 7)
    table = done.to_json()["disagreements"]
    assert (table[0]["architecture"], round(table[0]["ratio"], 6)) == (odd[6].architecture, 16.0)
    assert json.loads(json.dumps(done.to_json(), allow_nan=False))["unit"] == "ms"
    assert home.exists()


@pytest.mark.parametrize("factor", [4.0, 0.25])
def test_a_file_that_disagrees_as_a_whole(at: Callable[[str], Path], tmp_path: Path, factor: float) -> None:
    file = from_ann(at, tmp_path / "ann.json", [taken(i, session="t", factor=factor, hour=9) for i in range(10)])
    at("mine")
    measured(*(taken(i) for i in range(4)))
    heard = Heard()
    assert "its latencies as a whole disagree with your measurements by more than 3 times, the worst by 4" in refused(
        file, heard
    )
    assert heard.lines[0].startswith("all of it: ")
    assert len(heard.lines) == 1


def test_without_anything_of_ones_own_a_file_is_held_against_itself_and_other_boards(
    at: Callable[[str], Path], tmp_path: Path
) -> None:
    rows = [taken(i, session="t") for i in range(10)]
    rows[3] = replace(rows[3], latency_ms=12 * rows[3].latency_ms)
    file = from_ann(at, tmp_path / "ann.json", rows)
    honest = from_ann(at, tmp_path / "honest.json", [taken(i, session="t") for i in range(10)])
    at("mine")
    heard = Heard()
    assert "1 of them disagree with the file's others" in refused(file, heard)
    assert heard.lines[0].startswith(rows[3].architecture)
    assert import_profile(honest).disagreements == ()
    at("other")
    rpi = replace(KEY, board="rpi-5")
    slow = [taken(i, key=rpi, factor=7.0) for i in range(40)]
    refine(None, rpi, slow, known_blocks, model="features").save()
    assert "1 of them disagree with other boards" in refused(file, Heard())
    assert import_profile(honest).disagreements == ()


def test_the_profile_and_the_prior_are_asked_before_other_boards(at: Callable[[str], Path], tmp_path: Path) -> None:
    file = from_ann(at, tmp_path / "ann.json", [taken(i, session="t", factor=5.0) for i in range(10)])
    at("mine")
    refine(None, KEY, [taken(i) for i in range(20)], known_blocks).save()  # of measurements that are elsewhere
    assert "disagree with your profile by more than 3 times" in refused(file, Heard())


def known_sessions() -> set[str]:
    return {m.session for m in stored()}


def prediction(profile: BoardProfile | None) -> str:
    assert profile is not None
    return json.dumps(profile.latency, sort_keys=True)


def test_a_file_is_forgotten_as_if_it_had_never_been_there(at: Callable[[str], Path], tmp_path: Path) -> None:
    file = from_ann(
        at,
        tmp_path / "ann.json",
        [*(taken(i, session="t", factor=2.0) for i in range(6)), taken(0, session="t", key=FAST)],
    )
    at("mine")
    measured(*(taken(i) for i in range(6)))
    refitted()
    before = prediction(BoardProfile.load(KEY))
    import_profile(file)
    assert prediction(BoardProfile.load(KEY)) != before
    assert BoardProfile.load(FAST) is not None
    done = forget_profile(file)
    assert (done.file, done.session, done.measurements) == ("ann.json", None, 7)
    assert {each.key: (each.forgotten, each.left) for each in done.keys} == {KEY: (6, 6), FAST: (1, 0)}
    json.dumps(done.to_json())
    assert prediction(BoardProfile.load(KEY)) == before
    assert BoardProfile.load(FAST) is None
    assert known_sessions() == {"a"}
    assert export_profile("host", out=tmp_path / "mine.json").measurements == 6
    with pytest.raises(UsageError, match="is no imported file and no session that counts: `edgenas profile show"):
        forget_profile(file)
    again = import_profile(file)
    assert (again.new, again.known) == (7, 0)
    assert "7 of its measurements had been forgotten: what is imported counts again" in again.notes
    assert forget_profile("ann.json").measurements == 7  # its name is enough, wherever the file is now


def test_files_of_one_name_are_told_apart(at: Callable[[str], Path], tmp_path: Path) -> None:
    files = []
    for name in ("one", "two"):
        (tmp_path / f"of {name}").mkdir()
        files.append(from_ann(at, tmp_path / f"of {name}" / "x.json", [taken(0, session=name)]))
        at("x").rename(tmp_path / f"home of {name}")
    home = at("mine")
    sha256 = [import_profile(file).layers[0]["sha256"] for file in files]
    with pytest.raises(
        UsageError, match=r"x.json is the name of 2 files: say which by ([0-9a-f]{12}) .*, ([0-9a-f]{12}) "
    ):
        forget_profile("x.json")
    assert home.exists()
    assert forget_profile(sha256[0][:12]).sha256 == sha256[0]
    assert known_sessions() == {"two"}
    assert forget_profile("x.json").measurements == 1
    assert BoardProfile.load(KEY) is None


def test_a_session_of_ones_own_is_forgotten(at: Callable[[str], Path], tmp_path: Path) -> None:
    at("mine")
    measured(*(taken(i) for i in range(4)), *(taken(i, session="b", factor=9.0, hour=1) for i in range(4, 8)))
    refitted()
    done = forget_profile("b")
    assert (done.session, done.measurements, [(k.forgotten, k.left) for k in done.keys]) == ("b", 4, [(4, 4)])
    assert known_sessions() == {"a"}
    assert prediction(BoardProfile.load(KEY)) == prediction(
        refine(None, KEY, [taken(i) for i in range(4)], known_blocks)
    )
    with pytest.raises(UsageError, match="session b: its 4 measurements are forgotten already"):
        forget_profile("b")
    with pytest.raises(UsageError, match="is no imported file and no session that counts"):
        forget_profile("z")


def test_profiles_that_learnt_from_what_is_forgotten_are_fitted_anew(at: Callable[[str], Path], tmp_path: Path) -> None:
    bad = from_ann(at, tmp_path / "bad.json", [taken(i, session="t", factor=1 + i) for i in range(6)])
    at("mine")
    measured(taken(0, key=FAST))
    import_profile(bad, accept=True)
    before = prediction(refine(None, FAST, [taken(0, key=FAST)], known_blocks))
    refreshed(Board.load("host"), FAST, stored(FAST), known_blocks).save()
    learnt = BoardProfile.load(FAST)
    assert prediction(learnt) != before
    assert learnt is not None
    assert learnt.provenance["seeded_by"] == str(KEY)
    done = forget_profile("bad.json")
    assert {each.key: (each.forgotten, each.left) for each in done.keys} == {KEY: (6, 0), FAST: (0, 1)}
    assert prediction(BoardProfile.load(FAST)) == before


FORGET = """
import os, signal, sys
from edgenas.profiles.store import Store
from edgenas.workflows.profile_forget import forget_profile
if sys.argv[1] == "before":
    Store.forget = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
forget_profile("ann.json")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_one_that_is_killed_leaves_the_old_or_the_new_and_goes_on(
    at: Callable[[str], Path], tmp_path: Path, when: str
) -> None:
    file = from_ann(at, tmp_path / "ann.json", [taken(i, session="t", factor=2.0) for i in range(4)])
    at("mine")
    measured(*(taken(i) for i in range(4)))
    import_profile(file)
    done = subprocess.run([sys.executable, "-c", FORGET, when], check=False)
    assert done.returncode == -signal.SIGKILL
    assert known_sessions() == ({"a", "t"} if when == "before" else {"a"})
    if when == "before":
        assert forget_profile("ann.json").measurements == 4
    alone = prediction(refine(None, KEY, [taken(i) for i in range(4)], known_blocks))
    assert prediction(BoardProfile.load(KEY)) == alone
    assert known_sessions() == {"a"}


def test_a_profile_without_a_measurement_is_forgotten_too(at: Callable[[str], Path], tmp_path: Path) -> None:
    file = from_ann(at, tmp_path / "ann.json", [taken(0, session="t")])
    table = json.loads(file.read_text())
    bare = refine(None, FAST, [taken(1, key=FAST)], known_blocks).to_json()
    table["keys"].append(
        {"key": table["keys"][0]["key"] | {"setting": FAST.setting}, "profile": bare, "measurements": []}
    )
    file.write_text(json.dumps({**table, "sha256": exchange.digest(table)}))
    at("mine")
    import_profile(file)
    assert BoardProfile.load(FAST) is not None
    done = forget_profile("ann.json")
    assert {each.key: (each.forgotten, each.left) for each in done.keys} == {KEY: (1, 0), FAST: (0, 0)}
    assert BoardProfile.load(FAST) is None
    assert BoardProfile.load(KEY) is None


def test_what_an_older_edgenas_imported_is_a_layer_and_is_forgotten(at: Callable[[str], Path]) -> None:
    home = at("mine")
    mark = {"file": "old.json", "by": "Bob", "imported_utc": "2026-01-02T00:00:00.000+00:00"}
    as_of_version_2(
        home,
        [taken(i) for i in range(4)],
        [replace(taken(i, session="t", factor=2.0), conditions={"imported": mark}) for i in range(4)],
    )
    found = stored()
    assert [m.origin for m in found[:4]] == [None] * 4
    assert {m.origin for m in found[4:]} == {Origin("", "old.json", "Bob", mark["imported_utc"])}
    assert evidence(found, known_blocks).layers[0].scale == pytest.approx(0.5)
    assert forget_profile("old.json").measurements == 4
    assert known_sessions() == {"a"}
    connection = sqlite3.connect(home / "measurements.sqlite")
    for statement in ("UPDATE measurements SET n = 1", "DELETE FROM forgotten", "UPDATE imports SET file = 'x'"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(statement)
    connection.close()


def as_of_version_2(home: Path, *groups: Sequence[Measurement]) -> None:
    """A store as the last release made it."""
    measured(*(m for group in groups for m in group))
    connection = sqlite3.connect(home / "measurements.sqlite")
    for name in ("imports", "forgotten"):
        connection.execute(f"DROP TABLE {name}")
    connection.execute("DROP INDEX by_session")
    connection.execute("ALTER TABLE measurements DROP COLUMN import_id")
    connection.execute("PRAGMA user_version = 2")
    connection.commit()
    connection.close()
