# SPDX-License-Identifier: Apache-2.0
"""Two full convolutions and an addition: the basic block of ResNet (He et al., CVPR 2016)."""

from __future__ import annotations

from edgenas.spaces.operators.base import BlockOperator, BlockShape, always
from edgenas.spaces.operators.convolution import Convolution


def _convolutions(shape: BlockShape) -> tuple[Convolution, ...]:
    return (
        Convolution("conv", shape.c_in, shape.c_out, shape.kernel, shape.stride),
        Convolution("conv", shape.c_out, shape.c_out, shape.kernel, linear=True),
    )


RESIDUAL = BlockOperator("residual", _convolutions, skip=always, relu_after_skip=True)
