# SPDX-License-Identifier: Apache-2.0
"""The data of both tables: one cost for each distinct part and a bias, and their JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, TypeVar

from edgenas.latency.parts import Names, numbers, strings
from edgenas.latency.regression import UNKNOWN_STD, number

P = TypeVar("P", bound="UnitCosts")
ENOUGH = 8  # architectures that can be cross-validated


@dataclass(frozen=True)
class UnitCosts:
    """Milliseconds as `bias_ms` + sum over parts of `ms`, in the order of `names`.

    relative_std: of a prediction, cross-validated. measurements: networks in the fit, 0 before `fit`.
    """

    kind: ClassVar[str]  # in JSON

    names: Names = ()
    ms: tuple[float, ...] = ()
    bias_ms: float = 0.0
    relative_std: float = UNKNOWN_STD
    measurements: int = 0

    def to_json(self) -> dict[str, Any]:
        """As `LatencyModel.to_json`."""
        return {
            "model": self.kind,
            "names": list(self.names),
            "ms": list(self.ms),
            "bias_ms": self.bias_ms,
            "relative_std": self.relative_std,
            "measurements": self.measurements,
        }

    @classmethod
    def from_json(cls: type[P], table: Mapping[str, Any], file: str = "latency model") -> P:
        """As `LatencyModel.from_json`."""
        names = strings(table, "names", file)
        return cls(
            names=names,
            ms=tuple(map(float, numbers(table, "ms", file, (len(names),)))),
            bias_ms=float(numbers(table, "bias_ms", file, ())),
            relative_std=number(table, "relative_std", file),
            measurements=int(number(table, "measurements", file)),
        )

    @cached_property
    def _by_name(self) -> dict[str, float]:
        return dict(zip(self.names, self.ms, strict=True))
