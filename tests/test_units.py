# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgenas.nas.budget import LatencyBudget
from edgenas.units import MINSN, MS, UNITS


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.8431, "843.1 kinsn"),
        (8.0213, "8.021 Minsn"),
        (1234.56, "1235 Minsn"),
        (123456.0, "123456 Minsn"),
        (1, "1 Minsn"),
    ],
)
def test_instructions_for_people(value: float, text: str) -> None:
    assert MINSN.format(value) == text


@given(st.floats(1e-3, 1e5))
@settings(deadline=None, max_examples=100)
def test_what_is_shown_can_be_read_back_and_names_no_time(value: float) -> None:
    text = MINSN.format(value)
    assert re.fullmatch(r"\d+(\.\d+)? [kM]insn", text)
    read = LatencyBudget.parse(text, MINSN).ms
    assert read is not None
    assert math.isclose(read, value, rel_tol=6e-4)


def test_json_of_instructions_names_them_at_any_depth() -> None:
    table = {"measured": {"latency_ms": 8.0, "ci95_ms": (7.0, 9.0)}, "rounds": [{"predicted_ms": 8.1}], "seconds": 3}
    labelled = MINSN.label(table)
    assert labelled == {
        "unit": "Minsn",
        "measured": {"latency_minsn": 8.0, "ci95_minsn": [7.0, 9.0]},
        "rounds": [{"predicted_minsn": 8.1}],
        "seconds": 3,
    }
    assert "_ms" not in json.dumps(labelled)
    assert MS.label(table) == {"unit": "ms", **table}
    assert set(UNITS) == {"ms", "Minsn"}
