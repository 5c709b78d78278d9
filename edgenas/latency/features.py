"""A few features of every layer, priced by non-negative least squares on whole measured networks.

Kernel-level predictors such as nn-Meter (Zhang et al., MobiSys 2021) learn each kernel from thousands measured
alone; here whole networks are regressed on few features, because a minute of measuring yields some thirty networks, and
because kernels measured alone do not add up to a network. What makes few features enough is the tile: engines compute
channels in tiles and pay for the padding. With multiply-accumulates as counted, the cross-validated error on random
networks of one x86 host was 12 %; with those of the engine's tile, about 2 %. The tile differs by board, runtime and
precision, so it is chosen from `TILES` by cross-validation together with the prices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgenas.errors import ProfileError
from edgenas.latency import Array
from edgenas.space import Block

Indices = NDArray[np.int64]


class Tile(NamedTuple):
    """How an engine pads channels: outputs to `small` up to there, then to a multiple of `large`; inputs to `c_in`.

    Depthwise convolutions pad to a multiple of `small`.
    """

    small: int
    large: int
    c_in: int


# Scalar engines; Arm's 4 and 8 lanes; 16 lanes; dot products of 4 and 8 inputs; two 16-lane registers per tile.
TILES = (
    Tile(1, 1, 1),
    Tile(4, 4, 1),
    Tile(8, 8, 1),
    Tile(8, 8, 4),
    Tile(16, 16, 1),
    Tile(16, 16, 4),
    Tile(16, 16, 8),
    Tile(16, 32, 1),
)
_TILED = ("conv", "conv1x1", "depthwise")  # the kinds that are priced by work done in tiles
FEATURES = (
    "operators",
    *(f"{kind}.macs" for kind in _TILED),  # multiply-accumulates with padded channels
    *(f"{kind}.outputs" for kind in _TILED),  # output elements with padded channels: requantise, activate, store
    "elements",  # read and written by all other layers
    "weights",  # loaded, whatever the layer
)
# Prices relative to each other before anything is measured, from two precisions of one host and a Cortex-M4.
_START = (2000.0, 1.0, 1.0, 5.0, 20.0, 20.0, 20.0, 4.0, 5.0)
_RIDGE = 0.03  # weight of the start against one measurement: it decides only what the measurements leave open
_FOLDS = 10
_MIN_FOR_TILE = 8  # fewer architectures cannot tell tiles apart
_UNKNOWN_STD = 0.3  # relative, while there is too little to cross-validate


@dataclass(frozen=True)
class FeatureModel:
    """Milliseconds as `bias_ms` + sum over layers of prices x features.

    prices: milliseconds per unit of each of `FEATURES`, none negative. relative_std: of a prediction, cross-validated.
    measurements: 0 before `fit`; the prices are then only relative to each other.
    """

    prices: tuple[float, ...] = _START
    bias_ms: float = 0.0
    tile: Tile = TILES[0]
    relative_std: float = _UNKNOWN_STD
    measurements: int = 0

    def fit(
        self,
        architectures: Sequence[Sequence[Block]],
        latency_ms: Sequence[float],
        weights: Sequence[float] | None = None,
    ) -> FeatureModel:
        """As `LatencyModel.fit`. Relative errors are minimised, so small networks count as much as large ones."""
        y = np.asarray(latency_ms, dtype=np.float64)
        w = np.ones_like(y) if weights is None else np.asarray(weights, dtype=np.float64)
        if len(y) == 0 or len(y) != len(architectures) or len(w) != len(y):
            raise ValueError(f"{len(architectures)} architectures, {len(y)} latencies, {len(w)} weights")
        if not np.all(np.isfinite(y) & (y > 0)) or not np.all(np.isfinite(w) & (w > 0)):
            raise ValueError("latencies and weights must be positive")
        w = w / w.max()
        layers, owners = _layers(architectures)
        folds = _folds(architectures)
        start = np.array((self.bias_ms, *self.prices))
        enough = len(np.unique(folds)) >= _MIN_FOR_TILE
        best, tile, matrix = np.inf, self.tile, np.empty((0, 0))
        for candidate in TILES if enough else (self.tile,):
            x = _matrix(layers, owners, len(y), candidate)
            error = _cross_validate(x, y, w, start, folds)
            if error < best or not matrix.size:
                best, tile, matrix = error, candidate, x
        solved = _solve(matrix, y, w, start)
        std = best if enough else max(best, self.relative_std)
        return FeatureModel(tuple(map(float, solved[1:])), float(solved[0]), tile, float(std), len(y))

    def predict(self, architectures: Sequence[Sequence[Block]]) -> tuple[Array, Array]:
        """As `LatencyModel.predict`."""
        self._require_fit()
        layers, owners = _layers(architectures)
        mean = _matrix(layers, owners, len(architectures), self.tile) @ np.array((self.bias_ms, *self.prices))
        return mean, mean * self.relative_std

    def block_ms(self, block: Block) -> float:
        """As `LatencyModel.block_ms`; cached. Thousands of blocks are priced faster by `predict`, one per row."""
        self._require_fit()
        return _block_ms(self, block)

    def to_json(self) -> dict[str, Any]:
        """As `LatencyModel.to_json`."""
        return {
            "model": "features",
            "tile": list(self.tile),
            "bias_ms": self.bias_ms,
            "prices": dict(zip(FEATURES, self.prices, strict=True)),
            "relative_std": self.relative_std,
            "measurements": self.measurements,
        }

    @classmethod
    def from_json(cls, table: Mapping[str, Any], file: str = "latency model") -> FeatureModel:
        """As `LatencyModel.from_json`."""
        tile = table.get("tile")
        if not (isinstance(tile, list) and len(tile) == 3 and all(isinstance(n, int) and n > 0 for n in tile)):
            raise _damaged(file, "tile", table)
        prices = table.get("prices")
        if not isinstance(prices, Mapping):
            raise _damaged(file, "prices", table)
        return cls(
            prices=tuple(_number(prices, name, file) for name in FEATURES),
            bias_ms=_number(table, "bias_ms", file),
            tile=Tile(*tile),
            relative_std=_number(table, "relative_std", file),
            measurements=int(_number(table, "measurements", file)),
        )

    def _require_fit(self) -> None:
        if self.measurements == 0:
            raise ValueError("a latency model predicts only after fit")


@lru_cache(maxsize=200_000)
def _block_ms(model: FeatureModel, block: Block) -> float:
    layers, owners = _layers([(block,)])
    return float(_matrix(layers, owners, 1, model.tile)[0, 1:] @ np.array(model.prices))


@lru_cache(maxsize=200_000)
def _rows(block: Block) -> tuple[tuple[int, ...], ...]:
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


def _layers(architectures: Sequence[Sequence[Block]]) -> tuple[Array, Indices]:
    """All layers, one under the other (layers, 7), and the architecture that each belongs to (layers,)."""
    rows = [(index, *row) for index, blocks in enumerate(architectures) for block in blocks for row in _rows(block)]
    table = np.array(rows, dtype=np.float64).reshape(len(rows), 8)
    return table[:, 1:], table[:, 0].astype(np.int64)


def _matrix(layers: Array, owners: Indices, count: int, tile: Tile) -> Array:
    """Features summed over each architecture's layers, shape (count, 1 + FEATURES); column 0 is the bias's 1."""
    kind, pixels, taps, c_in, c_out, elements, weights = layers.T
    depthwise = kind == _TILED.index("depthwise")
    small = np.ceil(c_out / tile.small) * tile.small
    large = np.where(c_out <= tile.small, tile.small, np.ceil(c_out / tile.large) * tile.large)
    outputs = pixels * np.where(depthwise, small, large)
    macs = outputs * taps * np.where(depthwise, 1, np.ceil(c_in / tile.c_in) * tile.c_in)
    of_kind = [kind == index for index in range(len(_TILED) + 1)]
    columns = [np.ones(len(layers))]
    columns += [macs * mask for mask in of_kind[:-1]]
    columns += [outputs * mask for mask in of_kind[:-1]]
    columns += [elements * of_kind[-1], weights]
    return np.stack([np.ones(count)] + [np.bincount(owners, column, minlength=count) for column in columns], axis=1)


def _solve(x: Array, y: Array, w: Array, start: Array) -> Array:
    """Prices >= 0 that minimise the weighted squared relative error plus `_RIDGE` x the squared distance from `start`.

    The start is scaled to the data first. Distance is counted in shares of the latency, so that features of any unit
    weigh alike; a feature that occurs nowhere in `x` keeps the (scaled) price of the start.
    """
    from scipy.optimize import nnls

    start = start * np.median(y / (x @ start))
    relative = x / y[:, None]
    share = relative.mean(axis=0)
    share[share == 0] = 1 / (start[share == 0] + 1e-30)
    root, ridge = np.sqrt(w), np.sqrt(_RIDGE)
    left = np.vstack([relative / share * root[:, None], ridge * np.eye(x.shape[1])])
    right = np.concatenate([root, ridge * start * share])
    solved: Array = nnls(left, right)[0] / share
    return solved


def _folds(architectures: Sequence[Sequence[Block]]) -> Indices:
    """The fold of every row, at most `_FOLDS`; repeated measurements of one architecture share it."""
    known: dict[tuple[Block, ...], int] = {}
    group = [known.setdefault(tuple(blocks), len(known)) for blocks in architectures]
    shuffled = np.random.default_rng(0).permutation(len(known))
    folds: Indices = shuffled[group] % _FOLDS
    return folds


def _cross_validate(x: Array, y: Array, w: Array, start: Array, folds: Indices) -> float:
    """Weighted root mean square of the relative error on rows left out; `_UNKNOWN_STD` with fewer than two folds."""
    numbers = np.unique(folds)
    if len(numbers) < 2:
        return _UNKNOWN_STD
    error = np.empty_like(y)
    for number in numbers:
        out = folds == number
        error[out] = x[out] @ _solve(x[~out], y[~out], w[~out], start) / y[out] - 1
    return float(np.sqrt(np.average(error**2, weights=w)))


def _number(table: Mapping[str, Any], key: str, file: str) -> float:
    value = table.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise _damaged(file, key, table)
    return float(value)


def _damaged(file: str, key: str, table: Mapping[str, Any]) -> ProfileError:
    reason = f"is {table[key]!r}, which is no such value" if key in table else "is missing"
    message = f"{file}: key {key!r} {reason}; delete it and run `edgenas profile` to measure again"
    return ProfileError(message, file=file, key=key)
