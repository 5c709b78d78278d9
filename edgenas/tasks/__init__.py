# SPDX-License-Identifier: Apache-2.0
"""What is learnt: labelled data of several kinds, ready for training, calibration and golden inputs.

`load("mnist")`, `load("./my_photos")`, `load("set.npz")` or `load("./keywords")` gives a `Dataset`;
`edgenas.tasks.batches` turns it into model inputs. What reads files is imported only when it is needed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from edgenas.errors import UsageError
from edgenas.tasks.dataset import Dataset, InputSpec, Split
from edgenas.tasks.tree import read_tree

if TYPE_CHECKING:
    from edgenas.tasks.task import Task

# Name: the package whose TASK it is. A folder is of the first that recognises its files; images take what is left.
TASKS = {
    "audio": "edgenas.tasks.audio.task",
    "images": "edgenas.tasks.images.task",
}

__all__ = ["TASKS", "Dataset", "InputSpec", "Split", "load", "named"]


def named(name: str) -> Task:
    """The task of that name. Raises UsageError if there is none."""
    if name not in TASKS:
        raise UsageError(f"unknown task {name!r}: choose one of {', '.join(TASKS)}", value=name)
    task: Task = import_module(TASKS[name]).TASK
    return task


def load(
    source: str,
    *,
    task: str | None = None,
    seed: int = 0,
    size: int | None = None,
    group_by: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Dataset:
    """Load and split `source`, as `load` of the task documents it; the task is recognised from the files if None.

    Raises DataError with one line that says value, limit and next step, UsageError for an unknown task, ValueError for
    a seed outside 0..2**32-1.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must be in 0..2**32-1, not {seed}")
    chosen = named(task or recognised(source))
    return chosen.load(source, seed=seed, size=size, group_by=group_by, progress=progress)


def recognised(source: str) -> str:
    """The name of the task that `source` is for, by its files."""
    path, kinds = Path(source).expanduser(), Counter[str]()
    if source and path.is_dir():
        with suppress(OSError):  # what reads the data says so
            kinds = read_tree(path, frozenset())[0].others_below()
    return next(name for name in TASKS if named(name).recognises(kinds))
