# SPDX-License-Identifier: Apache-2.0
"""Devices in a folder of the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.firmware_tools.raw_agent import fully_connected

from firmware_tools.connect import connect
from firmware_tools.device import Device


@pytest.fixture(scope="session")
def models() -> list[bytes]:
    """Three models of different bytes."""
    return [fully_connected(seed) for seed in range(3)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "device"


@pytest.fixture
def device(root: Path) -> Iterator[Device]:
    with connect(f"local:?root={root}", home=root) as opened:
        yield opened


@pytest.fixture
def bare_python(tmp_path: Path) -> Path:
    """An interpreter without numpy and without any runtime."""
    folder = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
