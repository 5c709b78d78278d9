# SPDX-License-Identifier: Apache-2.0
"""Costs of blocks without running them: MACs, parameters, bytes of flash and of activations."""

from __future__ import annotations

from collections.abc import Sequence

from edgenas.spaces.architecture import Block
from edgenas.spaces.layer import Layer

# Of the .tflite file, fitted on 56 converted networks of the default space at 8x8 to 96x96 pixels: estimates are within
# 0.5 % of every file's size.
_FLASH_OVERHEAD_BYTES = 600  # header, signature, input and output
_WEIGHTED_BYTES = {"int8": 520, "float32": 410}  # tables of a convolution or dense layer: operator, tensors, buffers
_OTHER_BYTES = {"int8": 330, "float32": 285}  # of an addition, PAD or pooling
# int8: 32-bit bias, and for the weights and again for the bias a scale (float32) and a zero point (int64)
_CHANNEL_BYTES = {"int8": 28, "float32": 4}


def macs(blocks: Sequence[Block]) -> int:
    """Multiply-accumulates of one inference."""
    return sum(layer.macs for block in blocks for layer in block.layers())


def parameters(blocks: Sequence[Block]) -> int:
    """Weights and biases, with batch normalisation folded."""
    layers = [layer for block in blocks for layer in block.layers()]
    return sum(layer.weights + (layer.c_out if layer.weights else 0) for layer in layers)


def block_flash_bytes(block: Block, precision: str) -> int:
    """Bytes that a block adds to a .tflite: weights, biases, per-channel scales (int8), tables."""
    return sum(_layer_flash_bytes(layer, precision) for layer in block.layers())


def _layer_flash_bytes(layer: Layer, precision: str) -> int:
    if not layer.weights:
        return _OTHER_BYTES[precision]
    width = 1 if precision == "int8" else 4
    return layer.weights * width + layer.c_out * _CHANNEL_BYTES[precision] + _WEIGHTED_BYTES[precision]


def flash_bytes(blocks: Sequence[Block], precision: str) -> int:
    """Estimated size of the .tflite file in bytes."""
    return _FLASH_OVERHEAD_BYTES + sum(block_flash_bytes(block, precision) for block in blocks)


def block_ram_bytes(block: Block, precision: str) -> int:
    """Peak bytes of activations alive while a block runs, layer by layer; no in-place reuse is assumed.

    The block's input stays alive until the end if a skip path needs it.
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
