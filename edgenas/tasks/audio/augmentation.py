# SPDX-License-Identifier: Apache-2.0
"""Augmentation of log-mel features.

It works on the features, not on the waveform: training processes hold features only, and to compute them again for
every epoch would take longer than the epoch. A shift in time, a gain (a constant in decibels) and masks over frames and
bands (SpecAugment, Park et al., Interspeech 2019) have a meaning there.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from edgenas.tasks.audio.features import RANGE_DB
from edgenas.tasks.task import Settings


def augment(batch: Tensor, settings: Settings, generator: Generator) -> Tensor:
    """(N, 1, frames, bands) in 0..1, each recording varied by its own draws.

    `settings`: "shift", frames to either side at most; "gain_db", decibels to either side at most; "mask_frames" and
    "mask_bands", how many at most are silenced.
    """
    n, _, frames, bands = batch.shape
    varied = _shifted(batch, int(settings["shift"]), generator)
    gain = (2 * torch.rand((n, 1, 1, 1), generator=generator) - 1) * settings["gain_db"] / RANGE_DB
    varied = torch.where(varied > 0, (varied + gain).clamp(0, 1), varied)  # silence stays silent
    kept_frames = ~_mask(n, frames, int(settings["mask_frames"]), generator)
    kept_bands = ~_mask(n, bands, int(settings["mask_bands"]), generator)
    return varied * kept_frames[:, None, :, None] * kept_bands[:, None, None, :]


def _shifted(batch: Tensor, shift: int, generator: Generator) -> Tensor:
    n, _, frames, _ = batch.shape
    offsets = torch.randint(-shift, shift + 1, (n, 1), generator=generator)
    places = torch.arange(frames) - offsets
    there = (places >= 0) & (places < frames)
    moved = batch[torch.arange(n)[:, None], :, places.clamp(0, frames - 1)]  # (N, frames, 1, bands)
    return moved.permute(0, 2, 1, 3) * there[:, None, :, None]


def _mask(n: int, length: int, widest: int, generator: Generator) -> Tensor:
    """(N, length) bool: one run of up to `widest` places in each row."""
    width = torch.randint(0, widest + 1, (n, 1), generator=generator)
    start = (torch.rand((n, 1), generator=generator) * (length - width + 1)).long()
    places = torch.arange(length)
    return (places >= start) & (places < start + width)
