# SPDX-License-Identifier: Apache-2.0
"""What keeps the processes of a test run out of each other's way."""

from __future__ import annotations

import threading
from pathlib import Path

from helpers.turns import alone, together

_LIMIT_S = 60.0


def test_tests_run_together(tmp_path: Path) -> None:
    with together(tmp_path), together(tmp_path):
        pass


def test_who_wants_to_be_alone_waits_for_those_that_have_begun_and_for_no_others(tmp_path: Path) -> None:
    log: list[str] = []
    first_ends, begun, alone_ends = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with together(tmp_path):
            begun.set()
            first_ends.wait(_LIMIT_S)
            log.append("first")

    def second() -> None:
        with together(tmp_path) as room, alone(tmp_path, room):
            log.append("alone")
            late.start()
            alone_ends.wait(_LIMIT_S)
            log.append("alone ends")

    def last() -> None:
        asked.set()
        with together(tmp_path):
            log.append("last")

    asked = threading.Event()
    late = threading.Thread(target=last)
    waiting = [threading.Thread(target=work) for work in (first, second)]
    waiting[0].start()
    assert begun.wait(_LIMIT_S)
    waiting[1].start()
    first_ends.set()
    assert asked.wait(_LIMIT_S)
    alone_ends.set()
    for thread in (*waiting, late):
        thread.join(_LIMIT_S)
    assert log == ["first", "alone", "alone ends", "last"]
