# SPDX-License-Identifier: Apache-2.0
"""The torch modules that block operators consist of.

Activations are ReLU6 (fused by every TFLite engine, and bounded, which int8 likes).
"""

from __future__ import annotations

from torch import Tensor, nn

from edgenas.spaces.operators.convolution import Convolution


def conv_bn(of: Convolution) -> nn.Sequential:
    """The convolution with "same" padding, batch normalisation and, unless it is linear, ReLU6."""
    groups = of.c_in if of.kind == "depthwise" else 1
    conv = nn.Conv2d(of.c_in, of.c_out, of.kernel, of.stride, of.kernel // 2, groups=groups, bias=False)
    layers: list[nn.Module] = [conv, nn.BatchNorm2d(of.c_out)]
    if not of.linear:
        layers.append(nn.ReLU6())
    return nn.Sequential(*layers)


class Residual(nn.Module):
    """`body` plus its input (projected where shapes differ), then an optional ReLU6."""

    def __init__(self, body: nn.Module, projection: nn.Module | None, *, act: bool) -> None:
        super().__init__()
        self.body = body
        self.projection = projection
        self.act = nn.ReLU6() if act else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W')."""
        body: Tensor = self.body(x)
        total = body + (x if self.projection is None else self.projection(x))
        return total if self.act is None else self.act(total)
