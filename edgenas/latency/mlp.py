# SPDX-License-Identifier: Apache-2.0
"""A small neural network on one-hot parts: LightNAS (Luo et al., DAC 2022), 128 and 64 hidden units with ReLU.

It is exact after thousands of measurements and poor after tens; the published predictors can be loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from edgenas.latency import Array, Part
from edgenas.latency.calibration import scaling
from edgenas.latency.parts import LEVELS, Names, counts, numbers, strings, vocabulary
from edgenas.latency.regression import UNKNOWN_STD, damaged, folds_of, number, observations

if TYPE_CHECKING:
    import torch

_HIDDEN = (128, 64)
_ENOUGH = 8  # architectures that can be cross-validated
_FOLDS = 4
_STEPS, _BATCH = 400, 64
_RATE, _DECAY = 5e-3, 1e-3

Weights = tuple[Array, ...]


@dataclass(frozen=True, eq=False)
class MLPModel:
    """Milliseconds as `offset_ms` + `unit_ms` x the network's output.

    level, names: the input's columns, as `parts.counts` takes them; other parts are ignored. weights: of the three
    layers, each a matrix (outputs, inputs) and a vector (outputs,). relative_std: of a prediction, cross-validated.
    measurements: 0 before `fit`.
    """

    level: str = "place"
    names: Names = ()
    weights: Weights = ()
    offset_ms: float = 0.0
    unit_ms: float = 1.0
    relative_std: float = UNKNOWN_STD
    measurements: int = 0

    def fit(
        self,
        architectures: Sequence[Sequence[Part]],
        latency_ms: Sequence[float],
        weights: Sequence[float] | None = None,
    ) -> MLPModel:
        """As `LatencyModel.fit`. Training starts from this model's weights if it has the same columns."""
        y, w = observations(architectures, latency_ms, weights)
        same = len({len(parts) for parts in architectures}) == 1
        level = self.level if self.names else ("place" if same else "identity")
        found = vocabulary(architectures, level)
        start = self.weights if set(found) <= set(self.names) else ()
        names = self.names if start else found
        x = counts(architectures, level, names)[0]
        offset, unit = float(np.average(y, weights=w)), float(y.std()) or float(y[0])
        target = (y - offset) / unit
        folds, std = folds_of(architectures) % _FOLDS, self.relative_std
        if len(np.unique(folds_of(architectures))) >= _ENOUGH:
            held = np.empty_like(y)
            for fold in np.unique(folds):
                out = folds == fold
                held[out] = _forward(_trained(x[~out], target[~out], w[~out], start), x[out])
            std = scaling((offset + unit * held) / y - 1, np.ones_like(y))
        return MLPModel(level, names, _trained(x, target, w, start), offset, unit, std, len(y))

    def predict(self, architectures: Sequence[Sequence[Part]]) -> tuple[Array, Array]:
        """As `LatencyModel.predict`."""
        if self.measurements == 0:
            raise ValueError("a latency model predicts only after fit")
        x = counts(architectures, self.level, self.names)[0]
        mean = self.offset_ms + self.unit_ms * _forward(self.weights, x)
        return mean, np.abs(mean) * self.relative_std

    def to_json(self) -> dict[str, Any]:
        """As `LatencyModel.to_json`."""
        return {
            "model": "mlp",
            "level": self.level,
            "names": list(self.names),
            "weights": [array.tolist() for array in self.weights],
            "offset_ms": self.offset_ms,
            "unit_ms": self.unit_ms,
            "relative_std": self.relative_std,
            "measurements": self.measurements,
        }

    @classmethod
    def from_json(cls, table: Mapping[str, Any], file: str = "latency model") -> MLPModel:
        """As `LatencyModel.from_json`."""
        names, weights = strings(table, "names", file), table.get("weights")
        if table.get("level") not in LEVELS:
            raise damaged(file, "level", table)
        if not isinstance(weights, list) or len(weights) != 2 * (len(_HIDDEN) + 1):
            raise damaged(file, "weights", table)
        widths = (len(names), *_HIDDEN, 1)
        shapes = [shape for i, o in pairwise(widths) for shape in ((o, i), (o,))]
        arrays = [numbers({"weights": a}, "weights", file, shape) for a, shape in zip(weights, shapes, strict=True)]
        return cls(
            level=table["level"],
            names=names,
            weights=tuple(arrays),
            offset_ms=float(numbers(table, "offset_ms", file, ())),
            unit_ms=number(table, "unit_ms", file),
            relative_std=number(table, "relative_std", file),
            measurements=int(number(table, "measurements", file)),
        )

    def published(self, weights: Sequence[Array], measurements: int) -> MLPModel:
        """This model with another's weights, trained on `measurements` networks; its output is in milliseconds."""
        arrays = tuple(np.asarray(array, dtype=np.float64) for array in weights)
        return replace(self, weights=arrays, measurements=measurements)


def _forward(weights: Weights, x: Array) -> Array:
    for matrix, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        x = np.maximum(x @ matrix.T + bias, 0.0)
    out: Array = (x @ weights[-2].T + weights[-1])[:, 0]
    return out


def _trained(x: Array, target: Array, w: Array, start: Weights) -> Weights:
    """Weights by AdamW with a cosine schedule on the weighted squared error; the same for the same data."""
    from edgenas.spaces.network import one_thread

    with one_thread():
        return _descended(x, target, w, start)


def _descended(x: Array, target: Array, w: Array, start: Weights) -> Weights:
    import torch

    generator = torch.Generator().manual_seed(0)
    layers = _network(x.shape[1], start, generator)
    inputs, outputs, weight = (torch.tensor(array, dtype=torch.float32) for array in (x, target, w))
    optimizer = torch.optim.AdamW(layers, lr=_RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
    for _ in range(_STEPS):
        batch = torch.randint(len(x), (min(_BATCH, len(x)),), generator=generator)
        hidden = inputs[batch]
        for matrix, bias in zip(layers[:-2:2], layers[1:-2:2], strict=True):
            hidden = torch.relu(hidden @ matrix.T + bias)
        error = (hidden @ layers[-2].T + layers[-1])[:, 0] - outputs[batch]
        loss = (weight[batch] * error**2).mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
    return tuple(layer.detach().double().numpy() for layer in layers)


def _network(inputs: int, start: Weights, generator: torch.Generator) -> list[torch.Tensor]:
    """The layers' matrices and biases, from `start` or initialised as in torch.nn.Linear."""
    import torch

    if start:
        return [torch.tensor(array, dtype=torch.float32, requires_grad=True) for array in start]
    layers: list[torch.Tensor] = []
    widths = (inputs, *_HIDDEN, 1)
    for i, o in pairwise(widths):
        for shape in ((o, i), (o,)):
            uniform = torch.rand(shape, generator=generator) * 2 - 1
            layers.append((uniform / max(i, 1) ** 0.5).requires_grad_())
    return layers
