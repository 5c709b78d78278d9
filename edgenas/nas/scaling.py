# SPDX-License-Identifier: Apache-2.0
"""Templates scaled to a budget: the networks that a user would deploy without a search, at their best width."""

from __future__ import annotations

import math

from edgenas.nas.lattice import Edge, Lattice
from edgenas.spaces.architecture import Architecture
from edgenas.spaces.space import Template

_BLOCK_PENALTY = 0.7  # one block more or less weighs as much as a width off by a factor of 1.6
_BAND = 0.05
FILLED = 0.85  # a template below 85 % of the budget has run out of width and blocks


def scale_to_budget(lattice: Lattice, template: Template, high: float) -> list[Architecture]:
    """`template` scaled to spend at most `high`: one architecture for each stem stride that can spend 85 % of it.

    If no stem stride can, only the architecture closest to it; empty if even the smallest is above `high`.
    """
    found = [_fill(lattice, template, high, stride) for stride in lattice.space.stem_strides]
    ranked = sorted((a for a in found if a is not None), key=lattice.price, reverse=True)
    return [a for a in ranked if lattice.price(a) >= FILLED * high] or ranked[:1]


def _fill(lattice: Lattice, template: Template, high: float, stem_stride: int) -> Architecture | None:
    # The shape is the ratio of neighbouring stages' widths and the number of blocks; both are edges' properties, so the
    # exact program finds the least deviation within 5 % below `high`, or in the first band below that holds anything.
    lows = [max(0.0, 1 - band * _BAND) * high for band in range(1, round(1 / _BAND) + 1)]
    return lattice.first_best(lambda index, edge: _likeness(template, stem_stride, index, edge), lows, high)


def _likeness(template: Template, stem_stride: int, index: int, edge: Edge) -> float:
    if edge.stage is None:
        return 0.0 if edge.target[0] == stem_stride else -math.inf
    stage = edge.stage
    if (stage.operator, stage.kernel, stage.expansion) != (template.operator, 3, template.expansion):
        return -math.inf
    before = template.ratio[index - 1] if index else template.ratio[0]
    wanted = template.ratio[index] / before
    ratio_off = abs(math.log2(edge.target[1] / edge.source[1] / wanted))
    return -ratio_off - _BLOCK_PENALTY * abs(stage.blocks - template.blocks[index])
