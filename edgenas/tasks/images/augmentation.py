# SPDX-License-Identifier: Apache-2.0
"""Augmentation of images."""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn import functional

from edgenas.tasks.task import Settings


def augment(batch: Tensor, settings: Settings, generator: Generator) -> Tensor:
    """Random crops and mirror images of (N, C, H, W), each image with its own offsets.

    `settings`: "crop", the pixels by which the padded image moves, and "flip", whether half of the images are mirrored.
    """
    n, _, height, width = batch.shape
    pad = int(settings["crop"])
    padded = functional.pad(batch, (pad, pad, pad, pad))
    rows = torch.randint(0, 2 * pad + 1, (n, 1), generator=generator) + torch.arange(height)
    columns = torch.randint(0, 2 * pad + 1, (n, 1), generator=generator) + torch.arange(width)
    if settings["flip"]:
        mirrored = torch.rand((n, 1), generator=generator) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    nhwc = padded.permute(0, 2, 3, 1)
    crops = nhwc[torch.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return crops.permute(0, 3, 1, 2)
