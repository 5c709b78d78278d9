# SPDX-License-Identifier: Apache-2.0
"""Whoever follows the manifest, with Pillow and numpy alone, feeds the model exactly what edgenas does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from edgenas import tasks
from edgenas.artifacts.artifact import Tensor
from edgenas.conversion import quantised
from edgenas.tasks.batches import as_input
from edgenas.tasks.dataset import Dataset
from edgenas.workflows.convert import Built
from edgenas.workflows.front_end import postprocessing, preprocessing

INT8 = Tensor((1, 8, 8, 1), "int8", float(np.float32(1 / 255)), -128)
ODD = Tensor((1, 8, 8, 1), "int8", 0.0031, -101)  # a scale of which a byte is no difference
FLOAT = Tensor((1, 8, 8, 1), "float32")


def follow(manifest: dict[str, Any], picture: Image.Image) -> np.ndarray:
    """The model's input (height, width, channels) for a picture, by what the manifest says and nothing else."""
    if manifest["jpeg_reduced_to"] and picture.format == "JPEG":
        least = manifest["jpeg_reduced_to"]
        picture.draft(None, (least, least))
    if manifest["exif_orientation"] == "apply":
        picture = ImageOps.exif_transpose(picture)
    if manifest["transparency"] == "white" and picture.mode == "RGBA":
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    if manifest["color"] == "grayscale" and picture.mode != "L":
        red, green, blue = np.moveaxis(np.asarray(picture.convert("RGB")).astype(int), 2, 0)
        assert manifest["gray_from_rgb"] == "(19595 * R + 38470 * G + 7471 * B + 32768) >> 16"
        picture = Image.fromarray(((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16).astype(np.uint8))
    if manifest["color"] == "RGB":
        picture = picture.convert("RGB")
    target = manifest["width"], manifest["height"]
    if manifest["resize"] == "cover" and picture.size != target:
        assert manifest["resize_filter"] == "bilinear, antialiased"
        picture = picture.resize(target, Image.Resampling.BILINEAR, box=middle(picture.size, target))
    assert picture.size == target
    assert (manifest["value"], manifest["layout"]) == ("pixel / 255", "NHWC")
    pixels = np.asarray(picture).reshape(target[1], target[0], -1)
    values = pixels.astype(np.float32) / np.float32(255)
    if manifest["quantise"] is None:
        assert manifest["dtype"] == "float32"
        return values
    assert manifest["quantise"] == "clip(round(value / scale) + zero_point, -128, 127)"
    rounded = np.rint(values / np.float32(manifest["scale"])) + manifest["zero_point"]
    result: np.ndarray = np.clip(rounded, -128, 127).astype(manifest["dtype"])
    if manifest["int8_from_pixel"]:
        assert manifest["int8_from_pixel"] == "pixel - 128"
        np.testing.assert_array_equal(result, pixels.astype(int) - 128)
    return result


def middle(size: tuple[int, int], target: tuple[int, int]) -> tuple[float, float, float, float]:
    """The largest box in the middle that has the target's ratio of width to height."""
    (width, height), ratio = size, target[0] / target[1]
    w, h = (ratio * height, height) if width / height > ratio else (width, width / ratio)
    left, top = (width - w) / 2, (height - h) / 2
    return left, top, left + w, top + h


def photograph(seed: int, width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Waves of each channel's own length, and a little noise: smooth enough for a JPEG, nowhere flat."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [127 + 100 * np.sin(x / rng.uniform(3, 30) + y / rng.uniform(3, 30)) for _ in range(4)]
    pixels = np.stack(waves, 2) + rng.uniform(-20, 20, (height, width, 4))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8), "RGBA").convert(mode)


def write(root: Path, size: Callable[[int], tuple[int, int]], mode: str = "RGB", kind: str = "png") -> list[Path]:
    """Ten pictures in two classes; picture i is `size(i)`, every third one (not as PNG) lies on its side by EXIF."""
    files = []
    for index in range(10):
        file = root / "ab"[index % 2] / f"{index}.{kind}"
        file.parent.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        if kind == "jpg" and index % 3 == 0:
            exif[0x0112] = 6
        photograph(index, *size(index), mode).save(file, exif=exif)
        files.append(file)
    return files


def mixed(index: int) -> tuple[int, int]:
    return 31 + 7 * index, 53 - 2 * index


CASES: dict[str, tuple[Callable[[int], tuple[int, int]], str, str, int | None, dict[str, Any]]] = {
    "mixed sizes": (mixed, "RGB", "png", None, {"resize": "cover", "resized_from": None, "color": "RGB"}),
    "mixed sizes, gray": (mixed, "L", "png", None, {"resize": "cover", "color": "grayscale"}),
    "transparent": (mixed, "RGBA", "png", 17, {"resize": "cover", "width": 17, "transparency": "white"}),
    "photographs on their side": (lambda i: (301 + i, 203), "RGB", "jpg", 24, {"jpeg_reduced_to": 48}),
    "one size, kept": (lambda i: (37, 29), "RGB", "png", None, {"resize": "none", "width": 37, "height": 29}),
    "one size, too large": (
        *(lambda i: (203, 101), "RGB", "png", None),
        {"resize": "cover", "width": 96, "height": 48, "resized_from": [203, 101]},
    ),
    "one size, another asked for": (lambda i: (37, 29), "L", "png", 16, {"resize": "cover", "resized_from": [37, 29]}),
}


def inputs(data: Dataset, tensor: Tensor) -> list[bytes]:
    """All that edgenas makes of the data, in no order."""
    floats = as_input(np.concatenate([part.x for part in (data.train, data.validation, data.test)]))
    ready = floats if tensor.dtype == "float32" else quantised(floats, tensor.scale, tensor.zero_point)
    return sorted(each.tobytes() for each in ready)


@pytest.mark.parametrize("tensor", [INT8, ODD, FLOAT], ids=["int8", "another scale", "float32"])
@pytest.mark.parametrize("name", CASES)
def test_image_files(tmp_path: Path, name: str, tensor: Tensor) -> None:
    size, mode, kind, asked, told = CASES[name]
    files = write(tmp_path, size, mode, kind)
    data = tasks.load(str(tmp_path), size=asked)
    manifest = preprocessing(data, tensor)
    assert {key: manifest[key] for key in told} == told
    assert (manifest["source"], manifest["exif_orientation"]) == ("files", "apply")
    assert manifest["int8_from_pixel"] == ("pixel - 128" if tensor == INT8 else None)
    followed = []
    for file in files:
        with Image.open(file) as picture:
            followed.append(follow(manifest, picture).tobytes())
    assert sorted(followed) == inputs(data, tensor)


def test_a_camera_in_colour_feeds_a_model_of_gray_files(tmp_path: Path) -> None:
    write(tmp_path, lambda i: (40, 30), "L")
    manifest = preprocessing(tasks.load(str(tmp_path)), INT8)
    frame = photograph(99, 40, 30)
    expected = np.asarray(frame.convert("L")).astype(int) - 128
    np.testing.assert_array_equal(follow(manifest, frame)[:, :, 0], expected)


@pytest.mark.parametrize(
    ("shape", "size", "told"),
    [
        ((10, 21, 33, 3), None, {"resize": "none", "color": "RGB", "width": 33, "height": 21}),
        ((10, 21, 33), 12, {"resize": "cover", "resized_from": [33, 21], "color": "grayscale"}),
    ],
    ids=["kept", "resized"],
)
def test_npz(tmp_path: Path, shape: tuple[int, ...], size: int | None, told: dict[str, Any]) -> None:
    x = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    np.savez(tmp_path / "set.npz", x=x, y=np.arange(10) % 2)
    data = tasks.load(str(tmp_path / "set.npz"), size=size)
    manifest = preprocessing(data, INT8)
    assert {key: manifest[key] for key in told} == told
    of_files = ("exif_orientation", "transparency", "jpeg_reduced_to")
    assert (manifest["source"], *(manifest[key] for key in of_files)) == ("npz", None, None, None)
    followed = [follow(manifest, Image.fromarray(each)).tobytes() for each in x]
    assert sorted(followed) == inputs(data, INT8)


@pytest.mark.parametrize("onnx", [None, "float32"])
def test_the_artifact_of_a_built_in_set(build_digits: Callable[..., Built], onnx: str | None) -> None:
    artifact = build_digits("int8", onnx).artifact
    manifest = artifact.manifest["preprocessing"]
    assert (manifest["source"], manifest["resize"], manifest["color"]) == ("built-in", "none", "grayscale")
    assert [manifest[key] for key in ("dtype", "scale", "zero_point")] == [
        artifact.manifest["input"][key] for key in ("dtype", "scale", "zero_point")
    ]
    assert manifest["onnx"] == (onnx and {"layout": "NCHW", "dtype": "float32", "value": "pixel / 255"})
    pictures = [Image.fromarray(pixels[:, :, 0]) for pixels in tasks.load("digits").test.x]
    followed = {follow(manifest, picture).tobytes() for picture in pictures}
    given, outputs = artifact.golden_vectors()
    assert all(each.tobytes() in followed for each in given)

    reading = artifact.manifest["postprocessing"]
    assert (reading["values"], reading["class"]) == ("logits", "argmax")
    assert reading["dequantise"] == "(output - zero_point) * scale"
    logits = (outputs.astype(np.float32) - reading["zero_point"]) * reading["scale"]
    chance = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_array_equal(outputs.argmax(1), chance.argmax(1))


def test_what_is_float32_is_not_quantised() -> None:
    assert postprocessing(tasks.load("digits"), FLOAT) == {
        "values": "logits",
        "dequantise": None,
        "scale": None,
        "zero_point": None,
        "class": "argmax",
        "probabilities": "softmax of the logits",
    }
