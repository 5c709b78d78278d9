# SPDX-License-Identifier: Apache-2.0
"""The head: global average pooling and the classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgenas.spaces.layer import Layer
from edgenas.spaces.operators.base import BlockOperator, BlockShape
from edgenas.spaces.operators.convolution import Convolution

if TYPE_CHECKING:
    from torch import nn


def _convolutions(shape: BlockShape) -> tuple[Convolution, ...]:
    return ()


class _Head(BlockOperator):
    def layers(self, shape: BlockShape) -> tuple[Layer, ...]:
        pool = Layer("pool", shape.c_in, shape.c_in, shape.h_in, 1, shape.h_in, shape.w_in, 1, 1)
        return (pool, Layer("dense", shape.c_in, shape.c_out, 1, 1, 1, 1, 1, 1))

    def module(self, shape: BlockShape) -> nn.Module:
        from torch import nn

        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(shape.c_in, shape.c_out))


HEAD = _Head("head", _convolutions)
