# SPDX-License-Identifier: Apache-2.0
"""Models to install, and what an application on the board finds."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from firmware_tools.device import TimingPlan
from helpers.tflite_builder import Op, T, constant, model

SHORT = TimingPlan(processes=2, warmup_s=0.01, timed_s=0.02)


def fully_connected(seed: int, inputs: int = 16, outputs: int = 8) -> bytes:
    """An int8 model of one FULLY_CONNECTED operator, [1, inputs] -> [1, outputs]."""
    source = np.random.default_rng(seed)
    tensors = [
        T((1, inputs), scale=0.1),
        constant(source.integers(-99, 99, (outputs, inputs)), 0.01),
        constant(source.integers(-99, 99, outputs), 0.001, "int32"),
        T((1, outputs), scale=0.1),
    ]
    return model(tensors, [Op("FULLY_CONNECTED", [0, 1, 2], [3])], [0], [3])


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def active_model(root: Path) -> bytes:
    """The active model as an application on the board finds it, after comparing it with its manifest."""
    data = (root / "active" / "model.tflite").read_bytes()
    assert json.loads((root / "active" / "manifest.json").read_text())["sha256"] == sha256(data)
    return data


def until(condition: Callable[[], object], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "condition not met in time"
        time.sleep(0.02)
