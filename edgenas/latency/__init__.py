"""Latency models: from an architecture's blocks to milliseconds on one board. One Protocol, one file per model.

All are additive over blocks, which is what lets a search solve for a budget exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from edgenas.errors import ProfileError, UsageError
from edgenas.space import Block

Array = NDArray[np.float64]

# name -> module:class, imported where asked for
MODELS = {
    "features": "edgenas.latency.features:FeatureModel",
    "engine": "edgenas.latency.engine:EngineModel",
}
DEFAULT = "features"


class LatencyModel(Protocol):
    """A latency model, fitted or not; a value, like everything that a profile holds."""

    @property
    def bias_ms(self) -> float:
        """Milliseconds of an inference that belong to no block."""

    def fit(
        self,
        architectures: Sequence[Sequence[Block]],
        latency_ms: Sequence[float],
        weights: Sequence[float] | None = None,
    ) -> LatencyModel:
        """A new model fitted on measured architectures, drawn towards this one where they say little.

        weights: how much each measurement counts, relative to the largest. Raises ValueError if the lengths differ, if
        there is nothing to fit, or if a latency is not positive.
        """

    def predict(self, architectures: Sequence[Sequence[Block]]) -> tuple[Array, Array]:
        """(mean_ms, std_ms), each of shape (architectures,). Raises ValueError before `fit`."""

    def block_ms(self, block: Block) -> float:
        """A block's term in milliseconds: an architecture's mean is `bias_ms` + the sum over its blocks."""

    def to_json(self) -> dict[str, Any]:
        """The model as JSON; "model" names it in `MODELS`."""

    @classmethod
    def from_json(cls, table: Mapping[str, Any], file: str = "latency model") -> LatencyModel:
        """Read what `to_json` wrote. Raises ProfileError naming `file` and the key that is missing or wrong."""


def create(name: str = DEFAULT) -> LatencyModel:
    """An unfitted model by name. Raises UsageError listing the known ones."""
    if name not in MODELS:
        raise UsageError(f"unknown latency model {name!r}: known are {', '.join(sorted(MODELS))}", value=name)
    return _class(name)()


def load(table: Mapping[str, Any], file: str = "latency model") -> LatencyModel:
    """The model that `to_json` wrote, for example `BoardProfile.latency`.

    file: where it was read from, for the message. Raises ProfileError naming it and the key at fault.
    """
    name = table.get("model")
    if name not in MODELS:
        reason = f"is {name!r}, not one of {', '.join(sorted(MODELS))}" if "model" in table else "is missing"
        raise ProfileError(f"{file}: key 'model' {reason}; delete it and run `edgenas profile`", file=file, key="model")
    return _class(name).from_json(table, file)


def _class(name: str) -> type[LatencyModel]:
    module, _, attribute = MODELS[name].partition(":")
    return cast("type[LatencyModel]", getattr(import_module(module), attribute))
