# SPDX-License-Identifier: Apache-2.0
"""A few features of every layer; non-negative least squares on whole measured networks gives the cost of each.

Kernel-level predictors such as nn-Meter (Zhang et al., MobiSys 2021) learn each kernel from thousands of isolated
measurements. This model regresses whole networks on few features, because a minute of measuring yields about thirty
networks, and because isolated kernels do not add up to a network. Few features suffice thanks to the tile: engines
compute channels in tiles and pay for the padding. With plain multiply-accumulates the cross-validated error on random
networks of one x86 host was 12 %; with those padded to the engine's tile, about 2 %. The tile differs by board, runtime
and precision, so it is chosen from `TILES` by cross-validation together with the unit costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from edgenas.checks import is_whole
from edgenas.latency import Array, Part
from edgenas.latency.regression import (
    RIDGE,
    UNKNOWN_STD,
    Indices,
    cross_validate,
    damaged,
    folds_of,
    number,
    observations,
    require_fit,
    solve,
)

_LANES = 16  # of the widest vectors that are padded for: float32 in 512 bits, 8-bit values in 128
_UNIT_ROWS = 16  # of the operands of Intel's AMX


class Tile(NamedTuple):
    """How an engine pads channels: outputs to `small` up to there, then to a multiple of `large`; inputs to `c_in`.

    A `small` wider than any vector means matrix units.
    """

    small: int
    large: int
    c_in: int

    @property
    def lanes(self) -> int:
        """Depthwise convolutions pad to a multiple of this: vectors compute them even on boards with matrix units."""
        return min(self.small, _LANES)

    @property
    def rows(self) -> int:
        """Other convolutions pad their pixels to a multiple of this: the rows of a matrix unit's operand, else 1."""
        return _UNIT_ROWS if self.small > _LANES else 1


# Scalar engines; Arm's 4 and 8 lanes; 16 lanes; dot products of 4 and 8 inputs; two 16-lane registers per tile; matrix
# units.
TILES = (
    Tile(1, 1, 1),
    Tile(4, 4, 1),
    Tile(8, 8, 1),
    Tile(8, 8, 4),
    Tile(16, 16, 1),
    Tile(16, 16, 4),
    Tile(16, 16, 8),
    Tile(16, 32, 1),
    Tile(64, 64, 4),
)
_TILED = ("conv", "conv1x1", "depthwise")  # the kinds that are priced by work done in tiles
FEATURES = (
    "operators",
    *(f"{kind}.macs" for kind in _TILED),  # multiply-accumulates with padded channels
    *(f"{kind}.outputs" for kind in _TILED),  # output elements with padded channels: requantise, activate, store
    *(f"{kind}.pixels" for kind in _TILED),  # without channels: with matrix units only the set-up remains
    "elements",  # read and written by all other layers
    "weights",  # loaded, whatever the layer
)
# Relative costs before any measurement, from two precisions of one host and a Cortex-M4; those of pixels are guesses.
_START = (2000.0, 1.0, 1.0, 5.0, 20.0, 20.0, 20.0, 5.0, 5.0, 5.0, 4.0, 5.0)
_ADDED = tuple(f"{kind}.pixels" for kind in _TILED)  # older profiles do not have them
_MIN_SHARE = 0.1  # a learnt cost stays regularised even if its feature is a small share of the new latencies
_MAX_TILE = 1 << 12  # of a saved model, channels
_MIN_FOR_TILE = 8  # fewer architectures cannot tell tiles apart


@dataclass(frozen=True)
class FeatureModel:
    """Milliseconds as `bias_ms` + sum over layers of unit costs x features.

    unit_costs: milliseconds per unit of each of `FEATURES`, none negative. relative_std: of a prediction,
    cross-validated. measurements: 0 before `fit`; the unit costs are then only relative to each other.
    """

    unit_costs: tuple[float, ...] = _START
    bias_ms: float = 0.0
    tile: Tile = TILES[0]
    relative_std: float = UNKNOWN_STD
    measurements: int = 0

    def fit(
        self,
        architectures: Sequence[Sequence[Part]],
        latency_ms: Sequence[float],
        weights: Sequence[float] | None = None,
    ) -> FeatureModel:
        """As `LatencyModel.fit`. Relative errors are minimised, so small networks count as much as large ones."""
        y, w = observations(architectures, latency_ms, weights)
        layers, owners = _layers(architectures)
        folds = folds_of(architectures)
        start = np.array((self.bias_ms, *self.unit_costs))
        enough = len(np.unique(folds)) >= _MIN_FOR_TILE
        best, tile, matrix = np.inf, self.tile, np.empty((0, 0))
        for candidate in TILES if enough else (self.tile,):
            x = _matrix(layers, owners, len(y), candidate)
            error = cross_validate(x, y, w, start, folds)
            if error < best or not matrix.size:
                best, tile, matrix = error, candidate, x
        solved = solve(matrix, y, w, start, *self._trust(y))
        std = best if enough else max(best, self.relative_std)
        return FeatureModel(tuple(map(float, solved[1:])), float(solved[0]), tile, float(std), len(y))

    def refit(
        self,
        architectures: Sequence[Sequence[Part]],
        latency_ms: Sequence[float],
        weights: Sequence[float] | None = None,
    ) -> FeatureModel:
        """Fit only the unit costs; the tile and the standard deviation stay."""
        return self.priced(self.matrix(architectures), *observations(architectures, latency_ms, weights))

    def matrix(self, architectures: Sequence[Sequence[Part]]) -> Array:
        """The bias's 1 and each of `FEATURES`, shape (architectures, 1 + FEATURES)."""
        layers, owners = _layers(architectures)
        return _matrix(layers, owners, len(architectures), self.tile)

    def priced(self, x: Array, y: Array, w: Array) -> FeatureModel:
        """As `refit`, of networks whose `matrix` is `x`; milliseconds `y`, and weights of which the largest is 1."""
        solved = solve(x, y, w, np.array((self.bias_ms, *self.unit_costs)), *self._trust(y))
        return replace(self, unit_costs=tuple(map(float, solved[1:])), bias_ms=float(solved[0]), measurements=len(y))

    def _trust(self, y: Array) -> tuple[float, float]:
        """`ridge` and `least` of `solve`: unit costs fitted on more measurements than the given ones change less."""
        more = self.measurements / len(y)
        return (RIDGE * more, _MIN_SHARE) if more > 1 else (RIDGE, 0.0)

    def mixed(self, other: FeatureModel, share: float) -> FeatureModel:
        """The weighted mean of this model (`share`) and of the `other` (1 - share), which has the same tile."""
        pairs = zip(self.unit_costs, other.unit_costs, strict=True)
        unit_costs = tuple(share * mine + (1 - share) * its for mine, its in pairs)
        return replace(self, unit_costs=unit_costs, bias_ms=share * self.bias_ms + (1 - share) * other.bias_ms)

    def costs(self, architectures: Sequence[Sequence[Part]]) -> Array:
        """Milliseconds of the bias and of each of `FEATURES`, shape (architectures, 1 + FEATURES)."""
        require_fit(self.measurements)
        costs: Array = self.matrix(architectures) * np.array((self.bias_ms, *self.unit_costs))
        return costs

    def corrected(self, shares: Array) -> FeatureModel:
        """Each unit cost times 1 + its share, shape (FEATURES,), and at least 0."""
        return replace(self, unit_costs=tuple(map(float, np.maximum(1 + shares, 0.0) * np.array(self.unit_costs))))

    def predict(self, architectures: Sequence[Sequence[Part]]) -> tuple[Array, Array]:
        """As `LatencyModel.predict`."""
        mean = self.costs(architectures).sum(axis=1)
        return mean, mean * self.relative_std

    def block_ms(self, block: Part) -> float:
        """As `LatencyModel.block_ms`; cached. For thousands of blocks `predict`, with one block a row, is faster."""
        require_fit(self.measurements)
        return _block_ms(self, block)

    def to_json(self) -> dict[str, Any]:
        """As `LatencyModel.to_json`."""
        return {
            "model": "features",
            "tile": list(self.tile),
            "bias_ms": self.bias_ms,
            "prices": dict(zip(FEATURES, self.unit_costs, strict=True)),
            "relative_std": self.relative_std,
            "measurements": self.measurements,
        }

    @classmethod
    def from_json(cls, table: Mapping[str, Any], file: str = "latency model") -> FeatureModel:
        """As `LatencyModel.from_json`."""
        tile = table.get("tile")
        if not (isinstance(tile, list) and len(tile) == 3 and all(is_whole(n, 1, _MAX_TILE) for n in tile)):
            raise damaged(file, "tile", table)
        prices = table.get("prices")
        if not isinstance(prices, Mapping):
            raise damaged(file, "prices", table)
        return cls(
            unit_costs=tuple(number({**dict.fromkeys(_ADDED, 0.0), **prices}, name, file) for name in FEATURES),
            bias_ms=number(table, "bias_ms", file),
            tile=Tile(*tile),
            relative_std=number(table, "relative_std", file),
            measurements=int(number(table, "measurements", file)),
        )


@lru_cache(maxsize=200_000)
def _block_ms(model: FeatureModel, block: Part) -> float:
    layers, owners = _layers([(block,)])
    return float(_matrix(layers, owners, 1, model.tile)[0, 1:] @ np.array(model.unit_costs))


@lru_cache(maxsize=200_000)
def _rows(block: Part) -> tuple[tuple[int, ...], ...]:
    """Per layer: kind (its place in `_TILED`, else 3), pixels, taps, c_in, c_out, elements moved, weights."""
    return tuple(
        (
            _TILED.index(layer.kind) if layer.kind in _TILED else len(_TILED),
            layer.h_out * layer.w_out,
            layer.kernel**2,
            layer.c_in,
            layer.c_out,
            layer.elements_in + layer.elements_out,
            layer.weights,
        )
        for layer in block.layers()
    )


def _layers(architectures: Sequence[Sequence[Part]]) -> tuple[Array, Indices]:
    """All layers, stacked (layers, 7), and the index of each one's architecture (layers,)."""
    rows = [(index, *row) for index, blocks in enumerate(architectures) for block in blocks for row in _rows(block)]
    table = np.array(rows, dtype=np.float64).reshape(len(rows), 8)
    return table[:, 1:], table[:, 0].astype(np.int64)


def _matrix(layers: Array, owners: Indices, count: int, tile: Tile) -> Array:
    """Features summed over each architecture's layers, shape (count, 1 + FEATURES); column 0 is the bias's 1."""
    kind, pixels, taps, c_in, c_out, elements, weights = layers.T
    depthwise = kind == _TILED.index("depthwise")
    pixels = np.where(depthwise, pixels, np.ceil(pixels / tile.rows) * tile.rows)
    vectors = np.ceil(c_out / tile.lanes) * tile.lanes
    channels = np.where(c_out <= tile.small, tile.small, np.ceil(c_out / tile.large) * tile.large)
    outputs = pixels * np.where(depthwise, vectors, channels)
    macs = outputs * taps * np.where(depthwise, 1, np.ceil(c_in / tile.c_in) * tile.c_in)
    of_kind = [kind == index for index in range(len(_TILED) + 1)]
    columns = [np.ones(len(layers))]
    columns += [macs * mask for mask in of_kind[:-1]]
    columns += [outputs * mask for mask in of_kind[:-1]]
    columns += [pixels * mask for mask in of_kind[:-1]]
    columns += [elements * of_kind[-1], weights]
    return np.stack([np.ones(count)] + [np.bincount(owners, column, minlength=count) for column in columns], axis=1)
