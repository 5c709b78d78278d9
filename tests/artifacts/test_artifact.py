# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgenas.artifacts.artifact import Artifact, Tensor, golden_mismatch
from edgenas.errors import UsageError

INPUT = Tensor((1, 4, 4, 1), "int8", 1 / 255, -128)
OUTPUT = Tensor((1, 3), "int8", 0.1, 5)


def build(**changes: Any) -> Artifact:
    rng = np.random.default_rng(0)
    facts: dict[str, Any] = {
        "name": "mnist-host",
        "tflite": bytes(range(256)) * 8,
        "precision": "int8",
        "input": INPUT,
        "output": OUTPUT,
        "golden_inputs": rng.integers(-128, 128, (5, 4, 4, 1), dtype=np.int8),
        "golden_outputs": rng.integers(-128, 128, (5, 3), dtype=np.int8),
        "operators": ["CONV_2D"],
        "labels": ["a", "b", "c"],
        "macs": 1000,
        "budget_ms": 0.35,
        "accuracy_int8": 0.97,
    }
    return Artifact.build(**{**facts, **changes})


def test_save_then_load_gives_the_same(tmp_path: Path) -> None:
    artifact = build()
    artifact.save(tmp_path / "run")
    loaded = Artifact.load(tmp_path / "run")
    assert loaded == artifact
    inputs, outputs = loaded.golden_vectors()
    assert inputs.shape == (5, 4, 4, 1)
    assert outputs.dtype == np.int8
    assert loaded.manifest["input"] == {
        "shape": [1, 4, 4, 1],
        "dtype": "int8",
        "scale": 1 / 255,
        "zero_point": -128,
        "range": [0.0, 1.0],
    }
    assert loaded.manifest["accuracy"] == {"float": None, "int8": 0.97}
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["golden.npz", "manifest.json", "model.tflite"]


def test_same_vectors_same_checksum() -> None:
    assert build().golden == build().golden


@pytest.mark.parametrize(
    "changes",
    [
        {"golden_inputs": np.zeros((5, 4, 4, 3), np.int8)},
        {"golden_inputs": np.zeros((5, 4, 4, 1), np.float32)},
        {"golden_inputs": np.zeros((4, 4, 4, 1), np.int8)},
        {"golden_inputs": np.zeros((0, 4, 4, 1), np.int8), "golden_outputs": np.zeros((0, 3), np.int8)},
        {"golden_outputs": np.zeros((5, 4), np.int8)},
    ],
)
def test_golden_vectors_must_fit(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="golden"):
        build(**changes)


def _edit(folder: Path, path: str, value: object) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    *parents, key = path.split(".")
    inner = manifest
    for parent in parents:
        inner = inner[parent]
    if value is None:
        del inner[key]
    else:
        inner[key] = value
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("format", 2),
        ("sha256", None),
        ("sha256", 7),
        ("bytes", "many"),
        ("bytes", True),
        ("input", []),
        ("input.scale", None),
        ("output.shape", "1x3"),
        ("golden.n", None),
        ("golden.sha256", None),
        ("macs", "1000"),
        ("accuracy.int8", "good"),
        ("operators", None),
    ],
)
def test_damaged_key_is_named(tmp_path: Path, path: str, value: object) -> None:
    build().save(tmp_path)
    _edit(tmp_path, path, value)
    with pytest.raises(UsageError) as caught:
        Artifact.load(tmp_path)
    assert caught.value.fields == {"file": str(tmp_path / "manifest.json"), "key": path}
    assert f"manifest.json: {path} " in caught.value.message


def test_nullable_key_may_be_missing(tmp_path: Path) -> None:
    build().save(tmp_path)
    _edit(tmp_path, "macs", None)
    Artifact.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "key"), [("model.tflite", "sha256"), ("golden.npz", "golden.sha256")], ids=["model", "golden"]
)
def test_flipped_bit_is_found(tmp_path: Path, name: str, key: str) -> None:
    build().save(tmp_path)
    data = bytearray((tmp_path / name).read_bytes())
    data[100] ^= 1
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UsageError) as caught:
        Artifact.load(tmp_path)
    assert caught.value.fields == {"file": str(tmp_path / name), "key": key}


def test_truncated_model_is_found(tmp_path: Path) -> None:
    build().save(tmp_path)
    (tmp_path / "model.tflite").write_bytes(b"short")
    with pytest.raises(UsageError, match=r"model\.tflite: bytes has 5 bytes, the manifest says 2048"):
        Artifact.load(tmp_path)


@pytest.mark.parametrize("name", ["model.tflite", "golden.npz", "manifest.json"])
def test_missing_file_is_named(tmp_path: Path, name: str) -> None:
    build().save(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(UsageError, match=name):
        Artifact.load(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "\xff\xfe"])
def test_manifest_that_is_no_object(tmp_path: Path, text: str) -> None:
    build().save(tmp_path)
    (tmp_path / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match=r"manifest\.json"):
        Artifact.load(tmp_path)


def test_save_over_another_that_stops_half_way_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build().save(tmp_path)
    other = build(tflite=b"x" * 2048)
    monkeypatch.setattr("edgenas.artifacts.artifact.write_text", _no_space)
    with pytest.raises(OSError, match="full"):
        other.save(tmp_path)
    with pytest.raises(UsageError, match="sha256"):
        Artifact.load(tmp_path)


def _no_space(_path: Path, _text: str) -> None:
    raise OSError(28, "disk full")


def int8(*rows: list[int]) -> np.ndarray:
    return np.array(rows, np.int8)


def test_golden_equal_and_one_step() -> None:
    expected = int8([1, 5, -10], [0, 1, 10])  # 3 % of this range is less than a step
    assert golden_mismatch(expected, expected) is None
    assert golden_mismatch(expected, expected + np.int8(1)) is None
    assert golden_mismatch(expected, int8([2, 4, -11], [1, 0, 9])) is None
    assert golden_mismatch(expected, expected + np.int8(2)) is not None


def test_golden_beyond_the_tolerance_on_more_than_one_percent() -> None:
    expected = np.zeros((100, 2), np.int8)
    expected[:, 1] = 100
    actual = expected.copy()
    actual[:, 1] -= 3  # 3 % of the range
    actual[:2, 0] = 4
    assert golden_mismatch(expected, actual) is None  # exactly 1 % of 200 values
    actual[2, 0] = 4
    assert golden_mismatch(expected, actual) == (
        "1.5% of the output values differ by more than 3 steps (largest 4), the limit is 1%"
    )


def test_golden_does_not_wrap_around() -> None:
    assert golden_mismatch(int8([127, 0]), int8([-128, 0])) is not None


def test_golden_argmax_may_turn_on_a_tie_only() -> None:
    assert golden_mismatch(int8([50, 49, 0]), int8([49, 50, 0])) is None
    expected = np.zeros((50, 4), np.int8)
    expected[:, 0], expected[:, 1] = 50, 40
    actual = expected.copy()
    actual[0, 1] = 60  # one value of 200 is allowed to be far off, the class is not
    assert golden_mismatch(expected, actual) == "the class differs on 1 of 50 golden inputs"


def test_golden_float() -> None:
    expected = np.array([[1.0, 200.0], [3.0, -4.0]], np.float32)
    assert golden_mismatch(expected, expected + np.float32(0.1)) is None
    assert "differs by 0.5" in str(golden_mismatch(expected, expected + np.float32(0.5)))
    nan = expected.copy()
    nan[0, 0] = np.nan
    assert "finite" in str(golden_mismatch(expected, nan))


def test_golden_shape_and_dtype() -> None:
    assert golden_mismatch(int8([1, 2]), int8([1, 2, 3])) is not None
    assert golden_mismatch(int8([1, 2]), np.array([[1, 2]], np.float32)) is not None


def test_artifact_imports_nothing_heavy() -> None:
    import subprocess
    import sys

    code = (
        "import sys, edgenas.artifacts.artifact, edgenas.conversion\n"
        "heavy = {'torch', 'onnx', 'ai_edge_litert', 'ai_edge_quantizer', 'tflite_runtime', 'flatbuffers'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_golden_vectors_that_would_fill_the_memory_are_refused() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in ("inputs", "outputs"):
            with archive.open(f"{name}.npy", "w") as entry:
                np.save(entry, np.zeros(80 << 20, np.int8))
    artifact = Artifact(b"", {"name": "bomb"}, file.getvalue())
    with pytest.raises(UsageError, match=r"golden\.npz of 'bomb': outputs is .* 134 MB are the most.*: the artifact"):
        artifact.golden_vectors()
    with pytest.raises(UsageError, match="the artifact is damaged, deploy again"):
        Artifact(b"", {"name": "bomb"}, b"PK").golden_vectors()
