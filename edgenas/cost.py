"""What blocks cost without running them: MACs, parameters, bytes of flash and of activations."""

from __future__ import annotations

from collections.abc import Sequence

from edgenas.space import Block

_FLASH_OVERHEAD_BYTES = 2500  # a flatbuffer's header, signature and metadata (measured: 2.3 KB for an empty model)
_OPERATOR_BYTES = 450  # tensor, quantisation and operator tables of one operator (measured on int8 files: 380 to 520)


def macs(blocks: Sequence[Block]) -> int:
    """Multiply-accumulates of one inference."""
    return sum(layer.macs for block in blocks for layer in block.layers())


def parameters(blocks: Sequence[Block]) -> int:
    """Weights and biases after batch normalisation was folded."""
    layers = [layer for block in blocks for layer in block.layers()]
    return sum(layer.weights + (layer.c_out if layer.weights else 0) for layer in layers)


def block_flash_bytes(block: Block, precision: str) -> int:
    """Bytes that a block adds to a .tflite: weights, 32-bit biases, per-channel scales (int8), tables."""
    width = 1 if precision == "int8" else 4
    per_channel = 4 + (4 + 8 if precision == "int8" else 0)  # bias; scale (float32) and zero point (int64)
    return sum(
        layer.weights * width + (layer.c_out * per_channel if layer.weights else 0) + _OPERATOR_BYTES
        for layer in block.layers()
    )


def flash_bytes(blocks: Sequence[Block], precision: str) -> int:
    """Estimated size of the .tflite file in bytes."""
    return _FLASH_OVERHEAD_BYTES + sum(block_flash_bytes(block, precision) for block in blocks)


def block_ram_bytes(block: Block, precision: str) -> int:
    """Peak bytes of activations alive while a block runs, layer by layer; no in-place reuse is assumed.

    The block's input stays alive to the end where a skip path needs it.
    """
    width = 1 if precision == "int8" else 4
    source = block.h_in * block.w_in * block.c_in
    layers = [layer for layer in block.layers() if layer.kind != "add"]
    body = layers[:-1] if block.projected else layers
    held = source if block.skip else 0
    peak = body[0].elements_in + body[0].elements_out
    for layer in body[1:]:
        peak = max(peak, held + layer.elements_in + layer.elements_out)
    result = block.h_out * block.w_out * block.c_out
    if block.projected:
        peak = max(peak, source + 2 * result)
    if block.skip:
        peak = max(peak, 3 * result)
    return peak * width


def ram_bytes(blocks: Sequence[Block], precision: str) -> int:
    """Peak bytes of activations of a whole network."""
    return max(block_ram_bytes(block, precision) for block in blocks)
