# SPDX-License-Identifier: Apache-2.0
"""The activation memory that TensorFlow Lite plans for a network on Linux, without converting or running it.

TensorFlow Lite gives every activation and every scratch buffer a place in one arena, so that those alive at a time do
not overlap: greedily, the largest first (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net
Inference", 2020, section 5, greedy by size for offsets), each into the smallest gap that holds it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from edgenas.spaces.architecture import Block

_ALIGNMENT = 64
_WIDTH = {"int8": 1, "float32": 4}


class _Buffer(NamedTuple):
    elements: int
    first: int  # the operator that writes it
    last: int  # the last one that reads it


def arena_bytes(blocks: Sequence[Block], precision: str) -> int:
    """Bytes of TensorFlow Lite's arena for a network, computed by its own kernels.

    The default delegate, XNNPACK, plans its own memory, copies the weights, and needs no buffers for the patches of
    convolutions.
    """
    width = _WIDTH[precision]
    buffers = list(_buffers(blocks))
    end = max(buffer.last for buffer in buffers)
    # The input, which lives throughout, is placed before all others.
    buffers.sort(key=lambda b: ((b.first, b.last) != (0, end), -b.elements, b.first))
    placed: list[tuple[int, int, _Buffer]] = []
    for buffer in buffers:
        size = buffer.elements * width
        others = sorted(p for p in placed if p[2].first <= buffer.last and buffer.first <= p[2].last)
        placed.append((_offset(size, others), size, buffer))
    return max(offset + size for offset, size, _ in placed)


def _offset(size: int, others: Sequence[tuple[int, int, _Buffer]]) -> int:
    """The start of the smallest gap between `others`, sorted by offset, that holds `size` bytes, else their end."""
    best, smallest, end = None, 0, 0
    for offset, taken, _ in others:
        gap = offset - end
        if gap >= size and (best is None or gap < smallest):
            best, smallest = end, gap
        end = max(end, -(-(offset + taken) // _ALIGNMENT) * _ALIGNMENT)
    return end if best is None else best


def _buffers(blocks: Sequence[Block]) -> Iterator[_Buffer]:
    """Every activation and scratch buffer with the operators between which it lives, numbered as they run."""
    layers = [layer for block in blocks for layer in block.layers()]
    last = _last_readers(blocks)
    yield _Buffer(blocks[0].h_in * blocks[0].w_in * blocks[0].c_in, 0, len(layers))
    for at, layer in enumerate(layers):
        yield _Buffer(layer.elements_out, at, last[at + 1])
        if layer.kind == "conv" or (layer.kind == "conv1x1" and layer.stride > 1):  # gathers patches side by side first
            yield _Buffer(layer.h_out * layer.w_out * layer.kernel**2 * layer.c_in, at, at)


def _last_readers(blocks: Sequence[Block]) -> list[int]:
    """The operator that reads an activation last, of the input and then of every operator's output."""
    last = [0]
    for block in blocks:
        layers, source = block.layers(), len(last) - 1
        end = source + len(layers) - 1  # the block's last operator
        for at in range(source, end + 1):
            last[at] = at
            last.append(at + 1)
        if block.projected:
            last[source], last[end - 1] = end - 1, end  # the projection reads the source, the addition the body
        elif block.skip:
            last[source] = end
    return last
