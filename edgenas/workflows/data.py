# SPDX-License-Identifier: Apache-2.0
"""The data of a command: loaded, and what was decided about them told to the user, the same way in every command."""

from __future__ import annotations

from edgenas import tasks
from edgenas.progress import Reporter
from edgenas.tasks.dataset import Dataset


def load_data(
    source: str, *, task: str | None, seed: int, size: int | None, group_by: str | None, reporter: Reporter
) -> Dataset:
    """`edgenas.tasks.load` as the stage "data"; the notes are said to `reporter`. Raises DataError as `load` does."""
    reporter.stage("data")
    data = tasks.load(
        source,
        task=task,
        seed=seed,
        size=size,
        group_by=group_by,
        progress=lambda i, n: reporter.progress(i, n, "files"),
    )
    for note in data.notes:
        reporter.say(note)
    return data
