# SPDX-License-Identifier: Apache-2.0
"""Every check of the gate, failed by a real model that has the fault."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.conversion import conversion_nets as nets
from helpers.conversion.conversion_nets import Trained
from torch import nn

from edgenas.artifacts.artifact import Tensor
from edgenas.conversion import Converted, Converter, quantise, reference_outputs
from edgenas.conversion.gate import (
    GUESSING,
    GateReport,
    check_accuracy_drop,
    check_argmax_agreement,
    check_fp32_error,
    check_guessing,
    check_unfused_activation,
    gate,
)
from edgenas.conversion.model_info import ModelInfo, OperatorInfo, describe
from edgenas.errors import ConversionError, GuessingError
from edgenas.tasks.recalls import Recalls, image_weights

SHAPE = (1, 28, 28)


def fails(check: str, trained: Trained, converted: Converted, module: nn.Module | None = None, **options: float) -> str:
    reference = reference_outputs(module or trained.module, trained.samples)
    with pytest.raises(ConversionError) as caught:
        gate(converted, trained.samples, reference, trained.labels, **options)  # type: ignore[arg-type]
    assert caught.value.fields["check"] == check
    assert caught.value.message.startswith(f"gate {check}: ")
    assert {"value", "limit"} <= set(caught.value.fields)
    return caught.value.message


def test_int8_io(trained: Trained) -> None:
    from ai_edge_quantizer import quantizer, recipe

    work = quantizer.Quantizer(trained.converted.float_tflite, recipe.dynamic_wi8_afp32())
    dynamic = bytes(work.quantize(enable_progress_report=False).quantized_model)
    message = fails("int8_io", trained, Converted(trained.converted.float_tflite, dynamic, "int8"))
    assert "input is float32 and output float32" in message


def test_operators(trained: Trained, converter: Converter) -> None:
    module = nets.net(nets.conv(1, 8, stride=2), nn.Tanh(), nets.conv(8, 8), width=8)
    converted = converter.convert(module, SHAPE, "int8", trained.calibration)
    assert "TANH" in fails("operators", trained, converted, module)


def test_external_buffers(trained: Trained, converter: Converter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantise, "repack", bytes)
    module = nets.big()
    converted = converter.convert(module, SHAPE, "int8", trained.calibration)
    fails("external_buffers", trained, converted, module)


class ReadTwice(nn.Module):
    """The convolution's output is also read before its activation, which therefore cannot be fused."""

    def __init__(self, act: nn.Module) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, 2, 1)
        self.act = act

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.first(x)
        z: torch.Tensor = self.act(y) + y
        return z


def test_unfused_activation(trained: Trained, converter: Converter) -> None:
    module = nets.net(ReadTwice(nn.ReLU()), nets.conv(8, 8), width=8)
    converted = converter.convert(module, SHAPE, "int8", trained.calibration)
    assert "RELU is not fused into the CONV_2D" in fails("unfused_activation", trained, converted, module)
    # the quantiser leaves an unfused RELU6 in float32, between two operators that no list has
    module = nets.net(ReadTwice(nn.ReLU6()), nets.conv(8, 8), width=8)
    converted = converter.convert(module, SHAPE, "int8", trained.calibration)
    assert "DEQUANTIZE, QUANTIZE" in fails("operators", trained, converted, module)


def test_activation_behind_an_addition_is_allowed() -> None:
    tensor = Tensor((1,), "int8")
    chain = (OperatorInfo("CONV_2D", ()), OperatorInfo("ADD", (0,)), OperatorInfo("RELU", (1,)))
    check_unfused_activation(ModelInfo(tensor, tensor, chain, 0, 0))


def test_fp32_error(trained: Trained) -> None:
    state = {name: value.clone() for name, value in trained.module.state_dict().items()}
    try:
        with torch.no_grad():
            next(trained.module.parameters()).mul_(1.01)
        message = fails("fp32_error", trained, trained.converted)
    finally:
        trained.module.load_state_dict(state)
    assert "the limit is 0.0001" in message


def test_fp32_error_scales_with_the_outputs_and_refuses_nan() -> None:
    reference = np.array([[100.0, -3.0]], np.float32)
    assert check_fp32_error(reference + np.float32(0.005), reference) == pytest.approx(5e-5, rel=1e-2)
    with pytest.raises(ConversionError, match="fp32_error"):
        check_fp32_error(reference / 100 + np.float32(0.005), reference / 100)
    with pytest.raises(ConversionError, match="differs from torch by nan"):
        check_fp32_error(reference * np.nan, reference)
    with pytest.raises(ConversionError, match="outputs"):
        check_fp32_error(reference[:, :1], reference)


@pytest.fixture(scope="module")
def clipped(trained: Trained, converter: Converter) -> Converted:
    """Calibrated on all but black images: what a digit makes of the network is clipped."""
    dark = trained.calibration * np.float32(0.05)
    return Converted(trained.converted.float_tflite, converter.to_int8(trained.converted.float_tflite, dark), "int8")


def test_argmax_agreement(trained: Trained, clipped: Converted) -> None:
    assert "of 1000 samples" in fails("argmax_agreement", trained, clipped)


def test_accuracy_drop(trained: Trained, clipped: Converted) -> None:
    assert "the limit is 1.00%" in fails("accuracy_drop", trained, clipped, min_agreement=0.0)


def outputs(classes: list[int]) -> np.ndarray:
    return np.eye(10, dtype=np.float32)[classes]


# The largest k with k - 1.645 sqrt(k) <= count / 100, where int8 is wrong on k samples and never right alone.
@pytest.mark.parametrize(("count", "most"), [(216, 6), (1000, 16), (10_000, 117)])
def test_a_drop_is_refused_beyond_the_sampling_error(count: int, most: int) -> None:
    floats, labels = outputs([0] * count), np.zeros(count, np.int64)
    assert check_accuracy_drop(outputs([1] * most + [0] * (count - most)), floats, labels) == most / count
    with pytest.raises(ConversionError, match="accuracy_drop"):
        check_accuracy_drop(outputs([1] * (most + 1) + [0] * (count - most - 1)), floats, labels)


@pytest.mark.parametrize(("count", "most"), [(50, 3), (600, 18), (1000, 28), (10_000, 223)])
def test_agreement_is_refused_beyond_the_sampling_error(count: int, most: int) -> None:
    # `most` disagreements: the largest number that a true agreement of 98 % exceeds in more than 5 % of all draws.
    floats = outputs([0] * count)
    assert check_argmax_agreement(outputs([1] * most + [0] * (count - most)), floats) == 1 - most / count
    with pytest.raises(ConversionError, match="argmax_agreement"):
        check_argmax_agreement(outputs([1] * (most + 1) + [0] * (count - most - 1)), floats)


def test_better_accuracy_is_a_negative_drop() -> None:
    assert check_accuracy_drop(outputs([0, 0]), outputs([0, 1]), np.zeros(2, np.int64)) == -0.5


def test_float32_is_not_held_to_the_int8_checks(trained: Trained) -> None:
    floats = trained.converted.float_tflite
    reference = reference_outputs(trained.module, trained.samples[:100])
    report = gate(Converted(floats, floats, "float32"), trained.samples[:100], reference)
    assert report == GateReport(100, report.fp32_error, None, None, None, None, tuple(describe(floats).operator_names))


def test_samples_and_references_must_match(trained: Trained) -> None:
    with pytest.raises(ValueError, match="references"):
        gate(trained.converted, trained.samples[:3], np.zeros((2, 10), np.float32))


UNEVEN = np.array([0] * 400 + [1] * 8)


def test_a_class_that_int8_no_longer_names_is_a_drop_only_where_classes_count_alike() -> None:
    floats, integers = outputs(UNEVEN.tolist()), outputs([0] * 408)
    weights = image_weights(UNEVEN)
    assert check_accuracy_drop(integers, floats, UNEVEN) == pytest.approx(8 / 408)  # passes
    with pytest.raises(ConversionError, match=r"loses 50\.00% of balanced accuracy") as caught:
        check_accuracy_drop(integers, floats, UNEVEN, weights=weights)
    assert caught.value.fields["value"] == pytest.approx(0.5)
    assert check_argmax_agreement(integers, floats) == pytest.approx(400 / 408)  # passes
    with pytest.raises(ConversionError, match=r"agrees with float32 on 50\.00% of 408 samples, every class"):
        check_argmax_agreement(integers, floats, weights=weights)


# Lost are k - 1.645 sqrt(k) of 8 images, and half of that as balanced accuracy: 0.9 % for 3 of them, 4.4 % for 4.
@pytest.mark.parametrize(("lost", "passes"), [(1, True), (3, True), (4, False)])
def test_few_images_of_a_small_class_are_within_the_sampling_error(lost: int, passes: bool) -> None:
    floats, integers = outputs(UNEVEN.tolist()), outputs([0] * (400 + lost) + [1] * (8 - lost))
    for check in (
        lambda: check_accuracy_drop(integers, floats, UNEVEN, weights=image_weights(UNEVEN)),
        lambda: check_argmax_agreement(integers, floats, weights=image_weights(UNEVEN)),
    ):
        if passes:
            check()
        else:
            with pytest.raises(ConversionError):
                check()


def test_no_better_than_guessing() -> None:
    check_guessing(Recalls((98, 2), (98, 3)))
    with pytest.raises(GuessingError) as caught:
        check_guessing(Recalls((9800, 0), (9800, 300)))
    message, fields = caught.value.message, caught.value.fields
    assert message.startswith(GUESSING)
    assert "balanced accuracy 50.0% on 10100 unseen images" in message
    assert "is not beyond guessing (50.0%): try more --epochs, more images or another --size" in message
    assert len(f"edgenas: {message}; the active model stays") < 200
    assert (caught.value.exit_code, fields["check"], fields["limit"]) == (3, "guessing", 0.5)
    with pytest.raises(GuessingError, match="all of one class"):
        check_guessing(Recalls((9, 0), (9, 0)))
