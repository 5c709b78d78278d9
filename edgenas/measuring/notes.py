# SPDX-License-Identifier: Apache-2.0
"""Lines for the user that are said once, however often there is a reason to."""

from __future__ import annotations

from collections.abc import Callable


class Notes:
    """Passes on the first line of each kind."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._kinds: set[str] = set()

    def say(self, kind: str, line: str) -> None:
        """`line` for the user and the log, unless one of its kind was said before."""
        if kind not in self._kinds:
            self._kinds.add(kind)
            self._say(line)
