# SPDX-License-Identifier: Apache-2.0
"""The engine on this computer, for tests that are skipped where no C compiler builds it."""

from __future__ import annotations

import os
import shutil

import numpy as np
import numpy.typing as npt
import pytest

from firmware_tools.plan import simulate as engine


def check(plan: bytes) -> str:
    """The status that the engine gives for a plan as it loads it."""
    _needs_compiler()
    return engine.check(plan)


def simulate(plan: bytes, inputs: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """What the engine computes for each row of `inputs`."""
    _needs_compiler()
    return engine.simulate(plan, inputs)


def _needs_compiler() -> None:
    if not os.environ.get("CC") and not any(map(shutil.which, ("cc", "gcc", "clang"))):
        pytest.skip("no C compiler: apt-get install gcc libc6-dev")
