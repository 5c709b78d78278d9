# SPDX-License-Identifier: Apache-2.0
"""The gate: what every artifact must pass before it leaves the host. One small function per check.

| check                | passes when                                                                               |
|----------------------|-------------------------------------------------------------------------------------------|
| `operators`          | every operator is one that all supported runtimes compute alike                           |
| `external_buffers`   | all weights are inside the flatbuffer                                                     |
| `int8_io`            | input and output are int8 (a dynamic-range file's are float; it fails silently elsewhere) |
| `unfused_activation` | no RELU or RELU6 stands alone behind a convolution or dense layer (int8)                  |
| `fp32_error`         | the float32 file is within 1e-4 * max(1, max abs output) of the torch module              |
| `argmax_agreement`   | int8 and float32 name the same class on 98 % of the samples, beyond doubt not on fewer    |
| `accuracy_drop`      | int8 loses 1 point of accuracy against float32, beyond doubt not more                     |
| `guessing`           | balanced accuracy on validation and test images together is beyond doubt over chance      |

A float32 artifact is held to `operators`, `external_buffers`, `fp32_error` and `guessing`. Where classes are uneven
(`edgenas.tasks.recalls.uneven`), `argmax_agreement` and `accuracy_drop` count every class alike: balanced accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgenas.conversion.model_info import ModelInfo, describe
from edgenas.conversion.runtime import run_tflite
from edgenas.errors import ConversionError, GuessingError
from edgenas.tasks.classification import predicted
from edgenas.tasks.recalls import Recalls

if TYPE_CHECKING:
    from edgenas.conversion import Converted

OPERATORS = frozenset(
    {
        "ADD",
        "AVERAGE_POOL_2D",
        "CONCATENATION",
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "FULLY_CONNECTED",
        "LOGISTIC",
        "MAX_POOL_2D",
        "MEAN",
        "MUL",
        "PAD",
        "RELU",
        "RELU6",
        "RESHAPE",
        "SOFTMAX",
    }
)
FP32_TOLERANCE = 1e-4
MIN_AGREEMENT = 0.98
MAX_ACCURACY_DROP = 0.01
GUESSING = "gate guessing: "  # how the message of `check_guessing` begins
_DOUBT, _DOUBT_ERRORS = 0.05, 1.645  # one-sided, and the same in standard errors

_ROUNDING = 1e-9  # of the thresholds' own arithmetic: 0.98 * 50 is not 49 in binary
_Floats = npt.NDArray[np.floating[Any]]
_Labels = npt.NDArray[np.integer[Any]]
_Weights = npt.NDArray[np.float64]


@dataclass(frozen=True)
class GateReport:
    """What the gate measured on `samples` samples. Fractions, not percent; None where the check does not apply.

    `fp32_error` is the largest absolute difference from torch, divided by max(1, largest absolute output).
    """

    samples: int
    fp32_error: float
    argmax_agreement: float | None
    accuracy_float: float | None
    accuracy_int8: float | None
    accuracy_drop: float | None
    operators: tuple[str, ...]


def gate(
    converted: Converted,
    samples: npt.NDArray[np.float32],
    reference: _Floats,
    labels: _Labels | None = None,
    *,
    weights: _Weights | None = None,
    min_agreement: float = MIN_AGREEMENT,
    max_accuracy_drop: float = MAX_ACCURACY_DROP,
    threads: int = 1,
) -> GateReport:
    """Hold `converted` to every check of the table above; the cheap ones first.

    `samples` (n, height, width, channels) float32, `reference` (n, classes) what the torch module makes of them (see
    `reference_outputs`), `labels` (n,) class indices: without them accuracy is not judged. `weights` (n,), of sum n,
    are what a sample counts in agreement and drop, else 1. Use samples that neither training nor calibration saw, at
    least some hundreds: one of n samples is 1/n of agreement. `guessing` is a check of its own: `check_guessing`.

    Raises ConversionError whose field `check` is the check's name; `value` and `limit` say by how much it failed.
    """
    if len(samples) == 0 or len(samples) != len(reference) or (labels is not None and len(labels) != len(samples)):
        raise ValueError(
            f"{len(samples)} samples, {len(reference)} references, labels {None if labels is None else len(labels)}"
        )
    info = describe(converted.tflite)
    int8 = converted.precision == "int8"
    check_operators(info)
    check_external_buffers(info)
    if int8:
        check_int8_io(info)
        check_unfused_activation(info)
    floats = run_tflite(converted.float_tflite, samples, threads)
    error = check_fp32_error(floats, reference)
    agreement = accuracy_float = accuracy_int8 = drop = None
    if labels is not None:
        accuracy_float = _accuracy(floats, labels)
    if int8:
        integers = run_tflite(converted.tflite, samples, threads)
        agreement = check_argmax_agreement(integers, floats, min_agreement, weights)
        if labels is not None:
            accuracy_int8 = _accuracy(integers, labels)
            drop = check_accuracy_drop(integers, floats, labels, max_accuracy_drop, weights)
    return GateReport(len(samples), error, agreement, accuracy_float, accuracy_int8, drop, tuple(info.operator_names))


def check_operators(info: ModelInfo) -> None:
    """Every operator is in `OPERATORS`."""
    unlisted = [name for name in info.operator_names if name not in OPERATORS]
    if unlisted:
        message = f"{', '.join(unlisted)} would not run alike on every runtime; change the layers that produce it"
        raise _failure("operators", message, unlisted, sorted(OPERATORS))


def check_external_buffers(info: ModelInfo) -> None:
    """No weights outside the flatbuffer."""
    if info.external_bytes:
        message = f"{info.external_bytes} bytes of weights are outside the flatbuffer; repack the file"
        raise _failure("external_buffers", message, info.external_bytes, 0)


def check_int8_io(info: ModelInfo) -> None:
    """Input and output are int8."""
    kinds = (info.input.dtype, info.output.dtype)
    if kinds != ("int8", "int8"):
        message = f"input is {kinds[0]} and output {kinds[1]}, both must be int8; quantise statically, with calibration"
        raise _failure("int8_io", message, kinds, ("int8", "int8"))


def check_unfused_activation(info: ModelInfo) -> None:
    """No RELU or RELU6 of its own behind a convolution or dense layer."""
    weighted = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
    for operator in info.operators:
        before = [info.operators[index].name for index in operator.reads]
        if operator.name in ("RELU", "RELU6") and any(name in weighted for name in before):
            message = (
                f"{operator.name} is not fused into the {before[0]} before it and loses accuracy on microcontrollers"
            )
            raise _failure("unfused_activation", message, operator.name, "fused")


def check_fp32_error(floats: _Floats, reference: _Floats) -> float:
    """The converter kept the function; returns the largest error relative to max(1, largest absolute output)."""
    if floats.shape != reference.shape:
        message = f"the float32 file gives outputs {floats.shape}, torch {reference.shape}"
        raise _failure("fp32_error", message, floats.shape, reference.shape)
    error = float(np.abs(floats - reference).max() / max(1.0, float(np.abs(reference).max())))
    if not error < FP32_TOLERANCE:  # NaN fails too
        message = f"the float32 file differs from torch by {error:.2g}, the limit is {FP32_TOLERANCE:g}"
        raise _failure("fp32_error", message, error, FP32_TOLERANCE)
    return error


def check_argmax_agreement(
    integers: _Floats, floats: _Floats, minimum: float = MIN_AGREEMENT, weights: _Weights | None = None
) -> float:
    """int8 and float32 choose the same class; returns the fraction of samples on which they do.

    Fails if so few samples agree that a model with exactly the minimum would do worse in 5 % of all draws of as many
    samples (exact binomial, one-sided). On hard data a faithful model's true agreement is about 98.2 % (measured on
    CIFAR-10 at 60 to 65 % accuracy): the bare fraction of some hundred samples would refuse four in ten by chance.

    With `weights` it fails if the weight of what disagrees is above the limit by more than 1.645 standard errors, as in
    `check_accuracy_drop`: one or two samples, of however small a class, are never enough.
    """
    same_class = predicted(integers) == predicted(floats)
    if weights is not None:
        return 1 - _weighted_disagreement(~same_class * weights, minimum)
    from scipy.stats import binom

    count = len(floats)
    same = int(same_class.sum())
    if binom.cdf(same, count, minimum) < _DOUBT:
        message = (
            f"int8 agrees with float32 on {same} of {count} samples ({same / count:.2%}), the limit is {minimum:.2%} "
            "within the sampling error; calibrate on more samples or use --precision float32"
        )
        raise _failure("argmax_agreement", message, same / count, minimum)
    return same / count


def _weighted_disagreement(weights: _Weights, minimum: float) -> float:
    """The part of the weight that disagrees, out of each sample's, 0 where int8 and float32 agree."""
    apart, doubt = float(weights.mean()), _DOUBT_ERRORS * float(np.sqrt((weights**2).sum())) / len(weights)
    if apart - doubt > 1 - minimum + _ROUNDING:
        message = (
            f"int8 agrees with float32 on {1 - apart:.2%} of {len(weights)} samples, every class counted alike, the "
            f"limit is {minimum:.2%} within the sampling error; use --precision float32"
        )
        raise _failure("argmax_agreement", message, 1 - apart, minimum)
    return apart


def check_accuracy_drop(
    integers: _Floats,
    floats: _Floats,
    labels: _Labels,
    maximum: float = MAX_ACCURACY_DROP,
    weights: _Weights | None = None,
) -> float:
    """int8 loses at most `maximum` of accuracy; returns the loss (negative if int8 is better).

    Fails if the loss is above the limit by more than the sampling error of a paired difference: 1.645 standard errors
    (one-sided 95 %), where the samples on which exactly one of the two is right are what varies (McNemar 1947). One
    point of 216 samples is two of them, and three lost by chance do not make a model worse. `weights` (n,) are what a
    sample counts, in the loss and in its error.
    """
    count = len(labels)
    right = (predicted(floats) == labels).astype(int) - (predicted(integers) == labels).astype(int)
    weighted = right if weights is None else right * weights
    lost = float(weighted.sum())
    doubt = _DOUBT_ERRORS * float(np.sqrt((weighted**2).sum()))
    if lost - doubt > maximum * count + _ROUNDING:
        what = f"is right on {right.sum()} of {count} samples fewer than float32 ({lost / count:.2%})"
        if weights is not None:
            what = f"loses {lost / count:.2%} of balanced accuracy against float32 on {count} samples"
        message = (
            f"int8 {what}, the limit is {maximum:.2%} within the sampling error; calibrate on more samples or use "
            "--precision float32"
        )
        raise _failure("accuracy_drop", message, lost / count, maximum)
    return lost / count


def check_guessing(held_out: Recalls) -> None:
    """The model is better than guessing on images that training did not see, with a confidence of 95 %.

    Raises GuessingError with the fields of `gate`'s.
    """
    if held_out.better_than_guessing:
        return
    classes = sum(n > 0 for n in held_out.images)
    if classes < 2:
        what = "validation and test images are all of one class, which says nothing: add images of the others"
    else:
        what = (
            f"balanced accuracy {held_out.balanced:.1%} on {sum(held_out.images)} unseen images (95 %: over "
            f"{held_out.lower_bound:.1%}) is not beyond guessing ({held_out.chance:.1%}): try more --epochs, more "
            "images or another --size"
        )
    raise GuessingError(f"{GUESSING}{what}", check="guessing", value=held_out.lower_bound, limit=held_out.chance)


def _accuracy(outputs: _Floats, labels: _Labels) -> float:
    return float((predicted(outputs) == labels).mean())


def _failure(check: str, message: str, value: object, limit: object) -> ConversionError:
    return ConversionError(f"gate {check}: {message}", check=check, value=value, limit=limit)
