# SPDX-License-Identifier: Apache-2.0
"""An artifact: the model file, its manifest and golden vectors, in one folder that any machine can verify.

    model.tflite     what is installed
    manifest.json    what it is, what it was measured to be, and the SHA-256 of the two other files; written last
    golden.npz       `inputs` in the model's dtype and the `outputs` that the host's runtime made of them
    model.onnx       the same network for TensorRT, where the board has that; else there is none; if it is int8, the
                     outputs are its own, as the host simulates it

Needs numpy only: a field machine installs artifacts without torch and without a converter.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgenas.archives import DAMAGE, Archive, check_arrays
from edgenas.errors import UsageError
from edgenas.resources import write_bytes, write_text
from firmware_tools.reading import MAX_BYTES, UnreadableError, parse_json, read_bytes

FORMAT = 1
MODEL, MANIFEST, GOLDEN, ONNX = "model.tflite", "manifest.json", "golden.npz", "model.onnx"

# Of a model: the largest networks for images have 350 MB as float32, and a board runs none of those.
MAX_MODEL_BYTES = 400 << 20
_MAX_MANIFEST_BYTES = 8 << 20  # the agent takes no longer line
_MAX_GOLDEN_BYTES = 128 << 20  # 16 images of the largest size have 50 MB as float32

INT8_TOLERANCE = 0.03
INT8_FRACTION = 0.99
FLOAT_TOLERANCE = 1e-3
HALF_TOLERANCE = 1e-2  # where the device computes in half precision: 11 bits instead of 24, and roundings add up
QUANTISED_TOLERANCE = 0.05  # and where it rounds to int8 in between: a few steps, of each layer's last, add up as well

Array = npt.NDArray[Any]

_NUMBER = (int, float)
_TENSOR: dict[str, Any] = {"shape": list, "dtype": str, "scale": _NUMBER, "zero_point": int}
# Required keys and the JSON types of their values; "x?" may be null. The look-up of every reader, so checked on load.
_SHAPE: dict[str, Any] = {
    "format": int,
    "name": str,
    "created_utc": str,
    "sha256": str,
    "bytes": int,
    "precision": str,
    "input": {**_TENSOR, "range?": list},
    "output": {**_TENSOR, "labels?": list},
    "golden": {"sha256": str, "n": int},
    "operators": list,
    "macs?": int,
    "parameters?": int,
    "peak_ram_bytes?": int,
    "board?": str,
    "budget_ms?": _NUMBER,
    "accuracy": {"float?": _NUMBER, "int8?": _NUMBER},
    "balanced_accuracy?": {"float?": _NUMBER, "int8?": _NUMBER},
    "recall?": dict,
    "held_out?": {"images": int, "balanced_accuracy": _NUMBER, "lower_bound": _NUMBER, "chance": _NUMBER},
    "preprocessing?": dict,
    "postprocessing?": dict,
    "versions": dict,
    "architecture?": str,
    "space?": {"name": str, "table?": dict},
    "task?": str,
    "onnx?": {"sha256": str, "bytes": int},
}


@dataclass(frozen=True)
class Tensor:
    """The model's input or output. `shape` is NHWC with the batch of one; scale and zero point are 0 for float32."""

    shape: tuple[int, ...]
    dtype: str
    scale: float = 0.0
    zero_point: int = 0


@dataclass(frozen=True)
class Artifact:
    """A model: the bytes of its files, and the manifest as JSON values (not to be changed)."""

    tflite: bytes
    manifest: dict[str, Any]
    golden: bytes
    onnx: bytes | None = None

    @classmethod
    def build(
        cls,
        *,
        name: str,
        tflite: bytes,
        precision: str,
        input: Tensor,
        output: Tensor,
        golden_inputs: Array,
        golden_outputs: Array,
        operators: Sequence[str] = (),
        input_range: tuple[float, float] | None = (0.0, 1.0),
        labels: Sequence[str] | None = None,
        macs: int | None = None,
        parameters: int | None = None,
        peak_ram_bytes: int | None = None,
        board: str | None = None,
        budget_ms: float | None = None,
        accuracy_float: float | None = None,
        accuracy_int8: float | None = None,
        balanced_accuracy: Mapping[str, float | None] | None = None,
        recall: Mapping[str, Any] | None = None,
        held_out: Mapping[str, Any] | None = None,
        preprocessing: Mapping[str, Any] | None = None,
        postprocessing: Mapping[str, Any] | None = None,
        versions: Mapping[str, str] | None = None,
        onnx: bytes | None = None,
        onnx_precision: str = "float32",
        architecture: str | None = None,
        space: Mapping[str, Any] | None = None,
        task: str | None = None,
    ) -> Artifact:
        """Make the manifest from what is known; None where it is not.

        `golden_inputs` (n, height, width, channels) are in the model's input dtype, `golden_outputs` (n, classes) in
        its output dtype, as the host's runtime made them. `input_range` is what the inputs mean before quantisation;
        accuracies are fractions, `budget_ms` is in the board's unit. `balanced_accuracy`, `recall` and `held_out` are
        those of `edgenas.tasks.recalls`, `preprocessing` and `postprocessing` of `edgenas.workflows.front_end`.
        `architecture` is its text, `space` has the name of its search space and, for a user's own, the table. Raises
        ValueError if the golden vectors do not fit the tensors or there are none.
        """
        for what, values, tensor in (("inputs", golden_inputs, input), ("outputs", golden_outputs, output)):
            if len(values) == 0 or values.shape[1:] != tensor.shape[1:] or values.dtype != np.dtype(tensor.dtype):
                raise ValueError(f"golden {what} are {values.dtype}{values.shape}, the model's {tensor}")
        if len(golden_inputs) != len(golden_outputs):
            raise ValueError(f"{len(golden_inputs)} golden inputs, {len(golden_outputs)} golden outputs")
        golden = _pack(golden_inputs, golden_outputs)
        manifest = {
            "format": FORMAT,
            "name": name,
            "created_utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "sha256": _sha256(tflite),
            "bytes": len(tflite),
            "precision": precision,
            "input": {**_tensor(input), "range": None if input_range is None else list(input_range)},
            "output": {**_tensor(output), "labels": None if labels is None else list(labels)},
            "golden": {"sha256": _sha256(golden), "n": len(golden_inputs)},
            "operators": list(operators),
            "macs": macs,
            "parameters": parameters,
            "peak_ram_bytes": peak_ram_bytes,
            "board": board,
            "budget_ms": budget_ms,
            "accuracy": {"float": accuracy_float, "int8": accuracy_int8},
            "balanced_accuracy": balanced_accuracy and dict(balanced_accuracy),
            "recall": recall and dict(recall),
            "held_out": held_out and dict(held_out),
            "preprocessing": preprocessing and dict(preprocessing),
            "postprocessing": postprocessing and dict(postprocessing),
            "versions": dict(versions or {}),
            "architecture": architecture,
            "space": space and dict(space),
            "task": task,
        }
        if onnx is not None:
            manifest["onnx"] = {"sha256": _sha256(onnx), "bytes": len(onnx), "precision": onnx_precision}
        return cls(tflite, manifest, golden, onnx)

    @property
    def guesses(self) -> bool:
        """Whether it cannot be told from guessing on images that training did not see; False where nothing is known."""
        held_out = self.manifest.get("held_out")
        return held_out is not None and held_out["lower_bound"] <= held_out["chance"]

    @property
    def sha256(self) -> str:
        """Of model.tflite, in hexadecimal: the artifact's identity."""
        return str(self.manifest["sha256"])

    def golden_vectors(self) -> tuple[Array, Array]:
        """The golden inputs and the outputs that the host made of them. Raises UsageError if they are damaged."""
        try:
            with Archive(io.BytesIO(self.golden)) as file, zipfile.ZipFile(file) as archive:
                check_arrays(archive, ("inputs", "outputs"), _MAX_GOLDEN_BYTES)
            with np.load(io.BytesIO(self.golden), allow_pickle=False) as data:
                return data["inputs"], data["outputs"]
        except DAMAGE as error:
            why = str(error) or type(error).__name__
            message = f"{GOLDEN} of {self.manifest['name']!r}: {why}: the artifact is damaged, deploy again"
            raise UsageError(message, file=GOLDEN, key="golden") from error

    def measured(self, latency_ms: float, statistic: str, unit: str) -> Artifact:
        """The same model with what its board measured in the manifest, for those who find it installed later."""
        measured = {"latency_ms": latency_ms, "statistic": statistic, "unit": unit}
        return replace(self, manifest={**self.manifest, "measured": measured})

    def save(self, folder: Path) -> None:
        """Write the files, each whole or not at all; the manifest last: a half-saved folder is not loaded."""
        write_bytes(folder / MODEL, self.tflite)
        if self.onnx is not None:
            write_bytes(folder / ONNX, self.onnx)
        write_bytes(folder / GOLDEN, self.golden)
        write_text(folder / MANIFEST, json.dumps(self.manifest, indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Artifact:
        """Read and verify a folder. Raises UsageError whose fields `file` and `key` say what is wrong."""
        source = folder / MANIFEST
        try:
            manifest = parse_json(_read(source, _MAX_MANIFEST_BYTES))
        except ValueError as error:
            raise _damaged(source, "", f"is {error}") from error
        if not isinstance(manifest, dict):
            raise _damaged(source, "", "is not a JSON object")
        if manifest.get("format") != FORMAT:
            raise _damaged(source, "format", f"is {manifest.get('format')!r}, this edgenas reads {FORMAT}")
        _check_keys(source, manifest, _SHAPE, "")
        sizes = [manifest["bytes"], (manifest.get("onnx") or {}).get("bytes", 0)]
        if sum(sizes) > MAX_MODEL_BYTES:
            raise _damaged(source, "bytes", f"is {sum(sizes)} in all, this edgenas reads {MAX_MODEL_BYTES}")
        tflite = _read(folder / MODEL, max(MAX_BYTES, sizes[0]))
        if len(tflite) != manifest["bytes"]:
            raise _damaged(folder / MODEL, "bytes", f"has {len(tflite)} bytes, the manifest says {manifest['bytes']}")
        golden = _read(folder / GOLDEN, _MAX_GOLDEN_BYTES)
        onnx = None if manifest.get("onnx") is None else _read(folder / ONNX, max(MAX_BYTES, sizes[1]))
        files = [
            (MODEL, tflite, "sha256", manifest["sha256"]),
            (GOLDEN, golden, "golden.sha256", manifest["golden"]["sha256"]),
        ]
        if onnx is not None:
            files.append((ONNX, onnx, "onnx.sha256", manifest["onnx"]["sha256"]))
        for file, data, key, wanted in files:
            if _sha256(data) != wanted:
                raise _damaged(
                    folder / file, key, f"has SHA-256 {_sha256(data)[:12]}..., the manifest {wanted[:12]}..."
                )
        return cls(tflite, manifest, golden, onnx)


def read_model(path: Path) -> tuple[Path, bytes]:
    """The model file at `path`, a .tflite file or an artifact's folder: where it is, and its bytes.

    Raises UsageError if it cannot be read, is no TFLite model, or the artifact is damaged.
    """
    if path.is_dir():
        return path / MODEL, Artifact.load(path).tflite
    tflite = _read_file(path)
    if tflite[4:8] != b"TFL3":
        raise UsageError(f"{path} is not a TFLite model: name a .tflite file or an artifact's folder", file=str(path))
    return path, tflite


def read_onnx(path: Path, taker: str = "TensorRT", runtime: str = "tensorrt") -> tuple[Path, bytes]:
    """The ONNX model at `path`, an .onnx file or an artifact's folder, for `taker`: where it is, and its bytes.

    Raises UsageError if it cannot be read, or the artifact has none or is damaged.
    """
    if not path.is_dir():
        if path.suffix != ".onnx":
            message = f"{path} is not what {taker} takes: name an .onnx file or the folder of a run"
            raise UsageError(message, file=str(path))
        return path, _read_file(path)
    onnx = Artifact.load(path).onnx
    if onnx is None:
        message = f"{path} has no {ONNX}, which {taker} takes: deploy with --runtime {runtime}"
        raise UsageError(message, file=str(path))
    return path / ONNX, onnx


def _read_file(path: Path) -> bytes:
    try:
        return read_bytes(path, MAX_MODEL_BYTES)
    except (OSError, UnreadableError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{path} cannot be read: {reason}", file=str(path)) from error


def golden_mismatch(expected: Array, actual: Array, float_tolerance: float = FLOAT_TOLERANCE) -> str | None:
    """What is wrong with `actual`, a device's outputs (n, classes) on the golden inputs, in one line; None if nothing.

    Runtimes round differently, so equality is not asked for. Integer outputs: at least 99 % of the values within 3 % of
    the range of `expected`, and never less than one quantisation step: each layer's last step adds up, and two correct
    sets of kernels were seen to differ by up to 5 steps of 230 behind a depthwise network. Float32: every value within
    `float_tolerance` * max(1, largest absolute expected value). Both: the class with the largest output is the same,
    unless the two classes are so close in `expected` that this tolerance, once up and once down, turns their order.
    Other shapes or dtypes, and values that are not finite, are mismatches.
    """
    if expected.shape != actual.shape or expected.dtype != actual.dtype:
        return f"outputs are {actual.dtype}{actual.shape}, expected {expected.dtype}{expected.shape}"
    wanted, got = expected.astype(np.float64), actual.astype(np.float64)
    if not np.isfinite(got).all():
        return "outputs hold values that are not finite"
    difference = np.abs(wanted - got)
    if np.issubdtype(expected.dtype, np.integer):
        tolerance = max(1.0, round(INT8_TOLERANCE * float(wanted.max() - wanted.min())))
        within = float((difference <= tolerance).mean())
        if within < INT8_FRACTION:
            return (
                f"{1 - within:.1%} of the output values differ by more than {tolerance:.0f} steps "
                f"(largest {difference.max():.0f}), the limit is {1 - INT8_FRACTION:.0%}"
            )
    else:
        tolerance = float_tolerance * max(1.0, float(np.abs(wanted).max()))
        if difference.max() > tolerance:
            return f"an output value differs by {difference.max():.3g}, the limit is {tolerance:.3g}"
    rows = np.arange(len(wanted))
    lost = wanted.max(1) - wanted[rows, got.argmax(1)]
    wrong = int((lost > 2 * tolerance).sum())
    return f"the class differs on {wrong} of {len(wanted)} golden inputs" if wrong else None


def _tensor(tensor: Tensor) -> dict[str, Any]:
    return {
        "shape": [int(size) for size in tensor.shape],
        "dtype": tensor.dtype,
        "scale": float(tensor.scale),
        "zero_point": int(tensor.zero_point),
    }


def _pack(inputs: Array, outputs: Array) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, inputs=inputs, outputs=outputs)  # its dates are constant: same vectors, same bytes
    return file.getvalue()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _read(path: Path, max_bytes: int = MAX_MODEL_BYTES) -> bytes:
    try:
        return read_bytes(path, max_bytes)
    except (OSError, UnreadableError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{path}: cannot be read ({reason}); deploy again", file=str(path), key="") from error


def _check_keys(source: Path, values: dict[str, Any], shape: dict[str, Any], prefix: str) -> None:
    for name, kind in shape.items():
        key = name.rstrip("?")
        value = values.get(key)
        if value is None and name.endswith("?"):
            continue
        if key not in values:
            raise _damaged(source, prefix + key, "is missing")
        wanted = dict if isinstance(kind, dict) else kind
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise _damaged(source, prefix + key, f"is {value!r}")
        if isinstance(kind, dict):
            _check_keys(source, value, kind, f"{prefix}{key}.")


def _damaged(file: Path, key: str, what: str) -> UsageError:
    where = f"{file}: {key}" if key else str(file)
    return UsageError(f"{where} {what}: the artifact is damaged, deploy again", file=str(file), key=key)
