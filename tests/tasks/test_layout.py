# SPDX-License-Identifier: Apache-2.0
"""Which folders are parts and which are classes: every layout is read rightly, with a note, or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgenas.errors import DataError
from edgenas.tasks import load
from edgenas.tasks.layout import part_of
from edgenas.tasks.raw import TEST, TRAIN, VALIDATION

Tree = Callable[..., Path]


def both(*parts: str, count: int = 6) -> dict[str, int]:
    """Class folders a and b in each of `parts`."""
    return {f"{part}/{label}": count for part in parts for label in "ab"}


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("train", (TRAIN, "")),
        ("TRAINING", (TRAIN, "")),
        ("TrainSet", (TRAIN, "")),
        ("training_set", (TRAIN, "")),
        ("train images", (TRAIN, "")),
        ("seg_train", (TRAIN, "seg")),
        ("Testing", (TEST, "")),
        ("holdout", (TEST, "")),
        ("Valid", (VALIDATION, "")),
        ("dev", (VALIDATION, "")),
        ("bullet_train", (TRAIN, "bullet")),
        ("trainer", None),
        ("latest", None),
        ("train_test", None),
        ("", None),
    ],
)
def test_names_that_say_a_part(name: str, part: tuple[int, str] | None) -> None:
    assert part_of(name) == part


@pytest.mark.parametrize(
    ("folders", "tests", "note"),
    [
        (both("Training", "Testing"), 12, "parts by name: Training/ is train, Testing/ is test"),
        (both("Training", "Test"), 12, "parts by name: Training/ is train, Test/ is test"),
        (both("TRAIN", "TEST"), 12, ""),
        (both("train_set", "test_set", "dev_set"), 12, "parts by name: train_set/ is train, dev_set/ is validation"),
        (both("train_images", "holdout"), 12, "parts by name: train_images/ is train, holdout/ is test"),
        (both("train", "evaluation"), 2, "evaluation/ is the validation part, the test part comes out of train/"),
        (
            {**both("seg_train/seg_train", "seg_test/seg_test"), "seg_pred": 3},
            12,
            "the classes of seg_train/ are read from seg_train/seg_train/",
        ),
        ({**both("seg_train", "seg_test"), "seg_pred": 3}, 12, "ignored: seg_pred/ (3 images)"),
        ({**both("set_train/set_train"), "set_test/set_test": 3}, 2, "ignored: set_test/ (3 images)"),
        (both("train/images", "test/images"), 12, "the classes of train/ are read from train/images/"),
        (both("images/train", "images/test"), 12, "read from images/ in photos/, which holds no other images"),
        (both("train/train", "train/test"), 12, "read from train/ in photos/"),
        (both("archive/set/Training", "archive/set/Testing"), 12, "read from archive/set/ in photos/"),
        (both("set"), 2, "read from set/ in photos/, which holds no other images"),
        (both("set_train"), 2, "parts by name: set_train/ is train"),
        ({**both("train", "test"), "train": 1}, 12, "1 image beside the class folders ignored"),
    ],
)
def test_parts_are_found(tree: Tree, folders: dict[str, int], tests: int, note: str) -> None:
    data = load(str(tree(folders)))
    assert data.labels == ("a", "b")
    assert len(data.test) == tests
    assert note in "; ".join(data.notes)


@pytest.mark.parametrize(
    ("folders", "labels", "note"),
    [
        ({"cat": 6, "test": 6}, ("cat", "test"), "test/ among the classes holds no class folders: taken as a class"),
        ({"bus": 6, "train": 6}, ("bus", "train"), "train/ among the classes holds no class folders: taken as a class"),
        ({"bus": 6, "train/steam": 6}, ("bus", "train"), "train/ lies beside other classes: taken as a class"),
        ({"bullet_train/x": 6, "bullet_train/y": 6, "bus": 6}, ("bullet_train", "bus"), ""),
        ({"a/x": 6, "a/y": 6, "b/z": 6}, ("a", "b"), "folders inside class folders belong to the class (first: a/x/)"),
        ({"a/images": 6, "b/images": 6}, ("a", "b"), "folders inside class folders belong to the class"),
        ({"a": 6, "A": 6}, ("A", "a"), "class names differ in case or accents' encoding only: A, a: rename one"),
        ({"1": 6, "2": 6, "10": 6}, ("1", "10", "2"), "class names are sorted as text, not as numbers: 1, 10, 2"),
    ],
)
def test_classes_are_found(tree: Tree, folders: dict[str, int], labels: tuple[str, ...], note: str) -> None:
    data = load(str(tree(folders)))
    assert data.labels == labels
    assert note in "; ".join(data.notes)


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (both("train", "Training"), "photos has both Training/ and train/: keep one"),
        (both("train_a", "test_a", "train_b", "test_b"), "has both test_a/ and test_b/: keep one"),
        (both("x", "y"), "hold the same folders (a, b): if those are the classes, give one (--data), or rename them"),
        (both("train", "extra"), "is train/ the training part or a class? extra/ lies beside it: rename one of them"),
        ({**both("train"), "bus": 6}, "is train/ the training part or a class? bus/ lies beside it"),
        (
            {"cat/train": 6, "cat/test": 6, "dog/train": 6, "dog/test": 6},
            "hold the same folders (test, train): put the parts outside, as in test/cat/",
        ),
        ({**both("test"), "cat": 6}, "has test/ but no train/ with class folders: add it, or rename test/"),
        (
            {"train/Cat": 6, "train/dog": 6, "test/cat": 6, "test/dog": 6},
            "'Cat' in train and 'cat' in test differ in case or accents' encoding only: rename one",
        ),
        ({"train/images": 6, "test/images": 6}, "train holds no class folders"),
        ({"train/a": 6, "train/b": 6, "test/unknown": 6}, "class 'unknown' has 6 images in test but none in train"),
    ],
)
def test_what_may_be_read_in_two_ways_is_refused(tree: Tree, folders: dict[str, int], message: str) -> None:
    root = tree(folders)
    with pytest.raises(DataError) as caught:
        load(str(root))
    assert message in caught.value.message
    assert len(caught.value.message.replace(str(root.parent), "")) < 200


def test_notes_are_short_whatever_the_names_are(tree: Tree) -> None:
    long = "n" * 90
    root = tree({f"{long}/train/{part}{long}": 6 for part in "ab"} | {f"{long}/test_set/a{long}/{long}": 6})
    for index in range(9):
        (root / long / f"{long}{index}").mkdir()
        (root / long / "train" / f"a{long}" / f"x.{index}{long}").write_bytes(b"x")
    (root / long / f"a{long}").symlink_to("nowhere")
    for image in (root / long / "test_set" / f"a{long}" / long).iterdir():
        image.write_bytes((root / long / "train" / f"b{long}" / "000.png").read_bytes())
    notes = load(str(root)).notes
    assert len(notes) >= 10
    assert max(map(len, notes)) < 200, max(notes, key=len)


def test_labels_of_a_detection_set_beside_images_are_no_class(tree: Tree) -> None:
    root = tree(both("images/train", "images/test"))
    (root / "labels/train").mkdir(parents=True)
    (root / "labels/train/000.txt").write_text("0 0.5 0.5 1 1")
    data = load(str(root))
    assert data.labels == ("a", "b")
    assert "folders that are no part with class folders ignored: labels/ (0 images)" in data.notes


def test_a_class_that_cannot_be_read_is_not_taken_for_an_empty_folder(tree: Tree) -> None:
    root = tree({"cat/tabby": 6, "cat/black": 6, "dog": 0})
    (root / "dog/1.cr2").write_bytes(b"x")
    with pytest.raises(DataError, match=r"class 'dog' has 0 images.*; not read: 1 \.cr2 \(convert them to \.jpg"):
        load(str(root))
