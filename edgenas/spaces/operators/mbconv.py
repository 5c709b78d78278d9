# SPDX-License-Identifier: Apache-2.0
"""The inverted bottleneck of MobileNetV2 (Sandler et al., CVPR 2018)."""

from __future__ import annotations

from edgenas.spaces.operators.base import BlockOperator, BlockShape, every_expansion, where_same_shape
from edgenas.spaces.operators.convolution import Convolution


def _convolutions(shape: BlockShape) -> tuple[Convolution, ...]:
    return (
        Convolution("conv1x1", shape.c_in, shape.hidden),
        Convolution("depthwise", shape.hidden, shape.hidden, shape.kernel, shape.stride),
        Convolution("conv1x1", shape.hidden, shape.c_out, linear=True),
    )


MBCONV = BlockOperator("mbconv", _convolutions, skip=where_same_shape, has_kernels=True, expansions=every_expansion)
