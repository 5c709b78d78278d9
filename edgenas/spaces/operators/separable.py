# SPDX-License-Identifier: Apache-2.0
"""A depthwise and a pointwise convolution, as in MobileNet (Howard et al., 2017)."""

from __future__ import annotations

from edgenas.spaces.operators.base import BlockOperator, BlockShape
from edgenas.spaces.operators.convolution import Convolution


def _convolutions(shape: BlockShape) -> tuple[Convolution, ...]:
    return (
        Convolution("depthwise", shape.c_in, shape.c_in, shape.kernel, shape.stride),
        Convolution("conv1x1", shape.c_in, shape.c_out),
    )


SEPARABLE = BlockOperator("separable", _convolutions, has_kernels=True)
