"""`edgenas convert`: a trained checkpoint to an artifact that passed the gate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgenas import cost
from edgenas.artifact import MODEL, Artifact, Tensor
from edgenas.choices import precision_of
from edgenas.conversion import Converted, Converter, Precision, describe, quantised, reference_outputs, run_tflite
from edgenas.conversion.gate import check_accuracy_drop, check_argmax_agreement, gate
from edgenas.errors import ConversionError
from edgenas.progress import Reporter, Silent
from edgenas.space import Architecture, SearchSpace
from edgenas.tasks.batches import as_input, calibration, golden
from edgenas.tasks.images import ImageData, Split
from edgenas.version import __version__
from edgenas.workflows.data import load_data

if TYPE_CHECKING:
    from torch import nn

PASSED = "passed"
Run = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]  # inputs (n, height, width, channels) -> outputs (n, classes)


@dataclass(frozen=True)
class Built:
    """An artifact, what the gate said ("passed" or the failure), and its accuracies as fractions.

    `right` (n,) says on which images of the validation part the artifact is right; accuracies are on the test part.
    `notes` are what was decided about the data (see `ImageData`).
    """

    artifact: Artifact
    verdict: str
    right: npt.NDArray[np.bool_]
    accuracy_float: float
    accuracy_int8: float | None
    notes: tuple[str, ...] = ()

    @property
    def validation(self) -> float:
        """Accuracy on the validation part."""
        return float(self.right.mean())

    def to_json(self, folder: str | Path) -> dict[str, Any]:
        """The object that `--json` prints; `folder` is where the artifact was saved."""
        manifest = self.artifact.manifest
        return {
            "model": {
                "path": str(Path(folder) / MODEL),
                "sha256": manifest["sha256"],
                "bytes": manifest["bytes"],
                "macs": manifest["macs"],
            },
            "precision": manifest["precision"],
            "gate": self.verdict,
            "accuracy": {"validation": self.validation, "float": self.accuracy_float, "int8": self.accuracy_int8},
            "folder": str(folder),
            "notes": list(self.notes),
        }


def convert(
    checkpoint: str | Path,
    *,
    data: str,
    out: str | Path,
    space: str = "tiny",
    precision: str = "int8",
    seed: int = 0,
    size: int | None = None,
    reporter: Reporter | None = None,
) -> Built:
    """Convert the checkpoint that `edgenas train` wrote and save the artifact into the folder `out`.

    Raises UsageError for a file that is no checkpoint, ConversionError naming the check of the gate that failed.
    """
    reporter = reporter or Silent()
    chosen = precision_of(precision)
    from edgenas.training.fit import load_job  # torch takes seconds: what is mistyped is told before

    job = load_job(Path(checkpoint))
    images = load_data(data, seed=seed, size=size, reporter=reporter)
    bound = SearchSpace.load(space, images.input_shape, images.classes)
    architecture = Architecture.parse(job.architecture)
    reporter.stage("convert")
    with Converter(progress=reporter.say) as converter:
        built = build(converter, Path(checkpoint), bound, architecture, images, chosen)
    if built.verdict != PASSED:
        raise ConversionError(built.verdict)
    built.artifact.save(Path(out))
    return built


def build(
    converter: Converter,
    checkpoint: Path,
    space: SearchSpace,
    architecture: Architecture,
    data: ImageData,
    precision: Precision,
    *,
    board: str | None = None,
    budget_ms: float | None = None,
    versions: Mapping[str, str] | None = None,
    onnx: Precision | None = None,
) -> Built:
    """Convert a trained network and judge it; the gate looks at the validation part, which training did not see.

    onnx: the artifact has the network as ONNX as well, in this precision. In int8, which is for TensorRT, it is this
    model that is judged, besides the .tflite file, and whose accuracies and golden outputs the artifact has.
    """
    from edgenas.training.fit import load_network

    net = load_network(checkpoint, space, architecture)
    converted = converter.convert(net, space.input_shape, precision, calibration(data))
    run: Run = partial(run_tflite, converted.tflite)
    model: nn.Module = net
    if onnx == "int8":
        from edgenas.conversion.tensorrt import int8_network

        model = int8_network(net, calibration(data))
        run = partial(reference_outputs, model)
    verdict = PASSED
    try:
        _judge(converted, net, data.validation, run if onnx == "int8" else None)
    except ConversionError as error:
        verdict = error.message
    accuracy = {"accuracy_float": _accuracy(partial(run_tflite, converted.float_tflite), data.test)}
    if "int8" in (precision, onnx):
        accuracy["accuracy_int8"] = _accuracy(run, data.test)
    inputs = golden(data)
    if precision == "int8":
        inputs = _quantised(inputs, describe(converted.tflite).input)
    artifact = _artifact(
        converted,
        space,
        architecture,
        data,
        golden_inputs=inputs,
        golden_outputs=run(inputs),
        board=board,
        budget_ms=budget_ms,
        versions=versions or {"edgenas": __version__},
        onnx=None if onnx is None else _onnx(model, space),
        onnx_precision=onnx or "float32",
        **accuracy,
    )
    right = _right(run, data.validation)
    return Built(artifact, verdict, right, accuracy["accuracy_float"], accuracy.get("accuracy_int8"), data.notes)


def _judge(converted: Converted, net: nn.Module, part: Split, quantised: Run | None) -> None:
    """The gate, for the .tflite file and for the int8 model for TensorRT if there is one. Raises ConversionError."""
    samples = as_input(part.x)
    floats = reference_outputs(net, samples)
    gate(converted, samples, floats, part.y)
    if quantised is not None:
        integers = quantised(samples)
        check_argmax_agreement(integers, floats)
        check_accuracy_drop(integers, floats, part.y)


def _onnx(model: nn.Module, space: SearchSpace) -> bytes:
    from edgenas.conversion.tensorrt import to_tensorrt

    return to_tensorrt(model, space.input_shape)


def _quantised(inputs: npt.NDArray[np.float32], tensor: Tensor) -> npt.NDArray[Any]:
    return quantised(inputs, tensor.scale, tensor.zero_point, tensor.dtype)


def _artifact(
    converted: Converted,
    space: SearchSpace,
    architecture: Architecture,
    data: ImageData,
    board: str | None,
    **known: Any,
) -> Artifact:
    blocks = space.blocks(architecture)
    info = describe(converted.tflite)
    return Artifact.build(
        name=f"{data.name}-{board}" if board else data.name,
        tflite=converted.tflite,
        precision=converted.precision,
        input=info.input,
        output=info.output,
        operators=info.operator_names,
        labels=data.labels,
        macs=cost.macs(blocks),
        parameters=cost.parameters(blocks),
        board=board,
        **known,
    )


def _accuracy(run: Run, split: Split) -> float:
    return float(_right(run, split).mean())


def _right(run: Run, split: Split) -> npt.NDArray[np.bool_]:
    right: npt.NDArray[np.bool_] = run(as_input(split.x)).argmax(1) == split.y
    return right
