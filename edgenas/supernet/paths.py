# SPDX-License-Identifier: Apache-2.0
"""Which paths a space has, without prices: what a supernet holds, samples and warms up with."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from edgenas.spaces.architecture import Architecture, Block, Stage, stage_blocks
from edgenas.spaces.space import SearchSpace

Node = tuple[int, int]  # (stem stride, width): what a stage's choices depend on
_ANCHORS = ("residual", "plain")  # the first that a space has; its first operator if it has neither
_TRIES = 20  # not every combination of operators is within a space's limits


class Paths:
    """`options[i][node]` are the stages that may come `i`-th after `node`, by operator; none of them is a dead end.

    `anchor` is the operator whose channels the others learn to speak (see `edgenas.supernet.training`).
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.anchor = next((operator for operator in _ANCHORS if operator in space.operators), space.operators[0])
        self.options: list[dict[Node, dict[str, list[Stage]]]] = []
        # Spatial size depends on the stem's stride alone, so one representative block before each stage is enough.
        self._before: list[dict[Node, Block]] = [
            {node: space.stem(*node) for node in product(space.stem_strides, space.stem_widths)}
        ]
        for index in range(len(space.stages)):
            self._add(index)
        self._prune()

    def _add(self, index: int) -> None:
        choices = self.space.stages[index]
        after: dict[Node, Block] = {}
        layer: dict[Node, dict[str, list[Stage]]] = {}
        for node, block in self._before[index].items():
            for (operator, blocks, kernel, expansion), width in product(self.space.stage_bodies(), choices.widths):
                stage = Stage(operator, width, blocks, kernel, expansion)
                walk = stage_blocks(stage, block, choices.stride)
                if self.space.allows(walk):
                    layer.setdefault(node, {}).setdefault(operator, []).append(stage)
                    after.setdefault((node[0], width), walk[-1])
        self.options.append(layer)
        self._before.append(after)

    def _prune(self) -> None:
        alive = set(self._before[-1])
        for index in reversed(range(len(self.options))):
            layer: dict[Node, dict[str, list[Stage]]] = {}
            for node, by_operator in self.options[index].items():
                for operator, stages in by_operator.items():
                    kept = [stage for stage in stages if (node[0], stage.width) in alive]
                    if kept:
                        layer.setdefault(node, {})[operator] = kept
            self.options[index] = layer
            alive = set(layer)
        if not alive:
            raise ValueError(f"space {self.space.name!r} allows no architecture")

    def stage_blocks(self, index: int, node: Node, stage: Stage) -> tuple[Block, ...]:
        """The blocks of `stage` as the `index`-th after `node`."""
        return stage_blocks(stage, self._before[index][node], self.space.stages[index].stride)

    def heads(self) -> list[Block]:
        """Every head that a path may end in."""
        return [self.space.head(block.c_out, block.h_out, block.w_out) for block in self._before[-1].values()]

    def sample(self, rng: np.random.Generator, anchor: float = 0.0) -> Architecture:
        """Draw a path; operators have equal chances, however many kernels and expansions each has.

        anchor: with this probability a stage takes the anchor operator instead, where it may.
        """
        stems = list(self.options[0])
        node = stem = stems[rng.integers(len(stems))]
        stages: list[Stage] = []
        for layer in self.options:
            choices = layer[node].get(self.anchor) if rng.random() < anchor else None
            if choices is None:
                operators = list(layer[node])
                choices = layer[node][operators[rng.integers(len(operators))]]
            stages.append(choices[rng.integers(len(choices))])
            node = (node[0], stages[-1].width)
        return Architecture(*stem, tuple(stages))

    def largest(self, stem_stride: int, operators: Sequence[str]) -> Architecture | None:
        """The path with the most weights that has this stem stride and, stage by stage, these operators, if any."""
        best: dict[Node, tuple[int, tuple[Stage, ...]]] = dict.fromkeys(self._before[-1], (0, ()))
        for index in reversed(range(len(self.options))):
            here: dict[Node, tuple[int, tuple[Stage, ...]]] = {}
            for node, by_operator in self.options[index].items():
                for stage in by_operator.get(operators[index], ()) if node[0] == stem_stride else ():
                    rest = best.get((stem_stride, stage.width))
                    if rest is None:
                        continue
                    size = rest[0] + _weights(self.stage_blocks(index, node, stage))
                    if node not in here or size > here[node][0]:
                        here[node] = (size, (stage, *rest[1]))
            best = here
        if not best:
            return None
        stem = max(best, key=lambda node: (best[node][0], node))
        return Architecture(*stem, best[stem][1])

    def sample_largest(self, rng: np.random.Generator, anchor: float = 0.0) -> Architecture:
        """Draw a stem stride and operators as `sample` does; of the paths that have them, the one with most weights."""
        for _ in range(_TRIES):
            stride = self.space.stem_strides[rng.integers(len(self.space.stem_strides))]
            drawn = [self.space.operators[rng.integers(len(self.space.operators))] for _ in self.options]
            found = self.largest(stride, [self.anchor if rng.random() < anchor else operator for operator in drawn])
            if found is not None:
                return found
        return self.sample(rng, anchor)


def _weights(blocks: tuple[Block, ...]) -> int:
    return sum(layer.weights for block in blocks for layer in block.layers())
