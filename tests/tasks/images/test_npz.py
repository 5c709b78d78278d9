# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgenas.errors import DataError
from edgenas.tasks import load

RANDOM = np.random.RandomState(0)
X = RANDOM.randint(0, 256, (40, 10, 12), dtype=np.uint8)
Y = np.repeat([0, 1], 20)


def saved(folder: Path, **arrays: object) -> str:
    path = folder / "set.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return str(path)


@pytest.mark.parametrize("shape", [(40, 10, 12), (40, 10, 12, 1), (40, 10, 12, 3)])
def test_shapes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    x = RANDOM.randint(0, 256, shape, dtype=np.uint8)
    data = load(saved(tmp_path, x=x, y=Y))
    assert data.name == "set"
    assert data.input_shape == (shape[3] if len(shape) == 4 else 1, 10, 12)
    assert (len(data.train), len(data.validation), len(data.test)) == (28, 4, 8)
    everything = np.concatenate([data.train.x, data.validation.x, data.test.x])
    assert {image.tobytes() for image in everything} == {image.tobytes() for image in x}
    assert len(data.notes) == 3


@pytest.mark.parametrize(
    ("x", "note"),
    [
        (X, ""),
        (X.astype(np.float64), "float64 values from 0 to 255 taken as 0..255"),
        ((X / 255).astype(np.float32), "float32 values from 0 to 1 taken as 0..1"),
        (X.astype(np.int64), "int64 values from 0 to 255 taken as 0..255"),
    ],
)
def test_values_of_any_scale_give_the_same_data(tmp_path: Path, x: np.ndarray, note: str) -> None:
    plain = load(saved(tmp_path, x=X, y=Y))
    other = load(saved(tmp_path, x=x, y=Y))
    assert other.fingerprint == plain.fingerprint
    assert other.notes[: len(other.notes) - 3] == ((note,) if note else ())


def test_ones_and_zeros_become_black_and_white(tmp_path: Path) -> None:
    data = load(saved(tmp_path, x=X > 128, y=Y))
    assert set(np.unique(data.train.x)) == {0, 255}
    assert data.notes[0] == "bool values from 0 to 1 taken as 0..1"


def test_string_and_column_labels(tmp_path: Path) -> None:
    names = np.array(["oak", "elm"])
    assert load(saved(tmp_path, x=X, y=names[Y])).labels == ("elm", "oak")
    assert load(saved(tmp_path, x=X, y=names[Y].astype("S"))).labels == ("elm", "oak")
    assert load(saved(tmp_path, x=X, y=Y[:, None] * 10 + 2)).labels == ("2", "12")


def test_given_parts_are_kept(tmp_path: Path) -> None:
    parts = {
        "x_train": X[::2],
        "y_train": Y[::2],
        "x_test": X[1::4],
        "y_test": Y[1::4],
        "x_val": X[3::4],
        "y_val": Y[3::4],
    }
    data = load(saved(tmp_path, **parts))
    assert data.notes == ("2 classes of 20 images each",)
    np.testing.assert_array_equal(data.train.x[..., 0], X[::2])
    np.testing.assert_array_equal(data.test.x[..., 0], X[1::4])
    np.testing.assert_array_equal(data.validation.x[..., 0], X[3::4])
    np.testing.assert_array_equal(data.test.y, Y[1::4])


def test_large_images_are_scaled_down(tmp_path: Path) -> None:
    x = RANDOM.randint(0, 256, (10, 120, 240), dtype=np.uint8)
    data = load(saved(tmp_path, x=x, y=np.repeat([0, 1], 5)))
    assert data.input_shape == (1, 48, 96)
    assert data.notes[0] == "images resized from 240x120 to 96x48 (w x h)"


def test_fingerprint_changes_with_a_pixel_and_a_label(tmp_path: Path) -> None:
    parts = {"x_train": X, "y_train": Y, "x_test": X, "y_test": Y, "x_val": X, "y_val": Y}
    digests = {load(saved(tmp_path, **parts)).fingerprint}
    for key in parts:
        changed = parts[key].copy()
        changed.flat[0] ^= 1
        digests.add(load(saved(tmp_path, **{**parts, key: changed})).fingerprint)
    assert len(digests) == 7
    assert (
        load(saved(tmp_path, **{**parts, "y_train": Y + 1, "y_test": Y + 1, "y_val": Y + 1})).fingerprint not in digests
    )


NAN = np.where(X.max() == X, np.nan, X / 255)


@pytest.mark.parametrize(
    ("arrays", "key", "message"),
    [
        ({}, "x", "neither x nor x_train is there, only nothing"),
        ({"cats": X, "y": Y}, "x", "neither x nor x_train is there, only cats, y: rename the images"),
        ({"x": X, "x_train": X}, "x", "both x and x_train are there"),
        ({"x": X}, "y", "y is missing, only x are there: add the labels"),
        ({"x_train": X, "y_train": Y, "x_test": X}, "y_test", "y_test is missing"),
        ({"x": X, "y": Y[:39]}, "y", "y has 39 labels for 40 images"),
        (
            {"x": X.reshape(40, 120), "y": Y},
            "x",
            "x is (40, 120), images must be (N, H, W), (N, H, W, 1) or (N, H, W, 3)",
        ),
        ({"x": np.zeros((40, 3, 10, 12)), "y": Y}, "x", "channels first: save it as x.transpose(0, 2, 3, 1)"),
        ({"x": np.zeros((40, 10, 12, 4)), "y": Y}, "x", "x is (40, 10, 12, 4), images must be"),
        ({"x": X[:0], "y": Y[:0]}, "x", "there are no images in it"),
        ({"x": X.astype(complex), "y": Y}, "x", "x is complex128, images must be uint8 or float"),
        ({"x": X.astype(object), "y": Y}, "x", "x is damaged or pickled"),
        ({"x": NAN, "y": Y}, "x", "values that are NaN or infinite"),
        (
            {"x": X - 300.0, "y": Y},
            "x",
            "x has float64 values from -300 to -45, as if normalised: undo the normalisation",
        ),
        (
            {"x": X.astype(np.uint16) * 257, "y": Y},
            "x",
            "x has uint16 values from 0 to 65535, more than 0..255: scale them, save uint8 in",
        ),
        ({"x": X, "y": np.ones((40, 2))}, "y", "y is (40, 2) and not one-hot, labels must be (N,)"),
        ({"x": X, "y": Y + 0.5}, "y", "y is float64, labels must be integers or strings"),
        (
            {"x_train": X, "y_train": Y, "x_test": X[:, :5], "y_test": Y},
            "x_test",
            "x_train (10, 12, 1), x_test (5, 12, 1)",
        ),
        ({"x_train": X, "y_train": Y, "x_test": X, "y_test": Y.astype(str)}, "y_test", "use one kind"),
    ],
)
def test_unsuitable_arrays_name_file_and_key(tmp_path: Path, arrays: dict[str, object], key: str, message: str) -> None:
    path = saved(tmp_path, **arrays)
    with pytest.raises(DataError) as caught:
        load(path)
    assert message in caught.value.message
    assert caught.value.message.startswith(f"{path}: ")
    assert caught.value.fields == {"file": path, "key": key}
    assert "\n" not in caught.value.message


def test_one_class_and_few_images(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"set has 1 class \('0'\), classification needs at least 2"):
        load(saved(tmp_path, x=X, y=Y * 0))
    with pytest.raises(DataError, match="class '7' has 1 image, at least 5 are needed"):
        load(saved(tmp_path, x=X, y=np.append(Y[1:], 7)))
    with pytest.raises(DataError, match="images of set are 12x5 pixels, at least 8 a side are needed"):
        load(saved(tmp_path, x=X[:, :5], y=Y))


def test_no_npz(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"the file is damaged or no \.npz"):
        load(str(path))
    with path.open("wb") as file:
        np.save(file, X)
    with pytest.raises(DataError, match="the file holds a single array"):
        load(str(path))
    with pytest.raises(DataError, match=r"set\.txt is a file but no \.npz: give a folder"):
        load(str(path.rename(tmp_path / "set.txt")))


@pytest.mark.parametrize(
    ("name", "mend"),
    [
        ("set.zip", "unpack it and give the folder"),
        ("set.tar.gz", "unpack it and give the folder"),
        ("set.npy", r"save images and labels with numpy\.savez"),
        ("set.CSV", "bring the images into one folder for each class, or save"),
    ],
)
def test_files_of_other_kinds_name_the_way_out(tmp_path: Path, name: str, mend: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(DataError, match=rf"{name} is a file but no \.npz: {mend}"):
        load(str(tmp_path / name))


@pytest.mark.parametrize("compressed", [False, True])
def test_damage_anywhere_is_a_clear_error_or_harmless(tmp_path: Path, compressed: bool) -> None:
    path = tmp_path / "set.npz"
    (np.savez_compressed if compressed else np.savez)(path, x=X, y=Y)
    whole = path.read_bytes()
    refused = 0
    for trial in range(150):
        damaged = bytearray(whole[: RANDOM.randint(len(whole))] if trial % 3 == 0 else whole)
        for _ in range(RANDOM.randint(1, 9)):
            if damaged:
                damaged[RANDOM.randint(len(damaged))] = RANDOM.randint(256)
        path.write_bytes(damaged)
        try:
            load(str(path))
        except DataError:
            refused += 1
    assert refused > 50
