# SPDX-License-Identifier: Apache-2.0
"""`edgenas measure` of an artifact: what is recorded, and when nothing is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgenas
from edgenas.artifacts.artifact import MANIFEST, Artifact, Tensor
from edgenas.boards.board import Board
from edgenas.conversion import describe, run_tflite
from edgenas.errors import UsageError
from edgenas.measuring.artifact_record import network_of
from edgenas.measuring.session import Session
from edgenas.profiles.measurement import Measurement
from edgenas.profiles.profile import BoardProfile, ProfileKey
from edgenas.profiles.store import Store
from edgenas.progress import Silent
from edgenas.spaces import catalogue
from edgenas.spaces.architecture import Architecture
from edgenas.spaces.space import SearchSpace

SPACE = SearchSpace.load("tiny", (1, 8, 8), 10)
SMALL = Architecture.parse("stem-8s2/plain-16x1/plain-16x1/plain-32x1")
LARGE = Architecture.parse("stem-32s1/plain-48x2/plain-64x2/plain-128x1")


def _artifact(tflite: bytes, **named: Any) -> Artifact:
    info = describe(tflite)
    inputs = np.zeros((1, *info.input.shape[1:]), info.input.dtype)
    return Artifact.build(
        name="x",
        tflite=tflite,
        precision="int8",
        input=info.input,
        output=info.output,
        golden_inputs=inputs,
        golden_outputs=run_tflite(tflite, inputs),
        **named,
    )


def _stored(key: ProfileKey) -> list[Measurement]:
    with Store() as store:
        return store.read(key)


def test_the_measurement_refines_the_profile_under_the_key_of_a_deploy(home: Path, tmp_path: Path) -> None:
    named = {"architecture": str(SMALL), "space": catalogue.named(SPACE), "task": "images"}
    with Session(Board.load("host"), Silent()) as session:
        key, (model,) = session.key, session.convert_untrained(SPACE, [SMALL])
    _artifact(model, **named).save(tmp_path / "new")
    _artifact(model).save(tmp_path / "old")
    first = edgenas.measure(tmp_path / "new").record
    assert first is not None
    assert (first.key, first.profile) == (key, None)
    assert "there is no profile to refine yet" in str(first)
    assert BoardProfile.load(key) is None

    with Session(Board.load("host"), Silent()) as session:
        session.measure_untrained(SPACE, [SMALL, LARGE])
        session.refined().save()
    before = _stored(key)
    assert edgenas.measure(tmp_path / "new" / "model.tflite").record is None
    old = edgenas.measure(tmp_path / "old").record
    assert old is not None
    assert (old.key, old.profile) == (None, None)
    assert "names no architecture" in str(old)
    assert _stored(key) == before

    measured = edgenas.measure(tmp_path / "new")
    assert measured.record is not None
    *known, last = _stored(key)
    assert known == before
    assert (last.architecture, last.space, last.trained) == (str(SMALL), "tiny", True)
    assert last.latency_ms == measured.timing.latency_ms
    assert last.model_sha256 == measured.timing.sha256
    assert last.conditions["runtime"] == key.runtime
    assert last.session not in {m.session for m in known}
    profile = BoardProfile.load(key)
    assert profile is not None
    assert profile.measurements == len(before) + 1 == measured.record.measurements
    assert profile.refined_utc == last.taken_utc
    told = json.loads(json.dumps(measured.to_json()))["recorded"]
    assert told["profile"] == str(BoardProfile.path(key))
    assert told["key"]["runtime"] == key.runtime


def test_what_the_profile_contradicts_by_far_is_not_recorded(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Session(Board.load("host"), Silent()) as session:
        (model,) = session.convert_untrained(SPACE, [SMALL])
        session.measure_untrained(SPACE, [SMALL, LARGE])
        session.refined().save()
        before = session.store.read(session.key)
    _artifact(model, architecture=str(SMALL), space=catalogue.named(SPACE)).save(tmp_path)

    def far(*args: object) -> dict[int, float]:
        return {0: 1e6}

    monkeypatch.setattr("edgenas.measuring.refinement.contradicted", far)
    record = edgenas.measure(tmp_path).record
    assert record is not None
    assert record.key is None
    assert "more than 3 times off" in str(record)
    assert _stored(session.key) == before


def test_a_users_own_space_comes_with_the_artifact(home: Path) -> None:
    table = {**catalogue.to_table(SPACE), "name": "mine"}
    mine = catalogue.bound(table, (1, 8, 8), 10)
    manifest = _manifest(space=catalogue.named(mine))
    assert network_of(manifest) == (mine, SMALL)
    catalogue.remember(mine)
    assert network_of(manifest) == (mine, SMALL)
    other = {**table, "body": {**table["body"], "kernels": [3]}}
    with pytest.raises(UsageError, match="is not yours of that name"):
        network_of(_manifest(space={"name": "mine", "table": other}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": None}, "names no architecture"),
        ({"space": None}, "names no architecture"),
        ({"architecture": "resnet8"}, "is not of the form"),
        ({"architecture": "stem-8s2/plain-16x1"}, "is none of the space"),
        ({"architecture": "stem-8s2/plain-16x1000/plain-16x1/plain-32x1"}, "is none of the space"),
        ({"space": {"name": "nobody's", "table": None}}, "is not known here"),
        ({"space": {"name": "x" * 5000, "table": None}}, "has 5000 characters"),
        ({"space": {"name": "a\0b", "table": None}}, "not a text that can be printed"),
        ({"space": {"name": "nobody's", "table": {"name": "x"}}}, "not the table of a space"),
        ({"space": {"name": "other", "table": {**catalogue.to_table(SPACE), "name": "mine"}}}, "is called 'other'"),
        ({"input": {"shape": [1, 8]}}, "is none of a search space"),
        ({"input": {"shape": [1, 8, -8, "1"]}}, "is none of a search space"),
        ({"output": {"shape": []}}, "is none of a search space"),
    ],
)
def test_a_manifest_that_names_no_network(home: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        network_of(_manifest(**changes))


def test_an_artifact_of_an_older_version_loads(tmp_path: Path) -> None:
    tensors = {"input": Tensor((1, 2), "int8"), "output": Tensor((1, 2), "int8")}
    zeros = np.zeros((1, 2), np.int8)
    built = Artifact.build(
        name="x", tflite=b"x", precision="int8", golden_inputs=zeros, golden_outputs=zeros, **tensors
    )
    built.save(tmp_path)
    manifest = {name: value for name, value in built.manifest.items() if name not in ("architecture", "space", "task")}
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    assert Artifact.load(tmp_path).manifest == manifest
    (tmp_path / MANIFEST).write_text(json.dumps({**manifest, "space": {"table": {}}}))
    with pytest.raises(UsageError, match=r"space\.name is missing"):
        Artifact.load(tmp_path)


def _manifest(**changes: Any) -> dict[str, Any]:
    named = {"architecture": str(SMALL), "space": catalogue.named(SPACE), "task": "images"}
    return {**named, "input": {"shape": [1, 8, 8, 1]}, "output": {"shape": [1, 10]}, **changes}
