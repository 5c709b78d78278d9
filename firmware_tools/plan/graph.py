# SPDX-License-Identifier: Apache-2.0
"""A network as a file describes it, free of the file's format: what the lowering to a plan starts from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


_NAME = 40  # characters of a name in a message: converters join the names of all that they merged


def no_values() -> Array:
    """An empty array."""
    return np.zeros(0)


@dataclass(frozen=True, eq=False)
class Tensor:
    """An activation, or a constant if it has `data`. real = scale (value - zero point)."""

    name: str
    shape: tuple[int, ...]
    dtype: str  # numpy's name where it has one, else the schema's
    scales: Array = field(default_factory=no_values)  # float32; none, one, or one for each index of `axis`
    zero_points: Array = field(default_factory=no_values)  # int64, as many
    axis: int = 0
    data: Array | None = None

    @property
    def elements(self) -> int:
        """How many values it holds."""
        return math.prod(self.shape)

    @property
    def label(self) -> str:
        """Its name as messages give it."""
        return clipped(self.name)


def clipped(name: str) -> str:
    """Both ends of a long name."""
    half = (_NAME - 3) // 2
    return name if len(name) <= _NAME else f"{name[:half]}...{name[-half:]}"


@dataclass(frozen=True)
class Operator:
    """One operator; inputs and outputs are indices into the graph's tensors, -1 an input that is left out."""

    index: int
    kind: str  # the schema's name, CONV_2D
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, float] = field(default_factory=dict)
    custom: str = ""  # the code of a CUSTOM one

    @property
    def label(self) -> str:
        """Its kind as messages give it, a custom one with its code."""
        return f"{self.kind} {clipped(self.custom)}".rstrip()


@dataclass(frozen=True)
class Graph:
    """Operators in an order in which they can run, with one input and one output.

    `operators` are those that the output needs; `unused` are the file's others, whose results nothing reads.
    """

    tensors: Mapping[int, Tensor]
    operators: tuple[Operator, ...]
    input: int
    output: int
    unused: tuple[Operator, ...] = ()
