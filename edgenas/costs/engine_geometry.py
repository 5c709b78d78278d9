# SPDX-License-Identifier: Apache-2.0
"""How edgenas' engine for microcontrollers divides a layer: padding, words, packed channels, patches, strips of rows.

`edgenas.costs.engine_plan` counts bytes with it, `edgenas.latency.engine` counts loops. The constants are those of the
plan compiler, PLAN.md of `firmware_tools/plan` explains the rules.
"""

from __future__ import annotations

from math import ceil

from edgenas.spaces.layer import Layer
from firmware_tools.plan.operators import CONV_CHANNELS, DENSE_CHANNELS, GROUP, LANES, PIXELS, groups

STRIPS = (16, 8, 4, 2, 1)  # output rows that a depthwise convolution may compute at a time
SPARE = 8  # a wider strip may cost an eighth of the layer's smallest arena


def padding(layer: Layer) -> tuple[int, int]:
    """Elements that the engine pads at each side, and those of `h_in` and `w_in` that the converter's PAD has added."""
    pad = layer.kernel // 2
    return pad, 2 * pad if layer.stride > 1 else 0


def input_size(layer: Layer) -> tuple[int, int]:
    """Rows and columns of the layer's input before any PAD, which the plan folds into the convolution."""
    _, added = padding(layer)
    return layer.h_in - added, layer.w_in - added


def input_bytes(layer: Layer) -> int:
    """Bytes of the layer's input before any PAD."""
    height, width = input_size(layer)
    return height * width * layer.c_in


def in_whole_words(count: int) -> int:
    """`count` bytes rounded up to whole words."""
    return GROUP * groups(count)


def patch_words(layer: Layer) -> int:
    """Words of the inputs that one output of a convolution or dense layer is computed from."""
    return groups(layer.kernel**2 * layer.c_in)


def packed_channels(layer: Layer) -> int:
    """Output channels with those that fill up the last block: weights are packed in blocks of 2 (conv) or 4 (dense)."""
    block = DENSE_CHANNELS if layer.kind == "dense" else CONV_CHANNELS
    return block * ceil(layer.c_out / block)


def column_pairs(layer: Layer) -> int:
    """Pairs of columns of one gathered row of a depthwise convolution."""
    return ceil(((layer.w_out - 1) * layer.stride + layer.kernel + 1) / 2)


def strip_inputs(layer: Layer, strip: int) -> int:
    """Input rows under `strip` output rows of a depthwise convolution."""
    return (strip - 1) * layer.stride + layer.kernel


def strip_rows(layer: Layer) -> int:
    """Output rows that a depthwise convolution computes at a time: the most that cost little more memory than one row.

    This is the rule of `firmware_tools.plan.layout`.
    """
    tensors = input_bytes(layer) + (0 if layer.stride == 1 else layer.elements_out)
    smallest = tensors + scratch_bytes(layer)
    for rows in STRIPS:
        even = ceil(layer.h_out / ceil(layer.h_out / rows))
        if tensors + scratch_bytes(layer, even) <= smallest + smallest // SPARE:
            return even
    return 1


def scratch_bytes(layer: Layer, strip: int = 1) -> int:
    """Bytes beside input and output, for inputs widened to 16 bits; a depthwise convolution's grow with its strip."""
    if layer.kind == "depthwise":
        row = 2 * column_pairs(layer)
        return 2 * LANES * strip_inputs(layer, strip) * row + 4 * layer.kernel * (layer.kernel + 1)
    if layer.kind == "dense":
        return 2 * GROUP * patch_words(layer)
    return 2 * GROUP * PIXELS * patch_words(layer) if layer.kind in ("conv", "conv1x1") else 0
