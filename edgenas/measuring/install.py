# SPDX-License-Identifier: Apache-2.0
"""Installing an artifact: stage it, compare its outputs, time it, and commit only what is within the budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy.typing as npt

from edgenas.artifacts.artifact import FLOAT_TOLERANCE, Artifact, golden_mismatch
from edgenas.errors import GuessingError
from edgenas.measuring.retiming import Retiming, counted
from firmware_tools.device import Device, Progress, Timing, TimingPlan
from firmware_tools.errors import DeviceError, OutputMismatchError
from firmware_tools.interrupts import held

_NEAR = 1.1  # times the budget: a miss by less may be another program's doing
_FAR = 2.0  # times the budget: where others share a core, it is half as quick; by more nothing is missed for that
_LEAST = 3  # timings of a model that is timed again


@dataclass(frozen=True)
class Installed:
    """What the device said of the staged artifact; `committed` says whether it is the active model now.

    timing: the one that counts, of `timings`, which are in order of time.
    """

    timing: Timing
    committed: bool
    timings: tuple[Timing, ...]


def install(
    device: Device,
    artifact: Artifact,
    plan: TimingPlan,
    budget_ms: float | None,
    progress: Progress | None = None,
    exact: npt.NDArray[Any] | None = None,
    float_tolerance: float = FLOAT_TOLERANCE,
    doubted: Callable[[Timing], bool] = lambda timing: False,
    retiming: Retiming | None = None,
) -> Installed:
    """Stage `artifact`, run its golden inputs, time it, and commit it if it is within `budget_ms` (None: always).

    exact: outputs for the golden inputs that the device must repeat bit by bit, where that can be asked of it.
    float_tolerance: see `golden_mismatch`. doubted: whether a timing is to be repeated before it is believed.

    A timing that is doubted, or over the budget by less than a tenth, or by less than its double while the device was
    disturbed, is taken twice more; `retiming.counted` says what counts of the three. As long as that is over
    the budget and all were disturbed, it is timed again as far as `retiming` affords it: a search for a smaller network
    takes longer.
    Whatever happens, the active model stays in place until the commit, which an interrupt waits for; a staged model
    that is not committed is discarded if the device still answers. Raises GuessingError, before anything is sent, if
    the manifest says that the model is no better than guessing; OutputMismatchError if the device computes something
    else than the host, DeviceError if it fails.
    """
    if artifact.guesses:
        raise _guesses(artifact)
    device.stage(artifact.tflite, artifact.manifest, artifact.onnx)
    committed = False
    try:
        inputs, expected = artifact.golden_vectors()
        outputs = device.infer_staged(inputs)
        mismatch = golden_mismatch(expected, outputs, float_tolerance)
        if mismatch is None and exact is not None and outputs.tobytes() != exact.tobytes():
            mismatch = "outputs are not those of the engine on this computer, bit by bit: flash this release's firmware"
        if mismatch is not None:
            raise OutputMismatchError(f"{device.url}: {mismatch}; the active model was left in place")
        timings = _timed(partial(device.time_staged, plan, progress), budget_ms, doubted, retiming or Retiming())
        timing = counted(timings)
        if budget_ms is None or timing.latency_ms <= budget_ms:
            with held():  # an interrupt finds the old model active or the new one, never one on trial
                device.commit()
                committed = True
        return Installed(timing, committed, timings)
    finally:
        if not committed:
            _discard(device)


def _guesses(artifact: Artifact) -> GuessingError:
    found = artifact.manifest["held_out"]
    return GuessingError(
        f"{artifact.manifest['name']} is not installed: its balanced accuracy of {found['balanced_accuracy']:.1%} on "
        f"{found['images']} unseen images is not beyond guessing ({found['chance']:.1%}); train longer, or on more",
        check="guessing",
        value=found["lower_bound"],
        limit=found["chance"],
    )


def _timed(
    time_staged: Callable[[], Timing],
    budget_ms: float | None,
    doubted: Callable[[Timing], bool],
    retiming: Retiming,
) -> tuple[Timing, ...]:
    with retiming.spend(1, again=False):
        timings = [time_staged()]
    (first,) = timings
    near = _FAR if first.conditions.marked else _NEAR
    chance = budget_ms is not None and budget_ms < first.latency_ms <= near * budget_ms
    if not chance and not doubted(first):
        return (first,)
    before_s = retiming.effort.repeated_s
    while len(timings) < _LEAST or (
        budget_ms is not None
        and counted(timings).latency_ms > budget_ms
        and all(timing.conditions.marked for timing in timings)
        and retiming.affords((retiming.effort.repeated_s - before_s) / (len(timings) - 1))
    ):
        with retiming.spend(1, again=True):
            timings.append(time_staged())
    return tuple(timings)


def _discard(device: Device) -> None:
    # The first error is the one to tell. A device that cannot be reached keeps the staged model in its spare slot:
    # nothing but a commit makes it active, and the next installation overwrites it.
    try:
        device.discard()
    except DeviceError:
        return
