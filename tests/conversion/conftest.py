# SPDX-License-Identifier: Apache-2.0
"""One converter environment (the real one, built once a machine), one worker and one trained network for all tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.conversion import conversion_nets as nets
from helpers.conversion.conversion_nets import Trained
from sklearn.datasets import load_digits
from torch import nn

from edgenas.conversion import Converter, environment

_TRAIN = 797  # of 1,797: leaves 1,000 to judge on


@pytest.fixture(scope="session", autouse=True)
def on_one_thread(one_thread: None) -> None:
    """All tests here."""


@pytest.fixture(scope="session")
def python() -> Path:
    return environment.ensure()


@pytest.fixture(scope="session")
def converter(python: Path) -> Iterator[Converter]:
    with Converter() as converter:
        yield converter


@pytest.fixture(scope="session")
def trained(converter: Converter) -> Trained:
    """A depthwise network after a few seconds on scikit-learn's digits (shown at 28x28), over 90 % right."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    small = torch.from_numpy((digits.images[order] / 16).astype(np.float32))[:, None]
    planar = nn.functional.interpolate(small, (28, 28), mode="bilinear")
    planar = torch.round(planar * 255) / 255  # what a file of bytes can hold
    images = np.ascontiguousarray(planar.numpy().transpose(0, 2, 3, 1))
    labels = digits.target[order].astype(np.int64)
    module = nets.net(nets.conv(1, 8, stride=2), nets.MBConv(8, 16, stride=2), nets.MBConv(16, 16), width=16)
    generator = torch.Generator().manual_seed(0)
    targets = torch.from_numpy(labels)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 0.1
    module.train()
    optimizer = torch.optim.Adam(module.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=8 * -(-_TRAIN // 32))
    for _ in range(8):
        for batch in torch.randperm(_TRAIN, generator=generator).split(32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(planar[batch]), targets[batch]).backward()
            optimizer.step()
            schedule.step()
    module.eval()
    converted = converter.convert(module, (1, 28, 28), "int8", images[:200])
    return Trained(module, converted, images[:200], images[_TRAIN:], labels[_TRAIN:])
