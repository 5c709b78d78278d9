# SPDX-License-Identifier: Apache-2.0
"""The C modules of the core and the engine need each other in one direction only."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from helpers.firmware.tiny_plans import FIRMWARE

_FLAGS = ("-std=c11", "-O0", "-D_DEFAULT_SOURCE", f"-I{FIRMWARE}", f"-I{FIRMWARE / 'ports' / 'host'}")
_FOLDERS = (FIRMWARE / "core", FIRMWARE / "engine")


def _files(suffix: str) -> list[Path]:
    return sorted(path for folder in _FOLDERS for path in folder.rglob(f"*{suffix}"))


def _module(path: Path) -> str:
    """A header and the source of the same name are one module."""
    return path.relative_to(FIRMWARE).with_suffix("").as_posix()


def _includes() -> dict[str, set[str]]:
    """Which modules each one includes; a name is looked for beside the file, then from `core` and `engine` on."""
    found: dict[str, set[str]] = {}
    for path in (*_files(".c"), *_files(".h")):
        for name in re.findall(r'^\s*# *include "([^"]+)"', path.read_text(), re.MULTILINE):
            places = [folder / name for folder in (path.parent, *_FOLDERS) if (folder / name).is_file()]
            if places:
                found.setdefault(_module(path), set()).add(_module(places[0].resolve()))
    return found


def _calls(folder: Path) -> dict[str, set[str]]:
    """Which modules' functions and variables each one uses, as the compiled objects say."""
    defined: dict[str, str] = {}
    used: dict[str, set[str]] = {}
    includes = [f"-I{place}" for place in _FOLDERS]
    for path in _files(".c"):
        object_ = folder / f"{_module(path).replace('/', '.')}.o"
        subprocess.run(["cc", *_FLAGS, *includes, "-c", "-o", str(object_), str(path)], check=True)
        lines = subprocess.run(["nm", str(object_)], check=True, capture_output=True, text=True).stdout.splitlines()
        for kind, symbol in (line.split()[-2:] for line in lines):
            if kind == "U":
                used.setdefault(_module(path), set()).add(symbol)
            elif kind.isupper():
                defined[symbol] = _module(path)
    return {module: {defined[symbol] for symbol in symbols if symbol in defined} for module, symbols in used.items()}


def _cycle(graph: Mapping[str, Iterable[str]]) -> list[str] | None:
    alone = {module: {other for other in others if other != module} for module, others in graph.items()}
    try:
        TopologicalSorter(alone).prepare()
    except CycleError as error:
        return list(error.args[1])
    return None


@pytest.mark.skipif(not (shutil.which("cc") and shutil.which("nm")), reason="needs cc and nm")
def test_no_module_needs_one_that_needs_it(tmp_path: Path) -> None:
    includes, calls = _includes(), _calls(tmp_path)
    assert calls["core/core"] >= {"core/session", "core/model"}
    assert includes["core/session"] >= {"core/model", "core/messages"}
    both = {module: includes.get(module, set()) | calls.get(module, set()) for module in {*includes, *calls}}
    assert _cycle(both) is None


def test_a_cycle_is_found() -> None:
    assert _cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) is not None
    assert _cycle({"a": {"a", "b"}, "b": {"c"}}) is None
