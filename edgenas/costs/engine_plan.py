"""What blocks take of a microcontroller as a plan of edgenas' engine, without compiling one.

PLAN.md of `firmware_tools/plan` says how weights are packed and which tensors may share bytes. The figures are meant to
be upper bounds, on random networks up to 20 % above the compiler's: a search within them proposes what fits, and the
exact plan has the last word.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from edgenas.spaces.architecture import Block
from edgenas.spaces.layer import Layer

_HEADER_BYTES = 64
_RECORD_BYTES = 100  # of an operator, with alignment
_CHANNEL_BYTES = 9  # bias, multiplier, shift
# Over the largest block's arena: an eighth for what the planner pays for faster depthwise convolutions, anywhere in the
# network, and 6 % for tensors that overlap in chains, which one block does not see.
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
    """Bytes of the arena while a block runs, layer by layer; its input stays to the end where a skip path needs it."""
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
    pad = layer.kernel // 2 if layer.kernel > 1 else 0
    added = 2 * pad if layer.stride > 1 else 0
    height, width = layer.h_in - added, layer.w_in - added
    source, result = height * width * layer.c_in, layer.elements_out
    if layer.kind == "depthwise":
        row = ((layer.w_out - 1) * layer.stride + layer.kernel + 2) // 2 * 2
        scratch = 8 * layer.kernel * row + 4 * layer.kernel * (layer.kernel + 1)
        shared = layer.stride == 1 and not held
        return _up(source) + (0 if shared else _up(result)) + scratch
    if layer.kind == "pool":
        return _up(source) + _up(result)
    scratch = (8 if layer.kind == "dense" else 24) * ceil(layer.kernel**2 * layer.c_in / 4)
    if held:
        return _up(source) + _up(result) + scratch
    if layer.kind == "dense":
        return max(_up(source), _up(result)) + scratch
    return max(_up(result), _up(source) + _up(_distance(layer, pad, width))) + scratch


def _distance(layer: Layer, pad: int, width: int) -> int:
    """How far behind its input a convolution's output has to begin: D of PLAN.md."""
    if layer.kernel == layer.stride == 1 and layer.c_out <= layer.c_in:
        return 0
    row, in_row = layer.w_out * layer.c_out, width * layer.c_in
    steps = range(layer.h_out)
    return max(0, *((y + 1) * row - max(0, y * layer.stride - pad) * in_row for y in steps))


def _layer_bytes(layer: Layer) -> int:
    if layer.kind == "pad":
        return 0
    channels, inputs = layer.c_out, layer.kernel**2 * layer.c_in
    if layer.kind == "depthwise":
        return _RECORD_BYTES + _up(channels * layer.kernel**2) + _up(channels) * _CHANNEL_BYTES
    if layer.kind in ("conv", "conv1x1"):
        channels = ceil(channels / 2) * 2
    elif layer.kind == "dense":
        channels = ceil(channels / 4) * 4
    else:
        return _RECORD_BYTES
    return _RECORD_BYTES + channels * _up(inputs) + _up(channels) * _CHANNEL_BYTES


def _up(count: int) -> int:
    return ceil(count / 4) * 4
