# SPDX-License-Identifier: Apache-2.0
"""The scale of image arrays: every range is read rightly, with a note, or refused with the value and the way out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgenas.errors import DataError
from edgenas.tasks import load
from edgenas.tasks.dataset import Dataset

UNIT = np.random.RandomState(0).random_sample((40, 8, 8, 3))
UNIT[0, 0, 0], UNIT[1, 0, 0] = 0, 1  # the whole range, whatever is drawn
BYTES = np.rint(UNIT * 255).astype(np.uint8)
Y = np.arange(40) % 4


def loaded(folder: Path, **arrays: np.ndarray) -> Dataset:
    np.savez(folder / "set.npz", **arrays)
    return load(str(folder / "set.npz"))


def refused(folder: Path, **arrays: np.ndarray) -> str:
    with pytest.raises(DataError) as caught:
        loaded(folder, **arrays)
    assert len(caught.value.message.replace(str(folder), "")) < 200
    return caught.value.message


@pytest.mark.parametrize(
    ("x", "notes"),
    [
        (BYTES, []),
        (UNIT, ["float64 values from 0 to 1 taken as 0..1"]),
        (UNIT.astype(np.float16), ["float16 values from 0 to 1 taken as 0..1"]),
        (UNIT * 1.02, ["float64 values from 0 to 1.02 taken as 0..1", "outside 0..1 clipped (0 to 1.02)"]),
        (UNIT * 1.15 - 0.05, ["values from -0.05 to 1.1 taken as 0..1", "outside 0..1 clipped (-0.05 to 1.1)"]),
        (UNIT * 255, ["float64 values from 0 to 255 taken as 0..255"]),
        (UNIT * 290 - 20, ["values from -20 to 270 taken as 0..255", "outside 0..255 clipped (-20 to 270)"]),
        (BYTES.astype(np.uint16), ["uint16 values from 0 to 255 taken as 0..255"]),
        (BYTES > 128, ["bool values from 0 to 1 taken as 0..1"]),
        (BYTES // 128, ["uint8 values from 0 to 1 taken as 0..1"]),
        (BYTES // 16, ["uint8 values only up to 15 of 255: the images are dark, scale them if that is white"]),
    ],
)
def test_scales_that_are_clear(tmp_path: Path, x: np.ndarray, notes: list[str]) -> None:
    data = loaded(tmp_path, x=x, y=Y)
    pixels = np.concatenate([data.train.x, data.validation.x, data.test.x])
    assert (pixels.min(), pixels.max()) == (0, 15 if "dark" in str(notes) else 255)
    said = "; ".join(data.notes)
    assert all(note in said for note in notes)
    assert (data.notes[0] == "4 classes of 10 images each") == (not notes)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (UNIT * 2 - 1, "x has float64 values from -1 to 1, as if normalised: save (x + 1) / 2"),
        ((UNIT - 0.45) / 0.225, "as if normalised: undo the normalisation, save uint8 in 0..255 or floats in 0..1"),
        (BYTES - 117.0, "x has float64 values from -117 to 138, as if normalised"),
        (BYTES.astype(np.int8), "x has int8 values from -128 to 127, as if normalised"),
        (UNIT * 16, "x has float64 values from 0 to 16, which may be 0..1, 0..255 or another scale: save uint8"),
        (UNIT * 100, "x has float64 values from 0 to 100, which may be"),
        (BYTES.astype(np.int64) // 16, "x has int64 values from 0 to 15, which may be"),
        (BYTES.astype(np.uint16) * 16, "x has uint16 values from 0 to 4080, more than 0..255: scale them, save uint8"),
        (UNIT * 65535, "x has float64 values from 0 to 65535, more than 0..255"),
        (np.where(UNIT == 1, np.inf, UNIT), "x has 3 values that are NaN or infinite: remove those images"),
    ],
)
def test_scales_that_are_not_clear_are_refused(tmp_path: Path, x: np.ndarray, message: str) -> None:
    assert message in refused(tmp_path, x=x, y=Y)


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (BYTES, UNIT, "x_test has float64 values from 0 to 1, but x_train has uint8 values from 0 to 255"),
        (UNIT, BYTES, "x_train has float64 values from 0 to 1, but x_test has uint8 values from 0 to 255"),
        (UNIT * 255, UNIT * 1.02, "x_test has float64 values from 0 to 1.02, but x_train"),
        (BYTES, BYTES // 128, "x_test has uint8 values from 0 to 1, but x_train"),
        (BYTES, UNIT * 2 - 1, "x_test has float64 values from -1 to 1, but x_train"),
    ],
)
def test_parts_of_two_scales_are_refused(tmp_path: Path, train: np.ndarray, test: np.ndarray, message: str) -> None:
    found = refused(tmp_path, x_train=train, y_train=Y, x_test=test, y_test=Y)
    assert message in found
    assert found.endswith("bring them to one scale")


def test_a_part_may_be_darker_than_the_other(tmp_path: Path) -> None:
    data = loaded(tmp_path, x_train=UNIT * 255, y_train=Y, x_test=UNIT * 90, y_test=Y)
    assert data.test.x.max() == 90
    assert loaded(tmp_path, x_train=BYTES, y_train=Y, x_test=BYTES * 0, y_test=Y).test.x.max() == 0


def test_single_images_of_another_scale_are_said(tmp_path: Path) -> None:
    x = UNIT * 255
    x[3:6] /= 255
    assert "3 images of these in 0..1: black now, bring all images to one scale" in loaded(tmp_path, x=x, y=Y).notes


def test_fortran_order_is_read_like_any_other(tmp_path: Path) -> None:
    plain = loaded(tmp_path, x=BYTES, y=Y)
    assert loaded(tmp_path, x=np.asfortranarray(BYTES), y=Y).fingerprint == plain.fingerprint


@pytest.mark.parametrize(
    ("y", "labels", "note"),
    [
        (Y.astype(np.float32), ("0", "1", "2", "3"), "y is float32, every value whole: taken as integers"),
        (np.eye(4)[Y], ("0", "1", "2", "3"), "y is one-hot: taken as the classes 0 to 3"),
        (np.eye(4, dtype=bool)[Y], ("0", "1", "2", "3"), "y is one-hot: taken as the classes 0 to 3"),
        (Y < 2, ("0", "1"), ""),
        (np.where(Y < 2, -1, 1), ("-1", "1"), "labels are not 0 to 1 but -1, 1: outputs are in this order"),
        (Y + 1, ("1", "2", "3", "4"), "labels are not 0 to 3 but 1, 2, 3, 4: outputs are in this order"),
        (Y * 5, ("0", "5", "10", "15"), "labels are not 0 to 3 but 0, 5, 10, 15: outputs are in this order"),
        (np.array(list("dcba"))[Y], ("a", "b", "c", "d"), ""),
        (np.array(list("aAbB"))[Y], ("A", "B", "a", "b"), "class names differ in case or accents' encoding only: A, a"),
        (np.array(["1", "2", "10"])[Y % 3], ("1", "10", "2"), "class names are sorted as text, not as numbers: 1, 10"),
    ],
)
def test_labels_of_every_form(tmp_path: Path, y: np.ndarray, labels: tuple[str, ...], note: str) -> None:
    data = loaded(tmp_path, x=BYTES, y=y)
    assert data.labels == labels
    assert note in "; ".join(data.notes)
    assert data.notes[0].startswith(note or f"{len(labels)} classes of")


@pytest.mark.parametrize(
    ("keys", "note"),
    [
        (("x", "y"), ""),
        (("X", "y"), "arrays by their names: X is x"),
        (("images", "labels"), "arrays by their names: images is x, labels is y"),
        (("data", "target"), "arrays by their names: data is x, target is y"),
        (("X_train", "y_train"), "arrays by their names: X_train is x_train"),
        (("train_images", "train_labels"), "train_images is x_train, train_labels is y_train"),
        (("trainX", "trainY"), "trainX is x_train, trainY is y_train"),
    ],
)
def test_usual_names_of_arrays(tmp_path: Path, keys: tuple[str, str], note: str) -> None:
    data = loaded(tmp_path, **{keys[0]: BYTES, keys[1]: Y})
    assert data.notes[0].endswith(note or "each")


def test_parts_under_usual_names(tmp_path: Path) -> None:
    parts = {"train_images": BYTES, "train_labels": Y, "val_images": BYTES, "val_labels": Y}
    data = loaded(tmp_path, **parts, test_images=BYTES, test_labels=Y, class_names=np.array(list("abcd")))
    assert (len(data.train), len(data.validation), len(data.test)) == (40, 40, 40)
    assert data.notes[1] == "arrays ignored: class_names"


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": BYTES, "data": BYTES, "y": Y}, "both images and data may be the images: name one x"),
        ({"x": BYTES, "label": Y, "target": Y}, "both label and target may be the labels: name one y"),
        ({"images": BYTES, "x_train": BYTES, "y_train": Y}, "both images and x_train are there: keep one"),
        ({"test_images": BYTES, "test_labels": Y}, "neither x nor x_train is there"),
        ({"x": BYTES.transpose(1, 2, 3, 0), "y": Y}, "images last: save it as x.transpose(3, 0, 1, 2)"),
        ({"x": BYTES.transpose(0, 3, 1, 2), "y": Y}, "channels first: save it as x.transpose(0, 2, 3, 1)"),
        ({"x": np.repeat(BYTES, 2, axis=3)[..., :4], "y": Y}, "images must be (N, H, W), (N, H, W, 1) or (N, H, W, 3)"),
        ({"x": BYTES, "y": UNIT[:, 0, 0, 0]}, "y is float64, labels must be integers or strings"),
    ],
)
def test_arrays_that_are_not_clear_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    assert message in refused(tmp_path, **arrays)
