# SPDX-License-Identifier: Apache-2.0
"""How large images are in their source, whatever size they are brought to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgenas import tasks


@pytest.mark.parametrize("size", [None, 16])
def test_the_side_is_the_sources(tmp_path: Path, size: int | None) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (40, 120, 200), np.uint8)
    np.savez(tmp_path / "set.npz", x=x, y=np.arange(40) % 2)
    for number, image in enumerate(x):
        folder = tmp_path / "set" / f"class{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{number}.png")
    for source in (tmp_path / "set.npz", tmp_path / "set"):
        assert tasks.load(str(source), size=size).spec.source_side == 120
    assert tasks.load("digits", size=size).spec.source_side == 8
