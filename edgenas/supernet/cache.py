# SPDX-License-Identifier: Apache-2.0
"""Trained supernets in the user's folder: a second budget or board does not train one again."""

from __future__ import annotations

import hashlib
import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from edgenas import resources
from edgenas.spaces.space import SearchSpace
from edgenas.supernet.training import Progress, SupernetState, default_recipe, train_supernet, untrained
from edgenas.tasks.dataset import Dataset
from edgenas.tasks.recalls import uneven
from edgenas.training.recipe import Recipe

FORMAT = 1  # raise it when the weights' layout or the training changes


def supernet_file(space: SearchSpace, data: Dataset, seed: int, recipe: Recipe | None = None) -> Path:
    """Where the supernet is or will be: the name holds the space's choices, the recipe, the data and the seed."""
    choices = {key: value for key, value in vars(space).items() if key not in ("name", "templates")}
    weighted = ("classes weigh alike",) if uneven(data) else ()
    content = repr((FORMAT, sorted(choices.items()), recipe or default_recipe(data), *weighted))
    digest = hashlib.sha256(content.encode()).hexdigest()[:16]
    return resources.home() / "supernets" / f"{digest}-{data.fingerprint}-{seed}.pt"


def cached(
    space: SearchSpace,
    data: Dataset,
    seed: int,
    recipe: Recipe | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> SupernetState | None:
    """The fully trained supernet, or None if there is none or the file is damaged (then `say` gets a note)."""
    recipe = recipe or default_recipe(data)
    if not supernet_file(space, data, seed, recipe).exists():  # most often: to build one takes seconds
        return None
    state = _read(space, data, seed, recipe, say)
    return state if state.done else None


def obtain(
    space: SearchSpace,
    data: Dataset,
    seed: int,
    recipe: Recipe | None = None,
    progress: Progress = lambda done, total: None,
    say: Callable[[str], None] = lambda line: None,
) -> SupernetState:
    """The trained supernet, from the cache or trained now; an interrupted training goes on from its last 100 steps.

    recipe: `default_recipe` if None. `progress` gets (steps done, steps). A damaged file is trained anew, with a note
    to `say`. Raises OSError if the cache cannot be written.
    """
    recipe = recipe or default_recipe(data)
    state = _read(space, data, seed, recipe, say)
    if state.done:
        return state
    path = supernet_file(space, data, seed, recipe)
    return train_supernet(state, data, recipe, seed, progress, lambda now: _write(path, now))


def _write(path: Path, state: SupernetState) -> None:
    content = io.BytesIO()  # torch's own writer hides why a write failed
    torch.save(state.to_dict(), content)
    resources.write_bytes(path, content.getvalue())


def _read(space: SearchSpace, data: Dataset, seed: int, recipe: Recipe, say: Callable[[str], None]) -> SupernetState:
    state, path = untrained(space, data, recipe, seed), supernet_file(space, data, seed, recipe)
    try:
        table: dict[str, Any] = torch.load(path, weights_only=True)
        state.restore(table)
    except FileNotFoundError:
        return state
    except (RuntimeError, KeyError, TypeError, ValueError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile):
        say(f"{path} is damaged: training the supernet again")
        return untrained(space, data, recipe, seed)
    return state
