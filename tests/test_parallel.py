# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import threading
from functools import partial

import pytest

from edgenas.parallel import in_parallel


class Watched:
    """Jobs that wait for each other: shows how many run at a time."""

    def __init__(self, together: int) -> None:
        self.lock, self.running, self.most = threading.Lock(), 0, 0
        self.together = threading.Barrier(together)

    def job(self, number: int) -> int:
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.together.wait(30)
        with self.lock:
            self.running -= 1
        return number


def test_answers_are_in_the_jobs_order_and_the_limit_is_kept() -> None:
    watched, counted = Watched(4), list[int]()
    jobs = [partial(watched.job, number) for number in range(20)]
    assert in_parallel(jobs, limit=4, timeout_s=30, done=counted.append) == list(range(20))
    assert watched.most == 4
    assert counted == list(range(1, 21))
    assert in_parallel([], limit=4, timeout_s=30) == []


def test_a_job_that_never_ends_holds_up_no_other() -> None:
    end = threading.Event()
    stuck = [lambda: end.wait() and 0] * 2
    assert in_parallel([*stuck, lambda: 1, lambda: 2, lambda: 3], limit=2, timeout_s=2) == [None, None, 1, 2, 3]
    end.set()


def test_what_a_job_raises_is_raised() -> None:
    def broken() -> int:
        raise ZeroDivisionError("in the job")

    with pytest.raises(ZeroDivisionError, match="in the job"):
        in_parallel([lambda: 1, broken], limit=2, timeout_s=30)
