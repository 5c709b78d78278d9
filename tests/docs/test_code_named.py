# SPDX-License-Identifier: Apache-2.0
"""What pages say of the code: walks name functions that are there, as many as they say; the glossary names modules."""

from __future__ import annotations

import re

import pytest
from helpers.docs.pages import ROOT, Page

_PAGE = Page(ROOT / "docs" / "architecture.md")
_WALK = re.compile(
    r"^### (?P<name>[^\n]+): (?P<count>\d+) functions\n\n```text\n(?P<steps>.*?)^```$", re.MULTILINE | re.DOTALL
)
_STEP = re.compile(r"^ ?(\d+) (\S+\.(?:py|c)):(\S+)", re.MULTILINE)
_NAMED = re.compile(r"`(\S+\.(?:py|c)):([\w.]+)`")
_WALKS = {found["name"]: found for found in _WALK.finditer(_PAGE.text)}


def test_there_are_four_walks() -> None:
    assert len(_WALKS) == 4


@pytest.mark.parametrize("name", _WALKS)
def test_a_walk_has_as_many_functions_as_it_says(name: str) -> None:
    walk = _WALKS[name]
    numbers = [int(number) for number, _, _ in _STEP.findall(walk["steps"])]
    assert numbers == list(range(1, int(walk["count"]) + 1))
    assert len(walk["steps"].splitlines()) == len(numbers)


@pytest.mark.parametrize(
    ("file", "function"),
    [
        *((file, function) for walk in _WALKS.values() for _, file, function in _STEP.findall(walk["steps"])),
        *_NAMED.findall(_PAGE.prose),
    ],
)
def test_the_function_is_there(file: str, function: str) -> None:
    path = ROOT / file
    assert path.is_file()
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".c":
        assert re.search(rf"^[a-z][\w *]*\b{function}\(.*\{{$", text, re.MULTILINE)
        return
    *owner, name = function.split(".")
    for part in owner:
        begin = re.search(rf"^class {part}\b.*?(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
        assert begin is not None, f"{file} has no class {part}"
        text = begin[0]
    assert re.search(rf"^ *def {name}\(", text, re.MULTILINE), f"{file} has no function {function}"


def test_the_modules_of_the_glossary_are_there() -> None:
    rows = [line for line in Page(ROOT / "docs" / "glossary.md").text.splitlines() if line.startswith("| ")]
    modules = [row.split("|")[3].strip().strip("`") for row in rows if not row.startswith("| term |")]
    assert modules
    assert [module for module in modules if not (ROOT / module).is_file()] == []
