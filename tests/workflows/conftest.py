# SPDX-License-Identifier: Apache-2.0
"""One profile, one search and one deploy for all tests; whoever changes something takes a copy."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers.short_deploys import make_home
from helpers.workflows.sittings import OPTIONS, Copy, Place, Recorder, StoppedError

import edgenas
from edgenas.profiles.measurement import Measurement
from edgenas.profiles.profile import BoardProfile
from edgenas.profiles.store import Store
from edgenas.workflows.profile import Profiled
from edgenas.workflows.result import Result


@dataclass(frozen=True)
class Interrupted:
    """A deploy that was stopped after its search."""

    place: Place
    stages: dict[str, tuple[int, bytes]]


@dataclass(frozen=True)
class Deployed:
    """The same deploy, gone on with: what it gave, and the profile and the measurements before and after it."""

    place: Place
    result: Result
    recorder: Recorder
    stages: dict[str, tuple[int, bytes]]
    profiles: tuple[BoardProfile, BoardProfile]
    measurements: list[Measurement]


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Copy:
    """`copy(place)`: the place's copy, which is the user's folder for the rest of the test."""

    def make(place: Place) -> Place:
        mine = Place(tmp_path / "home", tmp_path / "runs")
        shutil.copytree(place.home, mine.home, symlinks=True)
        if place.runs.exists():
            shutil.copytree(place.runs, mine.runs)
        monkeypatch.setenv("EDGENAS_HOME", str(mine.home))
        return mine

    return make


@pytest.fixture(scope="session")
def profiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, Profiled]:
    """A short profiling run."""
    folder = tmp_path_factory.mktemp("profiled")
    place = Place(make_home(folder / "home"), folder / "runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGENAS_HOME", str(place.home))
        return place, edgenas.profile("host", input_shape=(1, 8, 8), minutes=5 / 60)


@pytest.fixture(scope="session")
def interrupted(profiled: tuple[Place, Profiled], tmp_path_factory: pytest.TempPathFactory) -> Interrupted:
    """A deploy whose reporter stops it when the search is done."""
    folder = tmp_path_factory.mktemp("interrupted")
    place = Place(folder / "home", folder / "runs")
    shutil.copytree(profiled[0].home, place.home, symlinks=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGENAS_HOME", str(place.home))
        with pytest.raises(StoppedError):
            edgenas.deploy("host", **OPTIONS, runs=place.runs, reporter=Recorder(stop_at="train"))
    return Interrupted(place, place.files())


@pytest.fixture(scope="session")
def deployed(interrupted: Interrupted) -> Deployed:
    """The interrupted deploy, given again."""
    place, recorder = interrupted.place, Recorder()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGENAS_HOME", str(place.home))
        before = _profile(place)
        result = edgenas.deploy("host", **OPTIONS, runs=place.runs, reporter=recorder)
        after = _profile(place)
        with Store() as store:
            measurements = store.read(after.key)
    return Deployed(place, result, recorder, place.files(), (before, after), measurements)


def _profile(place: Place) -> BoardProfile:
    """The only profile of a place."""
    from edgenas.boards.board import Board
    from edgenas.measuring.session import Session
    from edgenas.progress import Silent

    with Session(Board.load("host"), Silent()) as session:
        profile = BoardProfile.load(session.key)
    assert profile is not None
    return profile


@pytest.fixture(autouse=True)
def nothing_for_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A test that takes no copy works in an empty folder, never in the user's own."""
    monkeypatch.setenv("EDGENAS_HOME", str(tmp_path / "nobody"))
