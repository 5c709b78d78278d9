# SPDX-License-Identifier: Apache-2.0
"""Flash and RAM of blocks in a plan of edgenas' engine for microcontrollers, without compiling the plan.

PLAN.md of `firmware_tools/plan` explains how weights are packed and which tensors may share bytes. The estimates are
upper bounds: on random networks they are up to 20 % above the compiler's values. A search that keeps them proposes
networks that fit, and the compiled plan decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from edgenas.costs.engine_geometry import (
    in_whole_words,
    input_bytes,
    input_size,
    packed_channels,
    padding,
    scratch_bytes,
)
from edgenas.spaces.architecture import Block
from edgenas.spaces.layer import Layer

_HEADER_BYTES = 64
_RECORD_BYTES = 100  # of an operator, with alignment
_CHANNEL_BYTES = 9  # bias, multiplier, shift
# Factor on the largest block's arena: an eighth, because the planner spends that on faster depthwise convolutions
# anywhere in the network, and 6 % for tensors that overlap in chains across blocks.
_SPARE = 9 / 8 * 1.06


def block_flash_bytes(block: Block) -> int:
    """Bytes that a block adds to a plan: records, packed weights, tables."""
    return sum(_layer_bytes(layer) for layer in block.layers())


def flash_bytes(blocks: Sequence[Block]) -> int:
    """Bytes of the plan of a whole network."""
    return _HEADER_BYTES + sum(map(block_flash_bytes, blocks))


def arena_bytes(blocks: Sequence[Block]) -> int:
    """Bytes of the arena of a whole network."""
    return max(map(block_arena_bytes, blocks))


def block_arena_bytes(block: Block) -> int:
    """Bytes of the arena while a block runs; its input stays until the end if a skip path needs it."""
    source = block.h_in * block.w_in * block.c_in
    layers = [layer for layer in block.layers() if layer.kind not in ("pad", "add")]
    body = layers[:-1] if block.projected else layers
    peaks = [(source if block.skip and layer is not body[0] else 0) + _peak(layer, block.skip and layer is body[0])
             for layer in body]  # fmt: skip
    if block.projected:
        # The projection reads the source while the body's result waits for the addition.
        peaks.append(block.h_out * block.w_out * block.c_out + _peak(layers[-1], False))
    elif block.skip:
        peaks.append(source + block.h_out * block.w_out * block.c_out)
    return ceil(max(peaks) * _SPARE)


def _peak(layer: Layer, held: bool) -> int:
    """Input, output and scratch of a layer; the output may lie on its input unless that is `held` for later."""
    source, result = in_whole_words(input_bytes(layer)), in_whole_words(layer.elements_out)
    scratch = scratch_bytes(layer)
    if layer.kind == "pool" or held:
        return source + result + scratch
    if layer.kind == "depthwise":
        return source + (0 if layer.stride == 1 else result) + scratch
    if layer.kind == "dense":
        return max(source, result) + scratch
    return max(result, source + in_whole_words(_distance(layer))) + scratch


def _distance(layer: Layer) -> int:
    """How many bytes before its input a convolution's output has to begin: D of PLAN.md."""
    if layer.kernel == layer.stride == 1 and layer.c_out <= layer.c_in:
        return 0
    (pad, _), (_, width) = padding(layer), input_size(layer)
    row, in_row = layer.w_out * layer.c_out, width * layer.c_in
    steps = range(layer.h_out)
    return max(0, *((y + 1) * row - max(0, y * layer.stride - pad) * in_row for y in steps))


def _layer_bytes(layer: Layer) -> int:
    if layer.kind == "pad":
        return 0
    if layer.kind == "depthwise":
        weights = in_whole_words(layer.weights)
        return _RECORD_BYTES + weights + in_whole_words(layer.c_out) * _CHANNEL_BYTES
    if not layer.weights:
        return _RECORD_BYTES
    channels = packed_channels(layer)
    weights = channels * in_whole_words(layer.kernel**2 * layer.c_in)
    return _RECORD_BYTES + weights + in_whole_words(channels) * _CHANNEL_BYTES
