# SPDX-License-Identifier: Apache-2.0
"""Huge images are reduced strip by strip: nearly the pixels that others give, in every mode and orientation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgenas.errors import DataError
from edgenas.tasks.images import decode
from edgenas.tasks.images.decode import read_images


def drawn(mode: str) -> Image.Image:
    """A gradient that shows every turn, 400 x 300."""
    across, down = np.meshgrid(np.linspace(0, 255, 400), np.linspace(0, 255, 300))
    image = Image.fromarray(np.stack([across, down, 255 - across, down / 2], -1).astype(np.uint8), "RGBA")
    if mode.startswith("I"):
        return Image.fromarray((across * 16).astype(np.uint16 if mode == "I;16" else np.int32))
    if mode == "P":
        paletted = image.convert("RGB").quantize(64)
        paletted.info["transparency"] = 3
        return paletted
    return image.convert(mode)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "CMYK", "1", "I;16", "I"])
@pytest.mark.parametrize("turned", [1, 3, 6, 8])
def test_the_pixels_are_nearly_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, turned: int
) -> None:
    suffix = ".tif" if mode in ("CMYK", "I") else ".png"
    image = drawn(mode)
    exif = Image.Exif()
    exif[0x0112] = turned
    image.save(tmp_path / f"image{suffix}", exif=exif, **({"transparency": 3} if mode == "P" else {}))
    read = [read_images(tmp_path, [tmp_path / f"image{suffix}"], 32, None)]
    monkeypatch.setattr(decode, "_HUGE_PIXELS", 1000)
    monkeypatch.setattr(decode, "_LARGE_PIXELS", 5000)
    read.append(read_images(tmp_path, [tmp_path / f"image{suffix}"], 32, None))
    (usual, _, notes, source), (huge, _, huge_notes, huge_source) = read
    assert (huge.shape, huge_notes, huge_source) == (usual.shape, notes, source)
    assert np.abs(huge.astype(int) - usual.astype(int)).mean() < 3
    assert np.ptp(usual) > 30


def test_a_format_that_takes_much_memory_is_read_up_to_its_own_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn("RGB").save(tmp_path / "image.webp")
    monkeypatch.setitem(decode._MOST_PIXELS, "WEBP", 100_000)
    with pytest.raises(DataError, match=r"400x300 pixels, of WEBP 100000 are read: convert it to \.jpg"):
        read_images(tmp_path, [tmp_path / "image.webp"], 32, None)
