"""Installing an artifact: stage it, compare its outputs, time it, and commit only what is within the budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from edgenas.artifact import FLOAT_TOLERANCE, Artifact, golden_mismatch
from edgenas.errors import GuessingError
from firmware_tools.device import Device, Progress, Timing, TimingPlan
from firmware_tools.errors import DeviceError, OutputMismatchError
from firmware_tools.interrupts import held

_NEAR = 1.1  # times the budget: a miss by less may be another program's doing


@dataclass(frozen=True)
class Installed:
    """What the device said of the staged artifact; `committed` says whether it is the active model now.

    timing: the one that counts, out of `timings`, in order of time.
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
) -> Installed:
    """Stage `artifact`, run its golden inputs, time it, and commit it if it is within `budget_ms` (None: always).

    exact: outputs for the golden inputs that the device must repeat bit by bit, where that can be asked of it.
    float_tolerance: see `golden_mismatch`. doubted: whether a timing is to be repeated before it is believed.

    A timing that is doubted, or over the budget by less than a tenth, is taken twice more, and the middle one of the
    three counts.
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
        timings = _timed(device, plan, budget_ms, progress, doubted)
        timing = sorted(timings, key=lambda each: each.latency_ms)[len(timings) // 2]
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
    device: Device,
    plan: TimingPlan,
    budget_ms: float | None,
    progress: Progress | None,
    doubted: Callable[[Timing], bool],
) -> tuple[Timing, ...]:
    first = device.time_staged(plan, progress)
    just_over = budget_ms is not None and budget_ms < first.latency_ms <= _NEAR * budget_ms
    if not just_over and not doubted(first):
        return (first,)
    return (first, device.time_staged(plan, progress), device.time_staged(plan, progress))


def _discard(device: Device) -> None:
    # The first error is the one to tell. A device that cannot be reached keeps the staged model in its spare slot:
    # nothing but a commit makes it active, and the next installation overwrites it.
    try:
        device.discard()
    except DeviceError:
        return
