# SPDX-License-Identifier: Apache-2.0
"""Networks as torch modules, small versions of what the search space produces; random weights, settled batch norms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from edgenas.conversion import Converted

Samples = npt.NDArray[np.float32]


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1, act: bool = True) -> nn.Module:
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, *([nn.ReLU6()] if act else []))


class MBConv(nn.Module):
    def __init__(self, inputs: int, outputs: int, expand: int = 3, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        middle = inputs * expand
        self.body = nn.Sequential(
            conv(inputs, middle, 1),
            conv(middle, middle, kernel, stride, groups=middle),
            conv(middle, outputs, 1, act=False),
        )
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.body(x)
        return x + y if self.adds else y


class Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(inputs, outputs, 3, stride), conv(outputs, outputs, 3, act=False))
        same = stride == 1 and inputs == outputs
        self.skip = nn.Identity() if same else conv(inputs, outputs, 1, stride, act=False)
        self.act = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.act(self.body(x) + self.skip(x))
        return y


def net(
    *blocks: nn.Module, width: int, classes: int = 10, seed: int = 0, channels: int = 1, size: int = 28
) -> nn.Module:
    """`blocks` with the usual head; batch norms have seen random images, so activations are of order one."""
    module = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        if parameter.dim() > 1:
            fan = parameter[0].numel()
            parameter.data = torch.randn(parameter.shape, generator=generator) * (2 / fan) ** 0.5
        elif parameter.dim() == 1:
            start = 1.0 if parameter.mean() == 1 else 0.0  # a batch norm's scale, else a bias
            parameter.data = start + 0.2 * torch.randn(parameter.shape, generator=generator)
    images = torch.rand(256, channels, size, size, generator=generator)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None
    with torch.no_grad():
        module(images)
    return module.eval()


def plain(seed: int = 0, width: int = 8) -> nn.Module:
    """28x28x1: plain convolutions with batch norm and ReLU6."""
    return net(conv(1, width, stride=2), conv(width, 16, stride=2), conv(16, 24), width=24, seed=seed)


def mbconv(seed: int = 0) -> nn.Module:
    """32x32x3: depthwise inverted bottlenecks, with and without the residual."""
    return net(
        conv(3, 8, stride=2),
        MBConv(8, 8),
        MBConv(8, 16, stride=2),
        MBConv(16, 16),
        width=16,
        seed=seed,
        channels=3,
        size=32,
    )


def residual(seed: int = 0) -> nn.Module:
    """32x32x3: a small ResNet with a strided shortcut."""
    return net(conv(3, 8), Residual(8, 8), Residual(8, 16, stride=2), width=16, seed=seed, channels=3, size=32)


def kernel5(seed: int = 0) -> nn.Module:
    """28x28x1: 5x5 kernels, plain and depthwise, strided."""
    return net(conv(1, 8, 5, 2), MBConv(8, 16, kernel=5, stride=2), MBConv(16, 16, kernel=5), width=16, seed=seed)


def big() -> nn.Module:
    """28x28x1 with 295,000 weights in one layer: more than 256 KB as int8."""
    return net(conv(1, 128, stride=2), conv(128, 256, stride=2), width=256)


NETS = {"plain": plain, "mbconv": mbconv, "residual": residual, "kernel5": kernel5}
SHAPES = {"plain": (1, 28, 28), "mbconv": (3, 32, 32), "residual": (3, 32, 32), "kernel5": (1, 28, 28)}


@dataclass(frozen=True)
class Trained:
    module: nn.Module
    converted: Converted
    calibration: Samples
    samples: Samples
    labels: npt.NDArray[np.int64]
