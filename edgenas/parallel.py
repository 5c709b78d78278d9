# SPDX-License-Identifier: Apache-2.0
"""Many slow questions at once: so many at a time, each with its own time-out, whatever the others do."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class _Answer(Generic[T]):
    """What a job returned, or the exception that it ended with."""

    def __init__(self, job: Callable[[], T]) -> None:
        self.error: BaseException | None = None
        try:
            self.value = job()
        except BaseException as error:  # noqa: BLE001  # raised again where the answers are collected
            self.error = error


def in_parallel(
    jobs: Sequence[Callable[[], T]], *, limit: int, timeout_s: float, done: Callable[[int], None] | None = None
) -> list[T | None]:
    """What each of `jobs` returns, in their order; None for one that took longer than `timeout_s`.

    At most `limit` run at a time; `done` is called with how many are over. A job that takes too long is left behind in
    a daemon thread, which ends with the program at the latest. Raises what a job raised.
    """
    answers: queue.Queue[tuple[int, _Answer[T]]] = queue.Queue()
    results: list[T | None] = [None] * len(jobs)
    deadlines: dict[int, float] = {}  # of the jobs that run
    begun = over = 0
    while over < len(jobs):
        while begun < len(jobs) and len(deadlines) < limit:
            _start(jobs[begun], begun, answers)
            deadlines[begun] = time.monotonic() + timeout_s
            begun += 1
        index = min(deadlines, key=deadlines.__getitem__)
        try:
            index, answer = answers.get(timeout=max(0.0, deadlines[index] - time.monotonic()))
        except queue.Empty:
            del deadlines[index]
        else:
            if deadlines.pop(index, None) is None:  # it was given up before
                continue
            if answer.error is not None:
                raise answer.error
            results[index] = answer.value
        over += 1
        if done is not None:
            done(over)
    return results


def _start(job: Callable[[], T], index: int, answers: queue.Queue[tuple[int, _Answer[T]]]) -> None:
    threading.Thread(target=lambda: answers.put((index, _Answer(job))), daemon=True).start()
