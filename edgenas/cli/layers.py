# SPDX-License-Identifier: Apache-2.0
"""What each operator of a model takes, as a table: for `edgenas measure` and `edgenas deploy`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from edgenas.measuring.operator_profile import Layers

_NOTHING = 5e-4  # of the whole: not worth a line


def show_layers(console: Console, layers: Layers, latency: Callable[[float | None], str]) -> None:
    """Print the table, and below it what it leaves out; `latency` formats in the board's unit."""
    from edgenas.cli.output import lines, percent, table

    rows = [
        (
            "" if layer.index is None else str(layer.index),
            layer.name,
            "x".join(map(str, layer.output_shape)),
            "-" if layer.macs is None else f"{layer.macs:,}",
            latency(layer.latency_ms),
            percent(layers.share(layer)),
        )
        for layer in layers.layers
    ]
    known = [layer.latency_ms for layer in layers.layers if layer.latency_ms is not None]
    longest = max(known, default=None)
    strong = next((i for i, layer in enumerate(layers.layers) if layer.latency_ms == longest), None)
    table(console, ("", "operator", "output", "MACs", "latency", "share"), rows, left=3, strong=strong)
    notes = [
        f"{layer.index} {layer.name} was not timed by itself: {layer.note}" for layer in layers.layers if layer.note
    ]
    if disturbed := sum(bool(layer.marked) for layer in layers.layers):
        notes.append(f"{disturbed} operators were disturbed (marked) while they were timed: their parts are rough")
    if layers.rest_ms > _NOTHING * layers.whole_ms:
        notes.append(f"rest, of no operator: {latency(layers.rest_ms)}, {percent(layers.rest_ms / layers.whole_ms)}")
    if layers.bias_ms is not None:
        alone = sum(layer.alone_ms for layer in layers.layers if layer.alone_ms is not None)
        ratio = alone / layers.whole_ms
        notes.append(
            f"as models of their own they take {ratio:.2f} times the whole; the bias is {latency(layers.bias_ms)}"
        )
    if notes:
        console.print()
        lines(console, notes)
