# SPDX-License-Identifier: Apache-2.0
"""Augmentation of features, and a network that learns spoken digits."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from edgenas import tasks
from edgenas.spaces.space import SearchSpace
from edgenas.tasks.audio.augmentation import augment
from edgenas.tasks.audio.task import TASK
from edgenas.training import Job, Recipe
from edgenas.training.fit import fit

STILL = {"shift": 0, "gain_db": 0.0, "mask_frames": 0, "mask_bands": 0}
SMALL = "stem-8s2/plain-8x1/residual-16x1/separable-32x1k3"


def ones(n: int = 200) -> torch.Tensor:
    return torch.full((n, 1, 49, 40), 0.5)


def drawn(settings: dict[str, float], seed: int = 0) -> torch.Tensor:
    return augment(ones(), {**STILL, **settings}, torch.Generator().manual_seed(seed))


def test_nothing_asked_for_changes_nothing_and_draws_are_the_generators() -> None:
    assert torch.equal(drawn({}), ones())
    defaults = dict(TASK.augmentation((1, 49, 40)))
    assert torch.equal(drawn(defaults), drawn(defaults))
    assert not torch.equal(drawn(defaults), drawn(defaults, seed=1))


def test_a_shift_moves_frames_and_leaves_silence() -> None:
    silent = (drawn({"shift": 5})[:, 0, :, 0] == 0).sum(1)
    assert set(silent.tolist()) == set(range(6))
    ramp = (torch.arange(49.0) + 1)[None, None, :, None].expand(50, 1, 49, 40) / 64
    for moved in augment(ramp, {**STILL, "shift": 3}, torch.Generator().manual_seed(0))[:, 0, :, 0]:
        assert any(torch.equal(moved[3:46], ramp[0, 0, 3 + k : 46 + k, 0]) for k in range(-3, 4))


def test_a_gain_is_within_its_decibels_and_silence_stays_silent() -> None:
    varied = drawn({"gain_db": 6.4})
    assert 0.4 <= varied.min() < 0.41
    assert 0.59 < varied.max() <= 0.6
    assert not augment(torch.zeros(9, 1, 49, 40), {**STILL, "gain_db": 6.4}, torch.Generator()).any()


@pytest.mark.parametrize(("name", "axis"), [("mask_frames", 2), ("mask_bands", 3)])
def test_a_mask_silences_one_run_of_at_most_so_many(name: str, axis: int) -> None:
    silent = (drawn({name: 4}) == 0).all(dim=5 - axis)[:, 0]
    assert set(silent.sum(1).tolist()) == set(range(5))
    edges = (silent[:, 1:] != silent[:, :-1]).sum(1)
    assert int(edges.max()) <= 2


def learnt(root: str, tmp_path: Path, epochs: int) -> float:
    data = tasks.load(root)
    recipe = Recipe.of(data, epochs)
    space = SearchSpace.load("tiny", data.input_shape, data.classes)
    outcome = fit(Job("a", SMALL, recipe, epochs, 0, str(tmp_path / "a.pt")), space, data)
    assert outcome.recalls is not None
    return outcome.recalls.balanced


def test_spoken_digits_of_an_unseen_speaker(tmp_path: Path, one_thread: None) -> None:
    root = os.environ.get("EDGENAS_SPOKEN_DIGITS")
    if not root:
        pytest.skip("EDGENAS_SPOKEN_DIGITS names no folder of spoken digits, one folder for each (0/0_theo_1.wav)")
    assert learnt(root, tmp_path, 6) > 0.3
