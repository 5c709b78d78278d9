# SPDX-License-Identifier: Apache-2.0
"""How long work tells what it is doing: a passed object, never a global."""

from __future__ import annotations

from typing import Protocol


class Reporter(Protocol):
    """Gets told; may raise nothing."""

    def stage(self, name: str) -> None:
        """A stage of the walk begins (and the one before it ends)."""

    def progress(self, done: int, total: int, unit: str) -> None:
        """The current stage has done `done` of `total` units."""

    def say(self, line: str) -> None:
        """A sentence for the user and the log."""

    def status(self, text: str) -> None:
        """What the current stage has come to so far, in place of what was said before."""


class Silent:
    """Says nothing: the default of library functions."""

    def stage(self, name: str) -> None:
        """Nothing."""

    def progress(self, done: int, total: int, unit: str) -> None:
        """Nothing."""

    def say(self, line: str) -> None:
        """Nothing."""

    def status(self, text: str) -> None:
        """Nothing."""
