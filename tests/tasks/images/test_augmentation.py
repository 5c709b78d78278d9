# SPDX-License-Identifier: Apache-2.0
"""Crops and mirror images."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgenas.tasks.images.augmentation import augment
from edgenas.tasks.images.task import TASK


@pytest.mark.parametrize(
    ("shape", "flip", "crop"),
    [((1, 8, 8), False, 1), ((1, 28, 28), False, 3), ((3, 32, 32), True, 4), ((3, 6, 96), True, 1)],
)
def test_augmentation_follows_the_images(shape: tuple[int, int, int], flip: bool, crop: int) -> None:
    assert TASK.augmentation(shape) == {"flip": flip, "crop": crop}


@given(st.integers(1, 3), st.integers(4, 12), st.integers(4, 12), st.integers(0, 4), st.booleans(), st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_an_augmented_image_is_a_crop_of_its_own_image(
    channels: int, height: int, width: int, crop: int, flip: bool, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    batch = torch.rand(5, channels, height, width, generator=generator) + 1  # no pixel is the padding's 0
    result = augment(batch, {"flip": flip, "crop": crop}, generator)
    assert result.shape == batch.shape
    padded = torch.nn.functional.pad(batch, (crop,) * 4)
    for image, source in zip(result, padded, strict=True):
        windows = [source[:, y : y + height, x : x + width] for y in range(2 * crop + 1) for x in range(2 * crop + 1)]
        straight = any(torch.equal(image, window) for window in windows)
        mirrored = any(torch.equal(image.flip(2), window) for window in windows)
        assert straight or (flip and mirrored)


def test_about_half_of_the_images_are_mirrored_if_they_may_be() -> None:
    batch = torch.rand(200, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    result = augment(batch, {"flip": True, "crop": 0}, torch.Generator().manual_seed(1))
    mirrored = [torch.equal(a, b.flip(2)) for a, b in zip(result, batch, strict=True)]
    assert 60 < sum(mirrored) < 140
    assert torch.equal(augment(batch, {"flip": False, "crop": 0}, torch.Generator()), batch)


def test_augmentation_is_a_function_of_its_generator() -> None:
    batch = torch.rand(8, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    runs = [augment(batch, {"flip": True, "crop": 2}, torch.Generator().manual_seed(5)) for _ in range(2)]
    assert torch.equal(*runs)
