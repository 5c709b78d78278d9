# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from edgenas.training import Job, Recipe


@given(st.integers(1, 99), st.integers(0, 99), st.text(min_size=1), st.booleans())
@settings(deadline=None, max_examples=30)
def test_a_job_is_read_back_from_a_line_of_json(epochs: int, seed: int, name: str, flip: bool) -> None:
    job = Job(name, "stem-8s2/plain-8x1", Recipe(epochs, {"flip": flip, "crop": 4}), epochs, seed, "a.pt")
    table = json.loads(json.dumps(job.to_json()))
    assert Job.from_json(table) == job
    assert Job.from_json(table) == job  # reading takes nothing out of the table


def test_the_table_of_a_recipe_is_flat_and_its_text_is_the_table() -> None:
    recipe = Recipe(16, {"flip": True, "crop": 4})
    expected = {"epochs": 16, "flip": True, "crop": 4, "batch": 64}
    assert dict(list(recipe.to_json().items())[:4]) == expected
    # Checkpoints and supernets that are there already are found by a hash of this text.
    text = "Recipe(epochs=16, flip=True, crop=4, batch=64, learning_rate=0.1, momentum=0.9, weight_decay=0.0005)"
    assert str(recipe) == text
