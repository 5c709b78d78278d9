# SPDX-License-Identifier: Apache-2.0
"""`edgenas measure`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgenas.cli import options

if TYPE_CHECKING:
    from rich.console import Console


def measure(
    model: Annotated[
        Path,
        typer.Argument(metavar="MODEL", help="A .tflite file, for TensorRT an .onnx file, or the folder of a run."),
    ],
    board: options.BoardOfDevice = None,
    device: options.Device = None,
    accept_new_host_key: options.AcceptNewHostKey = False,
    statistic: options.Statistic = None,
    layers: Annotated[bool, typer.Option("--layers", help="Also say what each operator takes.")] = False,
    set_governor: options.SetGovernor = None,
    runtime: options.Runtime = None,
    as_json: options.Json = False,
) -> None:
    """Measure the latency of a model on the board.

    Example: edgenas measure runs/20261121T125939-host

    Nothing is installed: the board's active model stays.

    With --layers, operators that the device does not time itself are timed as models of one operator each. What every
    such model takes besides, the bias, is taken off, so that together they take as long as the whole.
    """
    import edgenas
    from edgenas.cli import output
    from edgenas.cli.layers import show_layers
    from firmware_tools.connect import Access

    with output.working() as reporter:
        access = Access(reporter.ask, accept_new_host_key, reporter.say)
        measured = edgenas.measure(
            model,
            board=board,
            device=device,
            statistic=statistic,
            layers=layers,
            set_governor=set_governor,
            runtime=runtime,
            access=access,
            reporter=reporter,
        )
    timing, latency = measured.timing, partial(output.latency, measured.unit)
    low, high = timing.ci95_ms
    pairs = [
        ("model", f"{measured.model}, {output.size(measured.bytes)}"),
        ("board", f"{measured.board} at {measured.device.url}, {measured.device.cpu}"),
        ("runtime", f"{timing.conditions.runtime} {timing.conditions.runtime_version}"),
        (
            "measured",
            f"{latency(timing.latency_ms)} {timing.statistic} (95 %: {latency(low)} to {latency(high)})",
        ),
        ("", f"p10 {latency(timing.p10_ms)}, p50 {latency(timing.p50_ms)}, p95 {latency(timing.p95_ms)}"),
        ("on the GPU", None if timing.compute_ms is None else f"{latency(timing.compute_ms)}, the rest are transfers"),
        ("inferences", f"{timing.n:,} in {timing.processes} processes"),
        ("peak RAM", output.size(measured.peak_ram_bytes)),
        *output.conditions(timing.conditions),
        ("recorded", None if measured.record is None else str(measured.record)),
    ]

    def present(console: Console) -> None:
        output.facts(console, pairs)
        if measured.layers is not None:
            console.print()
            show_layers(console, measured.layers, latency)

    output.show(measured.to_json(), as_json, present)
