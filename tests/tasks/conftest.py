# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def noise(seed: int, width: int = 12, height: int = 12, mode: str = "RGB") -> Image.Image:
    values = np.random.RandomState(seed).randint(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values).convert(mode)


@pytest.fixture(name="noise")
def noise_fixture() -> Callable[..., Image.Image]:
    """`noise(seed, width, height, mode)`: a reproducible image, no two seeds alike."""
    return noise


@pytest.fixture
def tree(tmp_path: Path) -> Callable[..., Path]:
    """`tree({"train/cats": 10, "train/dogs": 8}, width=20)` writes PNG files and returns the root."""

    def make(counts: dict[str, int], **kind: object) -> Path:
        root = tmp_path / "photos"
        for name, count in counts.items():
            (root / name).mkdir(parents=True, exist_ok=True)
            for index in range(count):
                seed = zlib.crc32(f"{name}/{index}".encode())
                noise(seed, **kind).save(root / name / f"{index:03d}.png")  # type: ignore[arg-type]
        return root

    return make
