# SPDX-License-Identifier: Apache-2.0
"""The engine's footprint that `edgenas plan` counts with is that of the engine."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from firmware_tools.firmware import size
from firmware_tools.plan.footprint import footprints

_CPUS = {"dsp": "cortex-m4", "portable": "cortex-m3"}
_LIMIT_BYTES = 40 * 1024


@pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="needs gcc-arm-none-eabi")
@pytest.mark.parametrize("kernels", ["dsp", "portable"])
def test_the_shipped_figures_are_what_the_sources_compile_to(kernels: str, tmp_path: Path) -> None:
    # Another compiler makes other code. After a change of the engine: make -C firmware_tools/firmware size
    measured, shipped = size.measure("arm-none-eabi-", _CPUS[kernels], tmp_path), footprints()[kernels]
    assert measured["code_bytes"] == pytest.approx(shipped.code_bytes, rel=0.1)
    assert measured["stack_bytes"] == pytest.approx(shipped.stack_bytes, rel=0.2)


def test_the_engine_stays_small() -> None:
    assert set(footprints()) == set(_CPUS)
    assert all(footprint.code_bytes <= _LIMIT_BYTES for footprint in footprints().values())
