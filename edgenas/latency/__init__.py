# SPDX-License-Identifier: Apache-2.0
"""Latency models: from an architecture's parts to milliseconds on one board. One Protocol, one file per model.

Those that are additive over parts are what lets a search solve for a budget exactly.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from importlib import import_module
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from edgenas.errors import ProfileError, UsageError
from edgenas.spaces.layer import Layer

Array = NDArray[np.float64]

# name -> module:class, imported where asked for
MODELS = {
    "auto": "edgenas.latency.auto:AutoModel",
    "engine": "edgenas.latency.engine:EngineModel",
    "features": "edgenas.latency.features:FeatureModel",
    "gp": "edgenas.latency.gp:GaussianProcess",
    "mlp": "edgenas.latency.mlp:MLPModel",
    "regressed-table": "edgenas.latency.regressed:RegressedTable",
    "table": "edgenas.latency.table:TableModel",
    "transfer": "edgenas.latency.transfer:TransferModel",
}
DEFAULT = "auto"


ADDITIVE = ("auto", "engine", "features", "regressed-table", "table", "transfer")  # these are AdditiveModels


class Part(Hashable, Protocol):
    """What an architecture is made of, and what a latency model prices; `edgenas.spaces.architecture.Block` is one.

    Two parts with the same layers run the same operators: a model may take them for one another.
    """

    def layers(self) -> tuple[Layer, ...]:
        """The operators that run, in their order; none for a part that does not run at all."""


class LatencyModel(Protocol):
    """A latency model, fitted or not; a value, like everything that a profile holds."""

    def fit(
        self,
        architectures: Sequence[Sequence[Part]],
        latency_ms: Sequence[float],
        weights: Sequence[float] | None = None,
    ) -> LatencyModel:
        """A new model fitted on measured architectures, drawn towards this one where they say little.

        weights: how much each measurement counts, relative to the largest. Raises ValueError if the lengths differ, if
        there is nothing to fit, or if a latency is not positive.
        """

    def predict(self, architectures: Sequence[Sequence[Part]]) -> tuple[Array, Array]:
        """(mean_ms, std_ms), each of shape (architectures,): mean +- 1.645 std holds nine in ten new measurements.

        Raises ValueError before `fit`.
        """

    def to_json(self) -> dict[str, Any]:
        """The model as JSON; "model" names it in `MODELS`."""

    @classmethod
    def from_json(cls, table: Mapping[str, Any], file: str = "latency model") -> LatencyModel:
        """Read what `to_json` wrote. Raises ProfileError naming `file` and the key that is missing or wrong."""


class AdditiveModel(LatencyModel, Protocol):
    """A model whose mean is `bias_ms` + the sum of `block_ms` over an architecture's parts."""

    @property
    def bias_ms(self) -> float:
        """Milliseconds of an inference that belong to no part."""

    def block_ms(self, block: Part) -> float:
        """A part's term in milliseconds. Raises ValueError before `fit`."""


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
    if not isinstance(name, str) or name not in MODELS:
        reason = f"is {name!r:.60}, not one of {', '.join(sorted(MODELS))}" if "model" in table else "is missing"
        raise ProfileError(f"{file}: key 'model' {reason}; delete it and run `edgenas profile`", file=file, key="model")
    return _class(name).from_json(table, file)


def load_additive(table: Mapping[str, Any], file: str = "latency model") -> AdditiveModel:
    """As `load`, for what needs the terms of parts. Raises ProfileError also for a model that has none."""
    model = load(table, file)
    if table["model"] not in ADDITIVE:
        reason = f"key 'model' is {table['model']!r:.60}, which has no terms to solve a budget by"
        raise ProfileError(f"{file}: {reason}; delete it and run `edgenas profile`", file=file, key="model")
    return cast("AdditiveModel", model)


def _class(name: str) -> type[LatencyModel]:
    module, _, attribute = MODELS[name].partition(":")
    return cast("type[LatencyModel]", getattr(import_module(module), attribute))
