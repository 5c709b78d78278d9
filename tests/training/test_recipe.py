from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgenas.training import Job, Recipe


@given(st.integers(1, 99), st.integers(0, 99), st.text(min_size=1), st.booleans())
@settings(deadline=None, max_examples=30)
def test_a_job_is_read_back_from_a_line_of_json(epochs: int, seed: int, name: str, flip: bool) -> None:
    job = Job(name, "stem-8s2/plain-8x1", Recipe(epochs, flip), epochs, seed, "a.pt")
    table = json.loads(json.dumps(job.to_json()))
    assert Job.from_json(table) == job
    assert Job.from_json(table) == job  # reading takes nothing out of the table


@pytest.mark.parametrize(
    ("shape", "flip", "crop"),
    [((1, 8, 8), False, 1), ((1, 28, 28), False, 3), ((3, 32, 32), True, 4), ((3, 6, 96), True, 1)],
)
def test_augmentation_follows_the_images(shape: tuple[int, int, int], flip: bool, crop: int) -> None:
    recipe = Recipe.for_images(shape, 16)
    assert (recipe.epochs, recipe.flip, recipe.crop) == (16, flip, crop)
