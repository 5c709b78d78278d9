# SPDX-License-Identifier: Apache-2.0
"""What each operator of a model takes: as the device tells, else by one-operator models, fitted to the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from edgenas.conversion.cut import Piece, cut
from firmware_tools.device import Device, OperatorTime, Progress, Timing, TimingPlan

OF_ONE = {"warmup_s": 0.05, "timed_s": 0.1}  # of a timing plan, in each process: there are many operators


@dataclass(frozen=True)
class Layer:
    """One operator of a model; `index` as in the file, None if the runtime made it out of several.

    `latency_ms` is its part of the whole, `alone_ms` what it took as a model of its own; None where it was not timed
    by itself, which `note` explains. `marked` says what disturbed its timing, as in the conditions of a `Timing`.
    """

    index: int | None
    name: str
    output_shape: tuple[int, ...]
    macs: int | None
    latency_ms: float | None
    alone_ms: float | None = None
    note: str = ""
    marked: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layers:
    """The operators of a model that takes `whole_ms`; `rest_ms` is what belongs to none of them.

    `bias_ms` was taken off what each took alone; None if the device itself told what its operators take.
    """

    whole_ms: float
    layers: tuple[Layer, ...]
    rest_ms: float
    bias_ms: float | None

    def share(self, layer: Layer) -> float | None:
        """The layer's fraction of the whole; None if it was not measured."""
        return None if layer.latency_ms is None else layer.latency_ms / self.whole_ms

    def to_json(self) -> dict[str, Any]:
        """A part of the object that `--json` prints."""
        layers = [{**asdict(layer), "share": self.share(layer)} for layer in self.layers]
        return {"whole_ms": self.whole_ms, "bias_ms": self.bias_ms, "rest_ms": self.rest_ms, "operators": layers}


def time_layers(
    device: Device, model: bytes, plan: TimingPlan, progress: Progress | None = None
) -> tuple[Timing, Layers]:
    """Time `model`, and with it what each of its operators takes; `plan` holds for each of them.

    A device that does not tell is given the model and models of its operators together, so that all meet the same
    conditions. Raises as `Device.time` does; ConversionError if the file cannot be read.
    """
    told = device.time_operators(model, plan)
    if told is not None:
        timing = device.time([model], plan, progress)[0]
        return timing, _told(told, timing.latency_ms)
    pieces = cut(model)
    models = [piece.tflite for piece in pieces if piece.tflite is not None]
    timing, *timings = device.time([model, *models], plan, progress)
    taken = iter(timings)
    alone = [None if piece.tflite is None else next(taken) for piece in pieces]
    return timing, _measured(pieces, alone, timing.latency_ms)


def fit(alone_ms: Sequence[float], whole_ms: float, *, complete: bool = True) -> tuple[float, list[float]]:
    """The bias of every operator, and what is left of each without it: never less than 0, in sum `whole_ms`.

    As a model of its own, an operator pays for the call from Python and for finding its data elsewhere than where the
    one before it has just written them: the sum of all is above the whole, by 5 to 10 % in int8 and 18 to 31 % in
    float32. The bias is negative where it is below. If operators are missing (not `complete`), the sum may be below the
    whole for their sake: then it is taken as it is.
    """
    total, left = sum(alone_ms), sorted(alone_ms)
    if not left or (total <= whole_ms and not complete):
        return 0.0, list(alone_ms)
    bias = (total - whole_ms) / len(left)
    while bias > left[0]:  # takes less than the bias: nothing is left of it, and the others have to bear its part
        total -= left.pop(0)
        bias = (total - whole_ms) / len(left)
    return bias, [max(0.0, alone - bias) for alone in alone_ms]


def _measured(pieces: Sequence[Piece], alone: Sequence[Timing | None], whole_ms: float) -> Layers:
    known = [timing.latency_ms for timing in alone if timing is not None]
    bias_ms, fitted = fit(known, whole_ms, complete=all(p.tflite is not None or p.within is not None for p in pieces))
    parts = iter(fitted)
    layers = []
    for piece, timing in zip(pieces, alone, strict=True):
        layer = Layer(piece.index, piece.name, piece.output_shape, piece.macs, None, note=piece.reason)
        if timing is not None:
            marked = timing.conditions.marked
            layer = replace(layer, latency_ms=next(parts), alone_ms=timing.latency_ms, marked=marked)
        layers.append(layer)
    return Layers(whole_ms, tuple(layers), max(0.0, whole_ms - sum(fitted)), bias_ms)


def _told(operators: Sequence[OperatorTime], whole_ms: float) -> Layers:
    layers = tuple(Layer(o.index, o.name, o.output_shape, o.macs, o.latency_ms) for o in operators)
    return Layers(whole_ms, layers, whole_ms - sum(o.latency_ms for o in operators), None)
