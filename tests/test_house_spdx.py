# SPDX-License-Identifier: Apache-2.0
"""Every tracked source says its licence in one of its first three lines."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[1]
_LINE = "SPDX-License-Identifier: Apache-2.0"
_SOURCES = ("*.py", "*.c", "*.h", "*.S", "*.sh")
_FIRST_LINES = 3


def test_every_source_says_its_licence() -> None:
    if not (_ROOT / ".git").exists():
        pytest.skip("no checkout of git: what is tracked is not known here")
    listed = subprocess.run(["git", "ls-files", "-z", *_SOURCES], cwd=_ROOT, capture_output=True, text=True, check=True)
    files = [_ROOT / name for name in listed.stdout.split("\0") if name]
    assert len(files) > 500
    assert [str(file.relative_to(_ROOT)) for file in files if file.exists() and not _is_marked(file)] == []


def _is_marked(file: Path) -> bool:
    if not file.read_bytes().strip():
        return True  # an empty file, such as an __init__.py, has nothing to license
    lines = file.read_text(encoding="utf-8").splitlines()[:_FIRST_LINES]
    return any(line.strip(" #/*") == _LINE for line in lines)
