# SPDX-License-Identifier: Apache-2.0
"""What is decided in one room is asked for in the others: kinds of boards, runtimes, units."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_ROOMS = re.compile(r"/(runtimes|boards)/|units\.py$|/agent/")
_COMPARISONS = {
    "a board's kind": r"""\bkind\s*[!=]=\s*["'](mcu|linux)""",
    "a runtime": r"""on_tensorrt|[!=]=\s*["'](tensorrt|onnxruntime|litert)["']""",
    "a unit": r"""\bunit\b\S*\s+(==|!=|is|is not)\s+(units\.)?(MS|MINSN)\b|\bMINSN\.name|[!=]=\s*["']Minsn["']""",
}


@pytest.mark.parametrize("what", _COMPARISONS)
def test_is_compared_in_its_own_room_only(what: str) -> None:
    pattern = re.compile(_COMPARISONS[what])
    files = [path for folder in ("edgenas", "firmware_tools") for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 200
    outside = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in files}
    found = [name for name, text in outside.items() if not _ROOMS.search(name) and pattern.search(text)]
    assert found == [], f"{what} is compared outside its room: ask a property of it"


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("a board's kind", 'if board.kind == "mcu":'),
        ("a runtime", "if self._on_tensorrt():"),
        ("a runtime", 'if name == "tensorrt":'),
        ("a unit", "if board.unit is MS:"),
        ("a unit", "if info.unit == MINSN.name:"),
    ],
)
def test_it_would_be_found(what: str, text: str) -> None:
    assert re.search(_COMPARISONS[what], text)
