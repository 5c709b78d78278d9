# SPDX-License-Identifier: Apache-2.0
"""The FBNet space (Wu et al., CVPR 2019) in the form that HW-NAS-Bench (Li et al., ICLR 2021) trains it: 22 layers of
nine operators on 32x32 images; latencies measured end to end, from HELP (Lee et al., NeurIPS 2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgenas.spaces.layer import Layer

FILE = "fbnet.npz"
_STAGES = (
    (16, 1, 1),
    (24, 4, 1),
    (32, 4, 2),
    (64, 4, 2),
    (112, 4, 1),
    (184, 4, 2),
    (352, 1, 1),
)  # width, layers, stride
_STEM = 16
_IMAGE = 32


@dataclass(frozen=True)
class FBNetBlock:
    """One layer of a network: `operator` is as in `k5_e6`, `k3_e1_g2` (two groups) or `skip`."""

    operator: str
    c_in: int
    c_out: int
    stride: int
    size: int

    def layers(self) -> tuple[Layer, ...]:
        """As `Part.layers`: an inverted bottleneck, or nothing; a skip that changes the shape is a 1x1 convolution."""
        return _layers(self)


@lru_cache(maxsize=10_000)
def _layers(block: FBNetBlock) -> tuple[Layer, ...]:
    size, small = block.size, block.size // block.stride
    same = block.stride == 1 and block.c_in == block.c_out
    if block.operator == "skip":
        if same:
            return ()
        return (Layer("conv1x1", block.c_in, block.c_out, 1, block.stride, size, size, small, small),)
    kernel, expansion, *grouped = block.operator.split("_")
    groups, hidden = 2 if grouped else 1, block.c_in * int(expansion[1:])
    layers = (
        # A convolution in groups multiplies with a part of the input channels, as a Layer with so many would.
        Layer("conv1x1", block.c_in // groups, hidden, 1, 1, size, size, size, size),
        Layer("depthwise", hidden, hidden, int(kernel[1:]), block.stride, size, size, small, small),
        Layer("conv1x1", hidden // groups, block.c_out, 1, 1, small, small, small, small),
    )
    add = Layer("add", block.c_out, block.c_out, 1, 1, small, small, small, small)
    return (*layers, add) if same else layers


def parts(ops: Sequence[str]) -> tuple[FBNetBlock, ...]:
    """The 22 parts of a network, given by its operators' names."""
    found, c_in, size = [], _STEM, _IMAGE
    places = [(c_out, stride if i == 0 else 1) for c_out, count, stride in _STAGES for i in range(count)]
    for operator, (c_out, stride) in zip(ops, places, strict=True):
        found.append(FBNetBlock(operator, c_in, c_out, stride, size))
        c_in, size = c_out, size // stride
    return tuple(found)


def load(file: Path) -> tuple[list[tuple[FBNetBlock, ...]], dict[str, NDArray[np.float64]]]:
    """The networks of a file and, by device, their latencies in milliseconds."""
    with np.load(file) as data:
        names = [str(name) for name in data["op_names"]]
        networks = [parts([names[op] for op in ops]) for ops in data["ops"]]
        latency = {str(d): ms.astype(np.float64) for d, ms in zip(data["devices"], data["latency_ms"], strict=True)}
    return networks, latency
