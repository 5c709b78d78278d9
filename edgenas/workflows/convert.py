"""`edgenas convert`: a trained checkpoint to an artifact that passed the gate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgenas import cost, tasks
from edgenas.artifact import MODEL, Artifact
from edgenas.conversion import Converted, Converter, Precision, describe, quantised, reference_outputs, run_tflite
from edgenas.conversion.export import to_onnx
from edgenas.conversion.gate import gate
from edgenas.errors import ConversionError
from edgenas.progress import Reporter, Silent
from edgenas.session import precision_of
from edgenas.space import Architecture, SearchSpace
from edgenas.tasks.batches import as_input, calibration, golden
from edgenas.tasks.images import ImageData, Split
from edgenas.training.fit import load_job, load_network
from edgenas.version import __version__

PASSED = "passed"


@dataclass(frozen=True)
class Built:
    """An artifact, what the gate said ("passed" or the failure), and its accuracies as fractions.

    `right` (n,) says on which images of the validation part the artifact is right; accuracies are on the test part.
    """

    artifact: Artifact
    verdict: str
    right: npt.NDArray[np.bool_]
    accuracy_float: float
    accuracy_int8: float | None

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
    job = load_job(Path(checkpoint))
    images = tasks.load(data, seed=seed, size=size)
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
    keep_onnx: bool = False,
) -> Built:
    """Convert a trained network and judge it; the gate looks at the validation part, which training did not see.

    keep_onnx: the artifact has the network as ONNX as well.
    """
    net = load_network(checkpoint, space, architecture)
    converted = converter.convert(net, space.input_shape, precision, calibration(data))
    samples = as_input(data.validation.x)
    verdict = PASSED
    try:
        gate(converted, samples, reference_outputs(net, samples), data.validation.y)
    except ConversionError as error:
        verdict = error.message
    accuracy_float = _accuracy(converted.float_tflite, data.test)
    accuracy_int8 = _accuracy(converted.tflite, data.test) if precision == "int8" else None
    onnx = to_onnx(net, space.input_shape) if keep_onnx else None
    artifact = _artifact(
        converted, space, architecture, data, board, budget_ms, versions, accuracy_float, accuracy_int8, onnx
    )
    return Built(artifact, verdict, _right(converted.tflite, data.validation), accuracy_float, accuracy_int8)


def _artifact(
    converted: Converted,
    space: SearchSpace,
    architecture: Architecture,
    data: ImageData,
    board: str | None,
    budget_ms: float | None,
    versions: Mapping[str, str] | None,
    accuracy_float: float,
    accuracy_int8: float | None,
    onnx: bytes | None,
) -> Artifact:
    blocks = space.blocks(architecture)
    info = describe(converted.tflite)
    inputs = golden(data)
    if converted.precision == "int8":
        inputs = quantised(inputs, info.input.scale, info.input.zero_point, info.input.dtype)
    return Artifact.build(
        name=f"{data.name}-{board}" if board else data.name,
        tflite=converted.tflite,
        precision=converted.precision,
        input=info.input,
        output=info.output,
        golden_inputs=inputs,
        golden_outputs=run_tflite(converted.tflite, inputs),
        operators=info.operator_names,
        labels=data.labels,
        macs=cost.macs(blocks),
        parameters=cost.parameters(blocks),
        board=board,
        budget_ms=budget_ms,
        accuracy_float=accuracy_float,
        accuracy_int8=accuracy_int8,
        versions=versions or {"edgenas": __version__},
        onnx=onnx,
    )


def _accuracy(tflite: bytes, split: Split) -> float:
    return float(_right(tflite, split).mean())


def _right(tflite: bytes, split: Split) -> npt.NDArray[np.bool_]:
    right: npt.NDArray[np.bool_] = run_tflite(tflite, as_input(split.x)).argmax(1) == split.y
    return right
