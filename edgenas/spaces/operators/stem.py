# SPDX-License-Identifier: Apache-2.0
"""The stem: the first convolution of every network."""

from __future__ import annotations

from edgenas.spaces.operators.base import BlockOperator, BlockShape
from edgenas.spaces.operators.convolution import Convolution


def _convolutions(shape: BlockShape) -> tuple[Convolution, ...]:
    return (Convolution("conv", shape.c_in, shape.c_out, shape.kernel, shape.stride),)


STEM = BlockOperator("stem", _convolutions)
