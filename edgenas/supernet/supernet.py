# SPDX-License-Identifier: Apache-2.0
"""All networks of a space with one set of weights, each a slice of the largest.

Per stage, block position and operator there is one weight for each convolution, as large as any path needs it; a path
takes the first output and input channels and the centre of a depthwise kernel. The activations and skips are those of
`edgenas.spaces.network`. Batch normalisation has no scale and no shift (as in LightNAS, Luo et al., DAC 2022) and
normalises with the statistics of the batch, in evaluation too: running statistics would mix those of all paths.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgenas.spaces.architecture import Architecture, Block
from edgenas.spaces.layer import Layer
from edgenas.spaces.operators import BLOCK_OPERATORS
from edgenas.spaces.space import SearchSpace
from edgenas.supernet.paths import Paths


class Supernet(nn.Module):
    """The shared weights of `space`; `paths` are the ones it can run."""

    def __init__(self, space: SearchSpace, seed: int) -> None:
        super().__init__()
        self.space = space
        self.paths = Paths(space)
        sizes = _sizes(self.paths)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.weights = nn.ParameterDict({key: _initial(size) for key, size in sizes.items()})
            c_last = max(head.c_in for head in self.paths.heads())
            self.head = nn.Linear(c_last, space.classes)

    def forward(self, x: Tensor, architecture: Architecture) -> Tensor:
        """(N, C, H, W) float32 in [0, 1] -> (N, classes) logits of one path. N must be over 1."""
        for name, block in _named(self.space, architecture):
            if block.operator == "head":
                x = x.mean((2, 3))
                return functional.linear(x, self.head.weight[:, : block.c_in], self.head.bias)
            x = self._block(name, block, x)
        raise ValueError("an architecture's walk ends with its head")

    def slices(self, architecture: Architecture) -> list[Tensor]:
        """The path's weights in the order of the convolutions and the classifier of `network(blocks)`."""
        found = [
            self._weight(f"{name}_{index}", layer)
            for name, block in _named(self.space, architecture)
            if block.operator != "head"
            for index, layer in enumerate(_convolutions(block))
        ]
        return [*found, self.head.weight[:, : architecture.stages[-1].width]]

    def _block(self, name: str, block: Block, x: Tensor) -> Tensor:
        operator = BLOCK_OPERATORS[block.operator]
        layers = _convolutions(block)
        body = layers[:-1] if block.projected else layers
        y = x
        for index, (layer, convolution) in enumerate(zip(body, operator.convolutions(block), strict=True)):
            y = self._conv_bn(f"{name}_{index}", layer, y)
            if not convolution.linear:
                y = functional.relu6(y)
        if not block.skip:
            return y
        y = y + (self._conv_bn(f"{name}_{len(body)}", layers[-1], x) if block.projected else x)
        return functional.relu6(y) if operator.relu_after_skip else y

    def _conv_bn(self, key: str, layer: Layer, x: Tensor) -> Tensor:
        groups = layer.c_in if layer.kind == "depthwise" else 1
        y = functional.conv2d(x, self._weight(key, layer), None, layer.stride, layer.kernel // 2, groups=groups)
        return functional.batch_norm(y, None, None, training=True)

    def _weight(self, key: str, layer: Layer) -> Tensor:
        weight: Tensor = self.weights[key]
        edge = (weight.shape[-1] - layer.kernel) // 2
        centre = slice(edge, edge + layer.kernel)
        return weight[: layer.c_out, : _inputs(layer), centre, centre]


def _convolutions(block: Block) -> list[Layer]:
    return [layer for layer in block.layers() if layer.weights]


def _inputs(layer: Layer) -> int:
    return 1 if layer.kind == "depthwise" else layer.c_in


def _named(space: SearchSpace, architecture: Architecture) -> Iterator[tuple[str, Block]]:
    """The walk, each block with the name of its weights: stage, position and operator, whatever its widths."""
    stem, *walk, head = space.blocks(architecture)
    yield "stem", stem
    names = (
        _name(index, position, stage.operator)
        for index, stage in enumerate(architecture.stages)
        for position in range(stage.blocks)
    )
    yield from zip(names, walk, strict=True)
    yield "head", head


def _name(index: int, position: int, operator: str) -> str:
    return f"stage{index}_block{position}_{operator}"


def _sizes(paths: Paths) -> dict[str, tuple[int, int, int]]:
    """(c_out, c_in, kernel) of every weight: the largest over all paths, each on its own."""
    sizes: dict[str, tuple[int, int, int]] = {}

    def grow(name: str, block: Block) -> None:
        for index, layer in enumerate(_convolutions(block)):
            c_out, c_in, kernel = sizes.get(f"{name}_{index}", (0, 0, 0))
            sizes[f"{name}_{index}"] = max(c_out, layer.c_out), max(c_in, _inputs(layer)), max(kernel, layer.kernel)

    for node in paths.options[0]:
        grow("stem", paths.space.stem(*node))
    for index, layer in enumerate(paths.options):
        for node, by_operator in layer.items():
            for operator, stages in by_operator.items():
                for stage in stages:
                    for position, block in enumerate(paths.stage_blocks(index, node, stage)):
                        grow(_name(index, position, operator), block)
    return sizes


def _initial(size: tuple[int, int, int]) -> nn.Parameter:
    c_out, c_in, kernel = size
    weight = torch.empty(c_out, c_in, kernel, kernel)
    return nn.Parameter(nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu"))
