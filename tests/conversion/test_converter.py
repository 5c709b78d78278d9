# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from helpers.conversion import conversion_nets as nets
from helpers.conversion.conversion_nets import Trained
from torch import nn

from edgenas.artifacts.artifact import Artifact, golden_mismatch
from edgenas.conversion import Converter, describe, quantise, reference_outputs, run_tflite
from edgenas.conversion.gate import OPERATORS, check_fp32_error, gate
from edgenas.conversion.model_info import ModelInfo
from edgenas.conversion.repack import repack
from edgenas.conversion.runtime import dequantised, quantised
from edgenas.errors import ConversionError


def images(shape: tuple[int, int, int], count: int, seed: int = 0) -> np.ndarray:
    """Low-frequency pictures in [0, 1], more alike to photographs than noise: (count, height, width, channels)."""
    channels, height, width = shape
    coarse = torch.rand(count, channels, 5, 5, generator=torch.Generator().manual_seed(seed))
    fine = nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    return np.ascontiguousarray(fine.numpy().transpose(0, 2, 3, 1))


def sqnr_db(reference: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10((reference**2).sum() / ((reference - other) ** 2).sum()))


@pytest.mark.parametrize("name", nets.NETS)
def test_each_kind_of_network(converter: Converter, name: str) -> None:
    module, shape = nets.NETS[name](), nets.SHAPES[name]
    samples = images(shape, 100, seed=1)
    converted = converter.convert(module, shape, "int8", images(shape, 64))
    reference = reference_outputs(module, samples)
    assert check_fp32_error(run_tflite(converted.float_tflite, samples), reference) < 1e-5
    assert sqnr_db(reference, run_tflite(converted.tflite, samples)) > 20
    info = describe(converted.tflite)
    assert set(info.operator_names) <= OPERATORS
    assert info.input.shape == (1, shape[1], shape[2], shape[0])
    assert (info.input.dtype, info.output.dtype) == ("int8", "int8")
    # batch norms are folded: a scale and an offset per channel become one bias
    folded = sum(layer.num_features for layer in module.modules() if isinstance(layer, nn.BatchNorm2d))
    assert info.parameters == sum(parameter.numel() for parameter in module.parameters()) - folded


def test_trained_network_keeps_its_accuracy(trained: Trained) -> None:
    reference = reference_outputs(trained.module, trained.samples)
    report = gate(trained.converted, trained.samples, reference, trained.labels)
    assert report.samples == 1000
    assert report.fp32_error < 1e-5
    assert report.argmax_agreement is not None
    assert report.argmax_agreement >= 0.98
    assert report.accuracy_int8 is not None
    assert report.accuracy_int8 > 0.85
    # What the weights become differs from processor to processor: 20.8 dB on one, more than 22 on another.
    assert sqnr_db(reference, run_tflite(trained.converted.tflite, trained.samples)) > 20


def test_quantised_input_is_pixel_minus_128(trained: Trained) -> None:
    tensor = describe(trained.converted.tflite).input
    assert (np.float32(tensor.scale), tensor.zero_point) == (np.float32(1 / 255), -128)
    pixels = np.arange(256)
    real = (pixels / 255).astype(np.float32)
    assert np.array_equal(quantised(real, tensor.scale, tensor.zero_point), pixels - 128)
    samples = trained.samples[:20]
    bytes_ = (np.rint(samples * 255) - 128).astype(np.int8)
    output = describe(trained.converted.tflite).output
    assert np.array_equal(
        dequantised(run_tflite(trained.converted.tflite, bytes_), output.scale, output.zero_point),
        run_tflite(trained.converted.tflite, samples),
    )


def test_input_range_is_left_to_the_samples(trained: Trained) -> None:
    half = trained.calibration * np.float32(0.5)
    tensor = describe(quantise.to_int8(trained.converted.float_tflite, half)).input
    assert tensor.scale == pytest.approx(0.5 / 255, rel=1e-3)


@pytest.mark.parametrize(
    ("calibration", "problem"),
    [
        (np.zeros((0, 28, 28, 1), np.float32), "at least one"),
        (np.zeros((2, 28, 28, 1)), "float32"),
        (np.full((2, 28, 28, 1), 2, np.float32), "outside"),
        (np.full((2, 28, 28, 1), np.nan, np.float32), "finite"),
        (np.zeros((2, 32, 32, 1), np.float32), "the model takes"),
    ],
)
def test_bad_calibration(trained: Trained, converter: Converter, calibration: np.ndarray, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        converter.to_int8(trained.converted.float_tflite, calibration)


def test_big_weights_are_inline_and_everything_aligned(converter: Converter, monkeypatch: pytest.MonkeyPatch) -> None:
    module, samples = nets.big(), images((1, 28, 28), 20)
    float_tflite = converter.to_float(module, (1, 28, 28))
    with monkeypatch.context() as patch:
        patch.setattr(quantise, "repack", bytes)
        raw = quantise.to_int8(float_tflite, samples, (0.0, 1.0))
    assert describe(raw).external_bytes > 256 * 1024
    tflite = repack(raw)
    assert describe(tflite).external_bytes == 0
    assert repack(tflite) == tflite
    assert np.array_equal(run_tflite(raw, samples), run_tflite(tflite, samples))
    model = schema.Model.GetRootAs(tflite, 0)
    start = np.frombuffer(tflite, np.uint8).__array_interface__["data"][0]
    assert model.MetadataLength() == 0  # the converter's says that float16 arithmetic will do
    for index in range(model.BuffersLength()):
        buffer = model.Buffers(index)
        assert buffer.Offset() <= 1
        if buffer.DataLength():
            assert (buffer.DataAsNumpy().__array_interface__["data"][0] - start) % 16 == 0


def test_float_file_is_repacked_too(trained: Trained) -> None:
    assert repack(trained.converted.float_tflite) == trained.converted.float_tflite
    assert schema.Model.GetRootAs(trained.converted.float_tflite, 0).MetadataLength() == 0


def test_float32_precision(converter: Converter) -> None:
    converted = converter.convert(nets.plain(), (1, 28, 28), "float32")
    assert converted.tflite == converted.float_tflite
    assert describe(converted.tflite).input.dtype == "float32"


def test_convert_many_keeps_order_and_bytes(converter: Converter) -> None:
    calibration = images((1, 28, 28), 8)
    modules = [nets.plain(seed, width) for seed, width in enumerate((8, 4, 16, 12, 8))]
    many = list(converter.convert_many(iter(modules), (1, 28, 28), "int8", calibration))
    assert many == [converter.convert(module, (1, 28, 28), "int8", calibration) for module in modules]


def test_convert_many_fails_at_the_failing_model_and_can_be_left(converter: Converter) -> None:
    good = nets.plain()
    results = converter.convert_many([good, Refused().eval(), good], (1, 28, 28), "float32")
    assert describe(next(results).tflite).operators
    with pytest.raises(ConversionError, match="torch cannot export"):
        next(results)
    left = converter.convert_many([good] * 5, (1, 28, 28), "float32")
    next(left)
    left.close()  # type: ignore[attr-defined]
    assert converter.convert(good, (1, 28, 28), "float32").tflite


class Refused(nn.Module):
    """ONNX cannot say it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.fft.fft(x).real


def test_callers_mistakes(converter: Converter) -> None:
    with pytest.raises(ValueError, match="training mode"):
        converter.to_float(nets.plain().train(), (1, 28, 28))
    with pytest.raises(ValueError, match="calibration"):
        converter.convert(nets.plain(), (1, 28, 28), "int8")
    with pytest.raises(ValueError, match="int4"):
        converter.convert(nets.plain(), (1, 28, 28), "int4")  # type: ignore[arg-type]


def test_module_that_torch_cannot_export(converter: Converter) -> None:
    with pytest.raises(ConversionError, match="torch cannot export") as caught:
        converter.to_float(nets.plain(), (3, 28, 28))
    assert caught.value.fields["check"] == "export"


def test_run_refuses_wrong_inputs_and_files(trained: Trained) -> None:
    with pytest.raises(ValueError, match="the model takes"):
        run_tflite(trained.converted.tflite, np.zeros((1, 28, 28, 3), np.float32))
    with pytest.raises(ConversionError, match="refuses"):
        run_tflite(trained.converted.tflite[:200], np.zeros((1, 28, 28, 1), np.float32))
    with pytest.raises(ConversionError, match="not a TFLite file"):
        describe(b"nothing of the kind")


def test_conversion_prints_nothing(converter: Converter, capfd: pytest.CaptureFixture[str]) -> None:
    module = nets.mbconv()
    converter.convert(module, (3, 32, 32), "int8", images((3, 32, 32), 50))
    with pytest.raises(ConversionError):
        converter.to_float(Refused().eval(), (1, 28, 28))
    assert capfd.readouterr() == ("", "")


def test_artifact_of_a_real_model_and_other_kernels(trained: Trained) -> None:
    """The reference kernels stand for another runtime: other rounding, the same model."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    tflite, info = trained.converted.tflite, describe(trained.converted.tflite)
    inputs = quantised(trained.samples[:50], info.input.scale, info.input.zero_point)
    artifact = _artifact(tflite, info, inputs)
    other = Interpreter(model_content=tflite, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    other.allocate_tensors()
    outputs = np.empty((50, 10), np.int8)
    for index, sample in enumerate(inputs):
        other.set_tensor(other.get_input_details()[0]["index"], sample[np.newaxis])
        other.invoke()
        outputs[index] = other.get_tensor(other.get_output_details()[0]["index"])
    expected = artifact.golden_vectors()[1]
    assert golden_mismatch(expected, outputs) is None
    assert golden_mismatch(expected, np.roll(outputs, 1, 0)) is not None


def _artifact(tflite: bytes, info: ModelInfo, inputs: np.ndarray) -> Artifact:
    return Artifact.build(
        name="mnist",
        tflite=tflite,
        precision="int8",
        input=info.input,
        output=info.output,
        golden_inputs=inputs,
        golden_outputs=run_tflite(tflite, inputs),
        operators=info.operator_names,
        parameters=info.parameters,
    )
