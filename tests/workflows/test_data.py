# SPDX-License-Identifier: Apache-2.0
"""The notes about the data reach the user, whichever reporter tells them."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest

from edgenas.cli.output import LiveReporter, PlainReporter
from edgenas.progress import Silent
from edgenas.workflows.data import load_data

REPORTERS = [LiveReporter, PlainReporter, lambda stream: PlainReporter(stream, quiet=True)]


@pytest.mark.parametrize("make", REPORTERS, ids=["live", "plain", "quiet"])
def test_every_reporter_says_the_notes(make: Callable[[io.StringIO], Any]) -> None:
    stream = io.StringIO()
    with make(stream) as reporter:
        data = load_data("digits", task=None, seed=0, size=16, group_by=None, reporter=reporter)
    assert data.notes == load_data("digits", task=None, seed=0, size=16, group_by=None, reporter=Silent()).notes
    assert data.notes[0] == "images resized to 16x16 as asked (centre crop)"
    assert all(f"  {note}\n" in stream.getvalue() for note in data.notes)
