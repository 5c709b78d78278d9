"""`make setup` where something is missing: one clear line, nothing left behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def _python(folder: Path, refuses: str) -> str:
    """An interpreter that fails at every program that holds `refuses`."""
    path = folder / "python"
    path.write_text(f'#!/bin/sh\ncase "$2" in *{refuses}*) exit 1;; esac\nexec {sys.executable} "$@"\n')
    path.chmod(0o755)
    return str(path)


def _setup(checkout: Path, python: str) -> str:
    """What a failing `make setup` says on stderr, make's own lines left out."""
    # A make that runs the tests hands its flags down.
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "--no-print-directory", "setup", f"PYTHON={python}"]
    done = subprocess.run(command, cwd=checkout, env=variables, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert not (checkout / ".venv").exists()
    return "\n".join(line for line in done.stderr.splitlines() if not line.startswith("make"))


def test_no_python(checkout: Path) -> None:
    said = _setup(checkout, "python3.99")
    assert said.count("\n") == 0
    assert "no working 'python3.99'" in said
    assert "apt-get install python3 python3-venv make" in said


def test_no_venv_or_pip(checkout: Path) -> None:
    said = _setup(checkout, _python(checkout, "ensurepip"))
    assert said.count("\n") == 0
    assert "apt-get install python3-venv" in said


def test_old_python(checkout: Path) -> None:
    said = _setup(checkout, _python(checkout, "version_info"))
    assert said.count("\n") == 0
    assert "older than Python 3.10" in said
