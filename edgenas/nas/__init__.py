# SPDX-License-Identifier: Apache-2.0
"""Searching the space: exact dynamic programs, templates, and the strategies behind one Protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from edgenas.nas.problem import Strategy
    from edgenas.supernet.training import SupernetState
    from edgenas.tasks.dataset import Dataset


@dataclass(frozen=True)
class StrategyEntry:
    """A strategy's place as module:function, imported where it is asked for: some strategies need torch.

    The function is the `Strategy`. With `needs_supernet` it takes the trained supernet and the data and returns one.
    """

    function: str
    needs_supernet: bool = False

    def make(self, state: SupernetState | None, data: Dataset) -> Strategy:
        """The strategy. Raises ValueError without a trained supernet for a strategy that needs one."""
        module, _, name = self.function.partition(":")
        function = getattr(import_module(module), name)
        if not self.needs_supernet:
            return cast("Strategy", function)
        if state is None:
            raise ValueError(f"{name} needs a trained supernet")
        return cast("Strategy", function(state, data))


STRATEGIES: Mapping[str, StrategyEntry] = {
    "halving": StrategyEntry("edgenas.nas.halving:halving"),
    "lightnas": StrategyEntry("edgenas.nas.lightnas:lightnas", needs_supernet=True),
}
