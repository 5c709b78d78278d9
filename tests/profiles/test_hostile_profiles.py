# SPDX-License-Identifier: Apache-2.0
"""Profiles that a stranger has edited and signed: what is taken of them, and what is refused in a line."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from helpers.profiles import profile_adversary
from helpers.profiles.profile_adversary import signed
from helpers.recorded import KEY, taken
from hypothesis import given, settings
from hypothesis import strategies as st

from edgenas import latency
from edgenas.errors import ProfileError, UsageError
from edgenas.profiles import exchange
from edgenas.profiles.measurement import blocks_of
from edgenas.profiles.profile import BoardProfile
from edgenas.profiles.refine import refine
from edgenas.spaces import catalogue
from edgenas.workflows.profiles import export_profile, import_profile
from firmware_tools.device import Conditions

TENTH = 10**400
PROFILE = refine(None, KEY, [taken(i) for i in range(3)], lambda m: blocks_of(m) or ())


@pytest.fixture
def export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The table of a true export; the present home is an empty one."""
    monkeypatch.setenv("EDGENAS_HOME", str(tmp_path / "theirs"))
    _, table = profile_adversary.made(tmp_path)
    monkeypatch.setenv("EDGENAS_HOME", str(tmp_path / "home"))
    return table


def written(table: dict[str, Any], folder: Path) -> Path:
    file = folder / "x.json"
    file.write_text(json.dumps(signed(table)))
    return file


def first(change: dict[str, Any]) -> Callable[[dict[str, Any]], object]:
    return lambda table: table["keys"][0]["measurements"][0].update(change)


def conditions(found: dict[str, Any]) -> Callable[[dict[str, Any]], object]:
    return first({"conditions": found})


def key(**change: Any) -> Callable[[dict[str, Any]], object]:
    return lambda table: table["keys"][0]["key"].update(change)


def space(**change: Any) -> Callable[[dict[str, Any]], object]:
    def do(table: dict[str, Any]) -> None:
        (found,) = table["spaces"].values()
        found.update(change)
        table["spaces"] = {found["name"]: found}

    return do


def many(what: str, count: int) -> Callable[[dict[str, Any]], object]:
    def do(table: dict[str, Any]) -> None:
        if what == "keys":
            table["keys"] = table["keys"][:1] * count
        else:
            table["keys"][0]["measurements"] *= count

    return do


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (first({"latency_ms": 1e-7}), "latency_ms is 1e-07, not a latency of 1 ns to 1 h"),
        (first({"latency_ms": 4e6}), "not a latency of 1 ns to 1 h"),
        (first({"p95_ms": TENTH}), "p95_ms is 1000"),
        (first({"ci95_ms": [0.1, 1e9]}), "not an interval"),
        (first({"ci95_ms": [TENTH, TENTH]}), "not an interval"),
        (first({"model_sha256": "abc"}), "model_sha256 is 'abc', not 64 hexadecimal digits"),
        (first({"session": "x" * 201}), "session has 201 characters, at most 200 are taken"),
        (first({"session": "\x1b[2J"}), "session is '\\x1b[2J', not a text that can be printed"),
        (first({"space": "x" * 65}), "space has 65 characters"),
        (first({"architecture": "stem-8s1" + "/plain-8x1" * 500}), "architecture has 5008 characters"),
        (first({"architecture": "stem-8s1/plain-8x200/plain-8x1/plain-8x1"}), "is none of the space 'tiny'"),
        (first({"taken_utc": "2026-01-01\x1b00:00:00+00:00"}), "taken_utc is '2026-01-01\\x1b00:00:00+00:00', not a"),
        (first({"origin": {"sha256": ""}}), "entry 'origin' is unknown"),
        (first({"peak_ram_bytes": TENTH}), "classes, n or peak_ram_bytes"),
        (conditions({"x": TENTH}), "is no number that a device reports"),
        (conditions({"x": 1e16}), "conditions: 1e+16 is no number"),
        (conditions({"x" * 1001: 1}), "the name of an entry has 1001 characters"),
        (conditions({"tool": "x" * 8193}), "a text of 8193 characters, at most 8192 are taken"),
        (conditions({str(i): i for i in range(1500)}), "conditions: too many values, or nested too deeply"),
        (conditions({"a": [[[[[1]]]]]}), "conditions: too many values, or nested too deeply"),
        (conditions({"reference_ratio": 1e-9}), "reference_ratio is 1e-09"),
        (conditions({"hostname": "a\nb"}), "hostname is 'a\\nb', not a text"),
        (conditions({"hostname": 7}), "hostname is 7, not text"),
        (key(setting="x" * 201), "setting has 201 characters"),
        (key(runtime=""), "runtime is '', not a text"),
        (key(runtime="%" * 100), "is too long for the name of a file"),
        (key(threads=True), "is no key of board host"),
        (space(name="x" * 65), "search space has 65 characters"),
        (space(name="/" * 64 + "."), "search space has 65 characters"),
        (space(name="\U0001f600" * 40), "is too long for the name of a file"),
        (space(name=""), "search space is ''"),
        (space(stem={"strides": [1], "widths": list(range(1, 400))}), "more choices, or larger ones, than any"),
        (space(stem={"strides": [1], "widths": [TENTH]}), "more choices, or larger ones, than any"),
        (lambda t: t.update(by="x" * 1001), "by has 1001 characters"),
        (lambda t: t.update(by="\u202e"), "by is '\\u202e', not a text"),
        (lambda t: t["board"].update(id="../x"), "board '../x' is not small letters"),
        (lambda t: t["board"].update(kind="\x1b"), "kind is '\\x1b'"),
        (many("keys", 65), "65 keys, at most 64 are taken"),
        (many("measurements", 2000), "14001 measurements, at most 10000 are taken"),
        (lambda t: t.update(x=[{}] * 150_001), "more values than 10000 measurements have: ask for a file of fewer"),
        (lambda t: t.update(x=" " * (32 << 20)), "larger than 33554432 bytes, which no export is"),
    ],
)
def test_what_is_too_much_is_refused_by_name(
    export: dict[str, Any], tmp_path: Path, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    change(export)
    with pytest.raises(ProfileError) as caught:
        import_profile(written(export, tmp_path))
    assert reason in caught.value.message
    assert caught.value.message.isprintable()
    assert len(caught.value.message.replace(str(tmp_path), "")) < 260
    assert not (tmp_path / "home").exists()


def test_special_files_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ProfileError, match="no regular file, which no export is"):
        import_profile(tmp_path / "pipe")
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        import_profile(tmp_path)


def test_names_stay_in_their_folders(export: dict[str, Any], tmp_path: Path) -> None:
    (table,) = export["spaces"].values()
    for name in ("../../x", "..", ".", "a/b", "~", "\\", "a\u00e9 %"):
        odd = taken(1)
        export["spaces"] = {name: {**table, "name": name}}
        export["keys"] = [
            {
                "key": {**asdict(KEY), "runtime": name},
                "profile": None,
                "measurements": [exchange._bare(replace(odd, space=name, input_shape=(1, 28, 28)))],
            }
        ]
        assert import_profile(written(export, tmp_path)).new == 1
        assert catalogue.recall(name, (1, 28, 28), 10) is not None
        found = {path for path in tmp_path.rglob("*") if path.is_file() and "theirs" not in path.parts}
        assert {path.parent.relative_to(tmp_path) for path in found} <= {
            Path(),
            Path("home"),
            Path("home/spaces"),
            Path("home/profiles"),
        }
    assert {path.name for path in tmp_path.iterdir()} == {"x.json", "export.json", "home", "theirs"}


def test_what_a_jetson_or_a_server_reports_and_a_name_in_other_letters_go_through(
    export: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Conditions(
        "tensorrt",
        "10.3.0",
        6,
        "schedutil",
        1510.4,
        1510.4,
        51.5,
        1.25,
        1.5,
        "3.10.12",
        "2026-01-01T00:00:00.000Z",
        affinity=tuple(range(256)),
        tools={
            "nvpmodel -q": "NV Power Mode: MAXN_SUPER\n2",
            "jetson_clocks --show": "cpu0: Online=1 Governor=schedutil\n" * 40,
            "tegrastats": "RAM 2000/7620MB (lfb 4x4MB) " * 20,
        },
        marked=("throttled", "other programs took 12 % of the time"),
        repeats=2,
        reference_ratio=1.0173,
    )
    met = json.loads(json.dumps({**asdict(told), "processes": 3, "hostname": "jetson-müller", "reference": True}))
    export["by"] = "José, 李"
    export["keys"][0]["measurements"][0]["conditions"] = met
    done = import_profile(written(export, tmp_path))
    assert done.new == 8
    assert export_profile("host", out=tmp_path / "again.json").left_out == 0
    found = [m for m in exchange.read(tmp_path / "again.json").measurements if m.conditions.get("repeats") == 2]
    (m,) = found
    assert {name: value for name, value in m.conditions.items() if name != "imported"} == met
    assert m.conditions["imported"]["by"] == "José, 李"


def changed_profile(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    table: dict[str, Any] = json.loads(json.dumps(PROFILE.to_json()))
    change(table)
    return table


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t["latency"].update(offset_ms=TENTH),
        lambda t: t["latency"].update(scale=1e300),
        lambda t: t["latency"].update(terms=[t["latency"]["features"]] * 6),
        lambda t: t["latency"]["features"].update(tile=[TENTH, 1, 1]),
        lambda t: t["latency"]["features"].update(bias_ms=TENTH),
        lambda t: t["latency"].update(model=["auto"]),
        lambda t: t.update(provenance={"x": TENTH}),
        lambda t: t.update(provenance=[[]] * 3),
        lambda t: t.update(provenance={str(i): i for i in range(60_000)}),
        lambda t: t.update(input_shape=[1, TENTH, 1]),
        lambda t: t.update(input_shape=[True, 1, 1]),
        lambda t: t.update(key="x" * 100_000),
        lambda t: t.update(
            latency={"model": "transfer", "known": [], "alone": {"model": "transfer"}, "rest": {}, "refused": ""}
        ),
        lambda t: t.update(latency={"model": "table", "names": ["x"] * 20_001, "ms": [1] * 20_001}),
        lambda t: t.update(latency={"model": "gp", "groups": [], "features": {}, "theta": [1e9]}),
    ],
)
def test_a_planted_profile_is_damaged_in_a_line(change: Callable[[dict[str, Any]], object]) -> None:
    table = changed_profile(change)
    with pytest.raises(ProfileError, match=r"delete (it|the file) and run `edgenas profile`") as caught:
        latency.load(BoardProfile.from_json(table, KEY).latency)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 400


def test_a_profile_that_says_that_nothing_takes_time_is_learnt_over() -> None:
    """A price of 0 is allowed, all of them teach nothing: what is measured counts."""
    table = changed_profile(lambda t: t["latency"]["features"].update(bias_ms=0.0, prices=dict.fromkeys(PRICES, 0.0)))
    planted = BoardProfile.from_json(table, KEY)
    for count in (2, 9):
        found = [taken(i) for i in range(count)]
        profile = refine(planted, KEY, found, lambda m: blocks_of(m) or ())
        mean, _ = latency.load(profile.latency).predict([blocks_of(m) or () for m in found])
        assert all(0.3 < ms / m.latency_ms < 3 for ms, m in zip(mean, found, strict=True))


PRICES = PROFILE.latency["features"]["prices"]


@settings(max_examples=60, derandomize=True)
@given(seed=st.integers(0, 2**32))
def test_an_edited_profile_is_taken_or_refused_and_nothing_else(
    seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("hostile")
    rng = random.Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGENAS_HOME", str(folder / "home"))
        content = json.dumps(profile_adversary.changed(TRUE, rng)).encode()
        assert profile_adversary.tried(content, folder, rng) in ("taken", "refused")
        table = profile_adversary.changed({"profile": PROFILE.to_json()}, rng).get("profile")
        assert profile_adversary.planted(table, rng) in ("taken", "refused")
    assert {path.name for path in folder.iterdir()} <= {"home", "hostile.json"}


@pytest.fixture(scope="module", autouse=True)
def _true(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("true")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGENAS_HOME", str(folder / "home"))
        TRUE.update(profile_adversary.made(folder, 3)[1])


TRUE: dict[str, Any] = {}


def test_a_planted_model_that_nothing_can_be_fitted_from_is_learnt_over() -> None:
    """Numbers that are allowed one by one, and whose products are none."""
    found = [taken(i) for i in range(9)]
    table = changed_profile(lambda t: t["latency"]["features"].update(bias_ms=1e18, prices=dict.fromkeys(PRICES, 1e18)))
    table["latency"] |= {"measurements": 10**18, "offset_ms": -1e18}
    profile = refine(BoardProfile.from_json(table, KEY), KEY, found, lambda m: blocks_of(m) or ())
    mean, _ = latency.load(profile.latency).predict([blocks_of(m) or () for m in found])
    assert all(0.3 < ms / m.latency_ms < 3 for ms, m in zip(mean, found, strict=True))
