# SPDX-License-Identifier: Apache-2.0
"""A latency model of edgenas' engine for microcontrollers: the cost of one turn of each of its loops.

How often each loop of `firmware_tools/firmware/engine` turns follows from a layer's shape. The cost of a turn is the
same in every network and is fitted by non-negative least squares on whole measured networks. In counted instructions
this model errs by 0.1 % on random networks; the general features of `features.py` err by 4 %.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from math import ceil
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenas.costs import engine_geometry as geometry
from edgenas.latency import Array, Part
from edgenas.latency.regression import (
    UNKNOWN_STD,
    agreement,
    cross_validate,
    damaged,
    folds_of,
    number,
    observations,
    require_fit,
)
from edgenas.spaces.layer import Layer
from firmware_tools.plan.operators import CONV_CHANNELS, DENSE_CHANNELS, LANES, PIXELS

# Loops by the kind of layer, and their cost before any measurement: instructions of a Cortex-M4, fitted on 350 single
# operators in an emulator. Only the ratios matter.
START: Mapping[str, float] = {
    "conv": 69.0,
    "conv.triples": 246.0,  # three pixels are computed at a time ...
    "conv.blocks": 64.0,  # ... for two channels ...
    "conv.products": 19.4,  # ... from four inputs ...
    "conv.turns": 3.0,  # ... eight times in one turn of the loop
    "conv.words": 10.7,  # four inputs of three pixels, widened
    "conv.rows": 13.5,  # of a patch, of three pixels
    "conv.byte_rows": 1.0,  # the same where rows are no whole words ...
    "conv.bytes": 45.0,
    "conv.border_rows": 110.0,  # ... and of patches that reach over the edge
    "conv.border_bytes": 4.8,
    "depthwise": 100.0,
    "depthwise.gathered": 49.0,  # two columns of four channels, widened
    "depthwise.groups": 141.0,  # four channels
    "depthwise.strips": 200.0,  # of one channel
    "depthwise.kept": 9.0,  # two columns that two strips share
    "depthwise.cleared": 4.1,
    "depthwise.filled": 11.0,
    "depthwise.pairs.k3s1": 21.0,  # of outputs of one channel, by kernel and stride
    "depthwise.odd.k3s1": 18.0,  # an output that is left of a row of pairs
    "depthwise.rows.k3s1": 10.0,
    "depthwise.parts.k3s1": 10.0,
    "depthwise.pairs.k3s2": 37.0,
    "depthwise.odd.k3s2": 27.0,
    "depthwise.rows.k3s2": 120.0,
    "depthwise.parts.k3s2": 10.0,
    "depthwise.pairs.k5s1": 154.0,
    "depthwise.odd.k5s1": 147.0,
    "depthwise.rows.k5s1": 98.0,
    "depthwise.parts.k5s1": 20.0,
    "depthwise.pairs.k5s2": 121.0,
    "depthwise.odd.k5s2": 115.0,
    "depthwise.rows.k5s2": 96.0,
    "depthwise.parts.k5s2": 20.0,
    "dense": 50.0,
    "dense.inputs": 15.7,
    "dense.products": 18.0,
    "dense.outputs": 37.0,
    "pool": 38.0,
    "pool.elements": 2.5,
    "pool.channels": 59.0,
    "add": 139.0,
    "add.elements": 15.0,
}
# Loops that older profiles do not have.
_ADDED = ("conv.turns", *(name for name in START if name.startswith("depthwise.odd.")))
# Squared ratio of the relative error of a prediction to that of a cost in START; cross-validation chooses. Counts have
# no noise, so about 30 networks determine the costs; with fewer, too many costs stay undetermined.
_RIDGES = (1e-3, 1e-5, 1e-7)
_MIN_BIAS = 1e-3  # share of the latency, because a start of zero would stay zero
_ENOUGH = 8  # architectures that can be cross-validated


@dataclass(frozen=True)
class EngineModel:
    """Milliseconds (or millions of instructions) as `bias_ms` + sum over layers of unit costs x turns of loops.

    unit_costs: of one turn of each loop of START, none negative. relative_std: of a prediction, cross-validated.
    measurements: 0 before `fit`; the unit costs are then only relative to each other.
    """

    unit_costs: tuple[float, ...] = tuple(START.values())
    bias_ms: float = 0.0
    relative_std: float = UNKNOWN_STD
    measurements: int = 0

    def fit(
        self,
        architectures: Sequence[Sequence[Part]],
        latency_ms: Sequence[float],
        weights: Sequence[float] | None = None,
    ) -> EngineModel:
        """As `LatencyModel.fit`. Relative errors are minimised, so small networks count as much as large ones."""
        y, w = observations(architectures, latency_ms, weights)
        x, folds = _matrix(architectures), folds_of(architectures)
        prices = np.array(self.unit_costs)
        start = np.array((self.bias_ms, *_filled(prices, prices == 0)))  # a start of 0 would stay 0
        solvers = [partial(_solve, ridge=ridge) for ridge in _RIDGES]
        std, solver = min(((cross_validate(x, y, w, start, folds, by), by) for by in solvers), key=itemgetter(0))
        if len(np.unique(folds)) < _ENOUGH:
            std = max(std, self.relative_std)
        solved = solver(x, y, w, start)
        return EngineModel(tuple(map(float, solved[1:])), float(solved[0]), float(std), len(y))

    def predict(self, architectures: Sequence[Sequence[Part]]) -> tuple[Array, Array]:
        """As `LatencyModel.predict`."""
        require_fit(self.measurements)
        mean = _matrix(architectures) @ np.array((self.bias_ms, *self.unit_costs))
        return mean, mean * self.relative_std

    def block_ms(self, block: Part) -> float:
        """As `LatencyModel.block_ms`; cached."""
        require_fit(self.measurements)
        return float(_turns(block) @ np.array(self.unit_costs))

    def scaled(self, factor: float) -> EngineModel:
        """The same model in another unit, of which there are `factor` in one of this model's."""
        unit_costs = tuple(factor * cost for cost in self.unit_costs)
        return replace(self, unit_costs=unit_costs, bias_ms=factor * self.bias_ms)

    def to_json(self) -> dict[str, Any]:
        """As `LatencyModel.to_json`."""
        return {
            "model": "engine",
            "bias_ms": self.bias_ms,
            "prices": dict(zip(START, self.unit_costs, strict=True)),
            "relative_std": self.relative_std,
            "measurements": self.measurements,
        }

    @classmethod
    def from_json(cls, table: Mapping[str, Any], file: str = "latency model") -> EngineModel:
        """As `LatencyModel.from_json`."""
        prices = table.get("prices")
        if not isinstance(prices, Mapping):
            raise damaged(file, "prices", table)
        known = {**dict.fromkeys(_ADDED, 0.0), **prices}
        read = np.array([number(known, name, file) for name in START])
        filled = _filled(read, np.array([name not in prices for name in START]))
        return cls(
            unit_costs=tuple(map(float, filled)),
            bias_ms=number(table, "bias_ms", file),
            relative_std=number(table, "relative_std", file),
            measurements=int(number(table, "measurements", file)),
        )


def _filled(prices: Array, gaps: NDArray[np.bool_]) -> Array:
    """`prices`, with those of START in the `gaps`, scaled as the other prices are to START."""
    start = np.array(tuple(START.values()))
    factor = np.median(prices[~gaps] / start[~gaps]) if not gaps.all() else 1.0
    return np.where(gaps, factor * start, prices)


def _solve(x: Array, y: Array, w: Array, start: Array, *, ridge: float) -> Array:
    """Costs >= 0 that minimise weighted squared relative errors + `ridge` x the squared relative distance from `start`.

    The start is scaled to the data first, so that a loop that the measurements hardly determine keeps its ratio to the
    other loops.
    """
    from scipy.optimize import nnls

    scaled = start * agreement(y, x @ start)
    scaled[0] = max(scaled[0], _MIN_BIAS * float(np.median(y)))
    root = np.sqrt(w)
    left = np.vstack([x * scaled / y[:, None] * root[:, None], np.sqrt(ridge) * np.eye(len(start))])
    right = np.concatenate([root, np.sqrt(ridge) * np.ones(len(start))])
    solved: Array = nnls(left, right)[0] * scaled
    return solved


def _matrix(architectures: Sequence[Sequence[Part]]) -> Array:
    """Turns summed over each architecture's blocks, shape (architectures, 1 + START); column 0 is 1, for the bias."""
    return np.array([[1.0, *np.sum([_turns(block) for block in blocks], axis=0)] for blocks in architectures])


_PLACE = {name: index for index, name in enumerate(START)}


@lru_cache(maxsize=200_000)
def _turns(block: Part) -> Array:
    """How often the block's loops turn, in the order of START."""
    row = np.zeros(len(START))
    for layer in block.layers():
        for name, count in _LOOPS.get(layer.kind, _nothing)(layer):
            row[_PLACE[name]] += count
    return row


_Turns = Iterator[tuple[str, float]]


def _nothing(layer: Layer) -> _Turns:
    """A PAD becomes a part of the convolution behind it when the plan is made."""
    return iter(())


def _conv(layer: Layer) -> _Turns:
    pixels, kernel = layer.h_out * layer.w_out, layer.kernel
    run = kernel * layer.c_in
    triples, groups = ceil(pixels / PIXELS), geometry.patch_words(layer)
    blocks = geometry.packed_channels(layer) // CONV_CHANNELS
    yield "conv", 1
    yield "conv.triples", triples
    yield "conv.blocks", triples * blocks
    yield "conv.products", triples * blocks * groups
    yield "conv.turns", triples * blocks * ceil(groups / 8)
    if run % 4:
        yield "conv.byte_rows", pixels * kernel
        yield "conv.bytes", pixels * kernel * run
        return
    yield "conv.words", triples * groups
    yield "conv.rows", triples * kernel
    height, width = geometry.input_size(layer)
    border = pixels - _inside(layer, height, layer.h_out) * _inside(layer, width, layer.w_out)
    yield "conv.border_rows", border * kernel
    yield "conv.border_bytes", border * run


def _inside(layer: Layer, size: int, outputs: int) -> int:
    """How many of the outputs along an axis have a window that lies inside the input, which has `size` rows."""
    pad, _ = geometry.padding(layer)
    last = (size + pad - layer.kernel) // layer.stride
    return max(0, min(last, outputs - 1) - ceil(pad / layer.stride) + 1)


def _depthwise(layer: Layer) -> _Turns:
    (pad, _), (height, width) = geometry.padding(layer), geometry.input_size(layer)
    columns, strip = geometry.column_pairs(layer), geometry.strip_rows(layer)
    groups, strips = ceil(layer.c_out / LANES), ceil(layer.h_out / strip)
    rows = geometry.strip_inputs(layer, strip)
    kept = max(0, layer.kernel - layer.stride)
    late = pad % 2  # pairs of columns begin at even ones
    reached = strips * (rows - kept) + kept  # rows, with those above and below the input
    yield "depthwise", 1
    yield "depthwise.gathered", groups * height * (late + ceil((width - late) / 2))
    yield "depthwise.groups", groups
    yield "depthwise.strips", layer.c_out * strips
    yield "depthwise.kept", layer.c_out * (strips - 1) * kept * columns
    yield "depthwise.cleared", 4 * rows * columns
    yield "depthwise.filled", layer.c_out * (reached - min(height, reached - pad)) * columns
    of = f"k{min(5, max(3, layer.kernel))}s{min(2, layer.stride)}"
    yield f"depthwise.pairs.{of}", layer.c_out * layer.h_out * (layer.w_out // 2)
    yield f"depthwise.odd.{of}", layer.c_out * layer.h_out * (layer.w_out % 2)
    yield f"depthwise.rows.{of}", layer.c_out * layer.h_out
    yield f"depthwise.parts.{of}", layer.c_out * strips


def _dense(layer: Layer) -> _Turns:
    yield "dense", 1
    yield "dense.inputs", layer.c_in
    blocks = geometry.packed_channels(layer) // DENSE_CHANNELS
    yield "dense.products", blocks * geometry.patch_words(layer)
    yield "dense.outputs", layer.c_out


def _pool(layer: Layer) -> _Turns:
    yield "pool", 1
    yield "pool.elements", layer.elements_in
    yield "pool.channels", layer.c_out


def _add(layer: Layer) -> _Turns:
    yield "add", 1
    yield "add.elements", layer.elements_out


_LOOPS = {"conv": _conv, "conv1x1": _conv, "depthwise": _depthwise, "dense": _dense, "pool": _pool, "add": _add}
