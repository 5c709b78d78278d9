# SPDX-License-Identifier: Apache-2.0
"""The space of LightNAS (Luo et al., DAC 2022), its six published networks and its latency predictor for a Jetson AGX
Xavier, batch 8.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgenas.latency.mlp import MLPModel
from edgenas.spaces.layer import Layer

PREDICTOR, NETWORKS = "xavier_predictor.npz", "lightnets.json"
PUBLISHED_MS = {"20": 19.97, "22": 22.02, "24": 23.94, "26": 26.00, "28": 28.09, "30": 30.02}  # predicted
_STAGES = ((16, 1, 1), (24, 2, 2), (48, 3, 2), (72, 4, 2), (128, 3, 1), (160, 4, 2), (176, 4, 1), (384, 1, 1))
_STEM, _SIZE = 16, 112
_MEASURED = 8000  # networks that the predictor was trained on: 80 % of 10,000


@dataclass(frozen=True)
class LightBlock:
    """One layer: `operator` is as in `MBK5E6`, or `SkipConnect`."""

    operator: str
    c_in: int
    c_out: int
    stride: int
    size: int

    def layers(self) -> tuple[Layer, ...]:
        """As `edgenas.latency.Part.layers`; a skip that changes the shape is a 1x1 convolution."""
        size, small = self.size, self.size // self.stride
        if self.operator == "SkipConnect":
            same = self.stride == 1 and self.c_in == self.c_out
            return () if same else (Layer("conv1x1", self.c_in, self.c_out, 1, self.stride, size, size, small, small),)
        kernel, expansion = int(self.operator[3]), int(self.operator[5])
        hidden = self.c_in * expansion
        return (
            Layer("conv1x1", self.c_in, hidden, 1, 1, size, size, size, size),
            Layer("depthwise", hidden, hidden, kernel, self.stride, size, size, small, small),
            Layer("conv1x1", hidden, self.c_out, 1, 1, small, small, small, small),
        )


def parts(operators: Sequence[str]) -> tuple[LightBlock, ...]:
    """The 22 parts of a network, the fixed first one included."""
    found, c_in, size = [], _STEM, _SIZE
    places = [(c_out, stride if i == 0 else 1) for c_out, count, stride in _STAGES for i in range(count)]
    for operator, (c_out, stride) in zip(operators, places, strict=True):
        found.append(LightBlock(operator, c_in, c_out, stride, size))
        c_in, size = c_out, size // stride
    return tuple(found)


def load(folder: Path) -> tuple[MLPModel, dict[str, tuple[LightBlock, ...]]]:
    """The published predictor, and the published networks by the milliseconds that were asked for."""
    table = json.loads((folder / NETWORKS).read_text(encoding="utf-8"))
    operators: list[str] = table["op_names"]
    networks = {asked: parts(network["arch"]) for asked, network in table["lightnets"].items()}
    uniform = [
        parts(["MBK3E1", *[operator] * (len(network) - 1)])
        for operator in operators
        for network in [next(iter(networks.values()))]
    ]
    names = tuple(f"{place}: {network[place]!r}" for place in range(1, len(uniform[0])) for network in uniform)
    with np.load(folder / PREDICTOR) as data:
        weights = [data[f"l{layer}_{what}"] for layer in (0, 2, 4) for what in ("weight", "bias")]
    return MLPModel("place", names).published(weights, _MEASURED), networks
