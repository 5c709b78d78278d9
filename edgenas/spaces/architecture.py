# SPDX-License-Identifier: Apache-2.0
"""One architecture: its genes, its text form, and its blocks.

Costs, latency models, torch modules and encodings all consume blocks; nothing else walks an architecture. This module
does not import torch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from edgenas.errors import UsageError
from edgenas.spaces.layer import Layer
from edgenas.spaces.operators import BLOCK_OPERATORS, STAGE_OPERATORS
from edgenas.spaces.operators.base import DENSE_KERNEL, BlockShape


@dataclass(frozen=True, order=True)
class Stage:
    """One stage's genes. `kernel` is the depthwise kernel (3 for dense operators), `expansion` is 1 where unused."""

    operator: str
    width: int
    blocks: int
    kernel: int
    expansion: int

    def __str__(self) -> str:
        """As in `mbconv-32x2k5e3`."""
        operator = STAGE_OPERATORS[self.operator]
        kernel = f"k{self.kernel}" if operator.has_kernels else ""
        expansion = f"e{self.expansion}" if operator.expansions is not None else ""
        return f"{self.operator}-{self.width}x{self.blocks}{kernel}{expansion}"


@dataclass(frozen=True, order=True)
class Architecture:
    """One point of a space."""

    stem_stride: int
    stem_width: int
    stages: tuple[Stage, ...]

    def __str__(self) -> str:
        """As in `stem-16s2/residual-16x1/mbconv-32x2k5e3`; `parse` reads it back."""
        return "/".join((f"stem-{self.stem_width}s{self.stem_stride}", *map(str, self.stages)))

    @staticmethod
    def parse(text: str) -> Architecture:
        """The architecture that `str` wrote. Raises UsageError naming the part that cannot be parsed."""
        stem, *stages = text.strip().split("/")
        match = re.fullmatch(r"stem-(\d+)s(\d+)", stem)
        if match is None or not stages:
            raise UsageError(f"architecture {text!r} is not of the form stem-16s2/residual-16x1/...", value=text)
        return Architecture(int(match[2]), int(match[1]), tuple(_parse_stage(part) for part in stages))


def _parse_stage(text: str) -> Stage:
    match = re.fullmatch(r"([a-z]+)-(\d+)x(\d+)(?:k(\d+))?(?:e(\d+))?", text)
    operator = STAGE_OPERATORS.get(match[1]) if match is not None else None
    # A gene that the operator does not have would be dropped: another architecture would be trained than was asked for.
    if (
        match is None
        or operator is None
        or (match[4] and not operator.has_kernels)
        or (match[5] and operator.expansions is None)
    ):
        raise UsageError(
            f"stage {text!r} is not of the form OPERATOR-WIDTHxBLOCKS[kK][eE], as mbconv-32x2k5e3", value=text
        )
    return Stage(match[1], int(match[2]), int(match[3]), int(match[4] or DENSE_KERNEL), int(match[5] or 1))


@dataclass(frozen=True)
class Block(BlockShape):
    """One building block with its shapes; torch modules and costs are derived from it.

    operator: a name in `edgenas.spaces.operators.BLOCK_OPERATORS`.
    """

    @property
    def skip(self) -> bool:
        """Whether the block's input is added to its output."""
        return BLOCK_OPERATORS[self.operator].skip(self)

    @property
    def projected(self) -> bool:
        """Whether the skip path needs a 1x1 convolution."""
        return BLOCK_OPERATORS[self.operator].projected(self)

    def layers(self) -> tuple[Layer, ...]:
        """The operators of the converted block in the order in which they run."""
        return _layers(self)


@lru_cache(maxsize=200_000)
def _layers(block: Block) -> tuple[Layer, ...]:
    return BLOCK_OPERATORS[block.operator].layers(block)


def stage_blocks(stage: Stage, before: Block, stride: int) -> tuple[Block, ...]:
    """A stage's blocks after the block `before`; the first one takes the stage's stride."""
    walk = [before]
    for index in range(stage.blocks):
        last = walk[-1]
        step = stride if index == 0 else 1
        walk.append(
            Block(stage.operator, last.c_out, stage.width, stage.kernel, step, stage.expansion, last.h_out, last.w_out)
        )
    return tuple(walk[1:])
