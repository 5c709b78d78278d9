# SPDX-License-Identifier: Apache-2.0
"""`edgenas convert`: a trained checkpoint to an artifact that passed the gate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgenas import tasks
from edgenas.artifacts.artifact import MODEL, Artifact, Tensor
from edgenas.boards.board import Precision
from edgenas.conversion import Converted, Converter, describe, quantised, reference_outputs, run_tflite
from edgenas.conversion.gate import check_accuracy_drop, check_argmax_agreement, check_guessing, gate
from edgenas.costs import estimate
from edgenas.errors import ConversionError
from edgenas.measuring.resolve import precision_of
from edgenas.progress import Reporter, Silent
from edgenas.spaces import catalogue
from edgenas.spaces.architecture import Architecture
from edgenas.spaces.space import SearchSpace
from edgenas.tasks.batches import as_input, calibration, golden
from edgenas.tasks.dataset import Dataset, Split
from edgenas.tasks.recalls import Recalls, accuracies, image_weights, uneven
from edgenas.version import __version__
from edgenas.workflows.data import load_data
from edgenas.workflows.front_end import postprocessing, preprocessing

if TYPE_CHECKING:
    from torch import nn

PASSED = "passed"
Run = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]  # inputs (n, height, width, channels) -> outputs (n, classes)


@dataclass(frozen=True)
class Built:
    """An artifact, the check of the gate that failed (None: it passed), and what it recognises of each class.

    `right` (n,) says on which of the validation part the artifact is right. `recalls` are by part and precision:
    "validation" of the artifact, "float" and "int8" on the test part, None for a precision that there is not. `notes`
    are what was decided about the data (see `Dataset`).
    """

    artifact: Artifact
    failure: ConversionError | None
    right: npt.NDArray[np.bool_]
    recalls: Mapping[str, Recalls | None]
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """ "passed", or what failed."""
        return PASSED if self.failure is None else self.failure.message

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the recalls."""
        return tuple(self.artifact.manifest["output"]["labels"])

    @property
    def validation(self) -> float:
        """Accuracy on the validation part."""
        return float(self.right.mean())

    @property
    def tested(self) -> Recalls:
        """What the artifact recognises of the test part."""
        return tested(self.recalls)

    @property
    def accuracy_float(self) -> float:
        """Accuracy of the float32 model on the test part."""
        recalls = self.recalls["float"]
        assert recalls is not None
        return recalls.accuracy

    @property
    def accuracy_int8(self) -> float | None:
        """Accuracy of the int8 model on the test part; None if there is none."""
        recalls = self.recalls["int8"]
        return None if recalls is None else recalls.accuracy

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
            **accuracies(self.labels, self.recalls),
            "held_out": manifest["held_out"],
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
    task: str | None = None,
    group_by: str | None = None,
    reporter: Reporter | None = None,
) -> Built:
    """Convert the checkpoint that `edgenas train` wrote and save the artifact into the folder `out`.

    Raises UsageError for a file that is no checkpoint, ConversionError naming the check of the gate that failed,
    GuessingError if that is `guessing`; nothing is written then.
    """
    reporter = reporter or Silent()
    chosen = precision_of(precision)
    from edgenas.training.checkpoints import load_job  # torch takes seconds: what is mistyped is told before

    job = load_job(Path(checkpoint))
    dataset = load_data(data, task=task, seed=seed, size=size, group_by=group_by, reporter=reporter)
    bound = SearchSpace.load(space, dataset.input_shape, dataset.classes)
    architecture = bound.parse(job.architecture)
    reporter.stage("convert")
    with Converter(progress=reporter.say) as converter:
        built = build(converter, Path(checkpoint), bound, architecture, dataset, chosen)
    if built.failure is not None:
        raise built.failure
    built.artifact.save(Path(out))
    return built


def build(
    converter: Converter,
    checkpoint: Path,
    space: SearchSpace,
    architecture: Architecture,
    data: Dataset,
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
    from edgenas.training.checkpoints import load_network

    net = load_network(checkpoint, space, architecture)
    converted = converter.convert(net, space.input_shape, precision, calibration(data))
    run: Run = partial(run_tflite, converted.tflite)
    model: nn.Module = net
    if onnx == "int8":
        from edgenas.conversion.tensorrt import int8_network

        model = int8_network(net, calibration(data))
        run = partial(reference_outputs, model)
    right = _right(run, data, data.validation)
    recalls = {
        "validation": Recalls.of(right, data.validation.y, data.classes),
        "float": _recalls(partial(run_tflite, converted.float_tflite), data),
        "int8": _recalls(run, data) if "int8" in (precision, onnx) else None,
    }
    failure = None
    try:
        _judge(converted, net, data, run if onnx == "int8" else None)
        check_guessing(held_out(recalls))
    except ConversionError as error:
        failure = error
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
        recalls=recalls,
    )
    return Built(artifact, failure, right, recalls, data.notes)


def held_out(recalls: Mapping[str, Recalls | None]) -> Recalls:
    """Of everything that training did not see, the validation and test part together, by the model that is installed.

    `recalls` as in `Built`. Each example counts: where classes have few, the two parts have two or three of one.
    """
    validation = recalls["validation"]
    assert validation is not None
    return validation + tested(recalls)


def tested(recalls: Mapping[str, Recalls | None]) -> Recalls:
    """Of the test part, by the model that is installed; `recalls` as in `Built`."""
    test = recalls["int8"] or recalls["float"]
    assert test is not None
    return test


def _judge(converted: Converted, net: nn.Module, data: Dataset, quantised: Run | None) -> None:
    """The gate, for the .tflite file and for the int8 model for TensorRT if there is one. Raises ConversionError."""
    part = data.validation
    samples, weights = as_input(part.x), image_weights(part.y) if uneven(data) else None
    floats = reference_outputs(net, samples)
    gate(converted, samples, floats, part.y, weights=weights)
    if quantised is not None:
        integers = quantised(samples)
        check_argmax_agreement(integers, floats, weights=weights)
        check_accuracy_drop(integers, floats, part.y, weights=weights)


def _onnx(model: nn.Module, space: SearchSpace) -> bytes:
    from edgenas.conversion.tensorrt import to_tensorrt

    return to_tensorrt(model, space.input_shape)


def _quantised(inputs: npt.NDArray[np.float32], tensor: Tensor) -> npt.NDArray[Any]:
    return quantised(inputs, tensor.scale, tensor.zero_point, tensor.dtype)


def _artifact(
    converted: Converted,
    space: SearchSpace,
    architecture: Architecture,
    data: Dataset,
    board: str | None,
    recalls: Mapping[str, Recalls | None],
    **known: Any,
) -> Artifact:
    blocks = space.blocks(architecture)
    info = describe(converted.tflite)
    told = accuracies(data.labels, {name: recalls[name] for name in ("float", "int8")})
    return Artifact.build(
        name=f"{data.name}-{board}" if board else data.name,
        tflite=converted.tflite,
        precision=converted.precision,
        input=info.input,
        output=info.output,
        operators=info.operator_names,
        labels=data.labels,
        macs=estimate.macs(blocks),
        parameters=estimate.parameters(blocks),
        board=board,
        accuracy_float=told["accuracy"]["float"],
        accuracy_int8=told["accuracy"]["int8"],
        balanced_accuracy=told["balanced_accuracy"],
        recall=told["recall"],
        held_out=held_out(recalls).summary(),
        preprocessing=preprocessing(data, info.input, known.get("onnx") is not None),
        postprocessing=postprocessing(data, info.output),
        architecture=str(architecture),
        space=catalogue.named(space),
        task=data.task,
        **known,
    )


def _recalls(run: Run, data: Dataset) -> Recalls:
    return Recalls.of(_right(run, data, data.test), data.test.y, data.classes)


def _right(run: Run, data: Dataset, part: Split) -> npt.NDArray[np.bool_]:
    return tasks.named(data.task).right(run(as_input(part.x)), part.y)
