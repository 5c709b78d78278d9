# SPDX-License-Identifier: Apache-2.0
"""The fused inverted bottleneck of EfficientNetV2 (Tan and Le, ICML 2021): a full convolution expands."""

from __future__ import annotations

from edgenas.spaces.operators.base import BlockOperator, BlockShape, smallest_expansion, where_same_shape
from edgenas.spaces.operators.convolution import Convolution


def _convolutions(shape: BlockShape) -> tuple[Convolution, ...]:
    return (
        Convolution("conv", shape.c_in, shape.hidden, shape.kernel, shape.stride),
        Convolution("conv1x1", shape.hidden, shape.c_out, linear=True),
    )


# A full convolution that expands costs nine times a pointwise one: only the smallest expansion is worth its price.
FUSED = BlockOperator("fused", _convolutions, skip=where_same_shape, expansions=smallest_expansion)
