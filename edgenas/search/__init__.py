"""Searching the space: exact dynamic programs, templates, and the strategies behind one Protocol."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgenas.search.problem import Strategy
    from edgenas.supernet.training import SupernetState
    from edgenas.tasks.dataset import Dataset


@dataclass(frozen=True)
class Kind:
    """A strategy's maker, and whether it needs a trained supernet (the others take one if there is one)."""

    make: Callable[[SupernetState | None, Dataset], Strategy]
    supernet: bool


def _halving(state: SupernetState | None, data: Dataset) -> Strategy:
    from edgenas.search.halving import halving

    return halving


def _lightnas(state: SupernetState | None, data: Dataset) -> Strategy:
    from edgenas.search.lightnas import lightnas

    if state is None:
        raise ValueError("lightnas needs a trained supernet")
    return lightnas(state, data)


STRATEGIES = {"halving": Kind(_halving, supernet=False), "lightnas": Kind(_lightnas, supernet=True)}

__all__ = ["STRATEGIES", "Kind"]
