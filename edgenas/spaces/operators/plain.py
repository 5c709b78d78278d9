# SPDX-License-Identifier: Apache-2.0
"""A full convolution, as in VGG (Simonyan and Zisserman, ICLR 2015)."""

from __future__ import annotations

from edgenas.spaces.operators.base import BlockOperator, BlockShape
from edgenas.spaces.operators.convolution import Convolution


def _convolutions(shape: BlockShape) -> tuple[Convolution, ...]:
    return (Convolution("conv", shape.c_in, shape.c_out, shape.kernel, shape.stride),)


PLAIN = BlockOperator("plain", _convolutions)
