# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgenas import latency
from edgenas.boards.board import Board
from edgenas.latency.transfer import TransferModel
from edgenas.profiles import other_boards
from edgenas.profiles.measurement import Measurement
from edgenas.profiles.profile import BoardProfile, ProfileKey
from edgenas.profiles.refine import refine, refreshed
from edgenas.spaces.architecture import Architecture, Block
from edgenas.spaces.space import SearchSpace

FOLDER = Path(__file__).parents[1] / "latency"
SHAPE = (1, 28, 28)
ROWS = json.loads((FOLDER / "mps2_an386_counted.json").read_text())["networks"]
ROWS = [ROWS[i] for i in np.random.default_rng(0).permutation(len(ROWS))]
EMULATED = ProfileKey("mps2-an386", "edgenas-engine", "1", "int8", 1, "p50")
NEW = ProfileKey("linux-armv7", "ai-edge-litert", "2.3.0", "int8", 1, "p50")


def taken(key: ProfileKey, rows: Sequence[int], factor: float = 1e-6, noise: float = 0.0) -> list[Measurement]:
    """Counted instructions as the latencies of `key`."""
    spread = np.random.default_rng(1).lognormal(0, noise, len(ROWS))
    found = []
    for i in rows:
        ms = float(factor * spread[i] * ROWS[i]["instructions"])
        taken_utc = f"2026-01-01T00:{i // 60:02}:{i % 60:02}Z"
        of = (key, ROWS[i]["architecture"], SHAPE, 10, "tiny", ms, ms, ms, ms, 100, (ms, ms), None, "")
        found.append(Measurement(*of, trained=False, session="a", taken_utc=taken_utc))
    return found


def blocks_of(m: Measurement) -> tuple[Block, ...]:
    return SearchSpace.load(m.space, m.input_shape, m.classes).blocks(Architecture.parse(m.architecture))


def error(profile: BoardProfile, measurements: Sequence[Measurement]) -> float:
    mean, _ = latency.load(profile.latency).predict([blocks_of(m) for m in measurements])
    return float(np.mean(np.abs(mean / [m.latency_ms for m in measurements] - 1)))


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("EDGENAS_HOME", str(tmp_path))
    return tmp_path


def profiled(key: ProfileKey, count: int = 40, model: str = "engine") -> BoardProfile:
    profile = refine(None, key, taken(key, range(count)), blocks_of, model=model)
    profile.save()
    return profile


def test_a_first_profile_learns_from_another_boards_and_says_so() -> None:
    profiled(EMULATED)
    board = Board.load("linux-armv7")
    few, rest = taken(NEW, range(40, 52), 3e-7, 0.01), taken(NEW, range(52, 72), 3e-7)
    profile = refreshed(board, NEW, few, blocks_of)
    assert profile.provenance["other_boards"]["boards"][str(EMULATED)] > 0.5
    assert error(profile, rest) < 0.7 * error(refine(None, NEW, few, blocks_of), rest)
    line = other_boards.told(profile.provenance)
    assert line is not None
    assert "help, measurements left out within" in line
    profile.save()
    again = refreshed(board, NEW, few, blocks_of)  # the profile's own model is fitted anew, its boards are in it
    assert again.provenance["other_boards"]["boards"].keys() == {str(EMULATED)}
    assert error(again, rest) == pytest.approx(error(profile, rest), rel=0.2)


def test_what_few_measurements_cannot_confirm_is_refused() -> None:
    profiled(EMULATED)
    few = taken(NEW, range(50, 53))
    profile = refreshed(Board.load("linux-armv7"), NEW, few, blocks_of)
    assert profile.latency == refine(None, NEW, few, blocks_of).latency
    assert "3 architectures are too few" in str(other_boards.told(profile.provenance))


def test_without_another_boards_profile_nothing_is_said() -> None:
    profile = refreshed(Board.load("linux-armv7"), NEW, taken(NEW, range(12)), blocks_of)
    assert "other_boards" not in profile.provenance
    assert other_boards.told(profile.provenance) is None


def test_who_is_learnt_from(home: Path) -> None:
    profiled(EMULATED)
    profiled(replace(EMULATED, board="few"), count=29)
    profiled(replace(EMULATED, board="other", precision="float32"))
    profiled(NEW, model=latency.DEFAULT)  # of the same board and runtime: another setting of it is nearer
    newer = replace(EMULATED, runtime_version="2")
    replace(profiled(newer), refined_utc="2026-02-01T00:00:00Z").save()
    leaning = profiled(replace(EMULATED, board="leaning"))
    replace(leaning, latency=TransferModel().to_json()).save()
    damaged = profiled(replace(EMULATED, board="damaged"))
    replace(damaged, latency={"model": "engine"}).save()
    (home / "profiles" / "broken.json").write_text("{")
    assert [source.name for source in other_boards.boards(replace(NEW, runtime_version="2.4.0"))] == [str(newer)]
