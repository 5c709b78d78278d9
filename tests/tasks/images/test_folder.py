# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgenas.errors import DataError
from edgenas.tasks import load
from edgenas.tasks.dataset import Dataset
from edgenas.tasks.images.decode import readable_suffixes

Tree = Callable[..., Path]
Noise = Callable[..., Image.Image]


def counts(data: Dataset) -> tuple[int, int, int]:
    return len(data.train), len(data.validation), len(data.test)


def refused(root: Path) -> str:
    with pytest.raises(DataError) as caught:
        load(str(root))
    assert "\n" not in caught.value.message
    return caught.value.message


def test_one_level(tree: Tree) -> None:
    root = tree({"dogs": 20, "cats": 10, "birds/small/brown": 6})
    data = load(str(root))
    assert data.name == "photos"
    assert data.labels == ("birds", "cats", "dogs")
    assert data.input_shape == (3, 12, 12)
    assert counts(data) == (25, 4, 7)
    assert data.notes[0] == "folders inside class folders belong to the class (first: birds/small/)"
    assert load(str(root)).fingerprint == data.fingerprint
    assert load(str(root), seed=1).fingerprint != data.fingerprint
    every = {image.tobytes() for split in (data.train, data.validation, data.test) for image in split.x}
    assert len(every) == 36


def test_fingerprint_does_not_depend_on_the_place(tree: Tree, tmp_path: Path) -> None:
    root = tree({"a": 6, "b": 6})
    moved = tmp_path / "elsewhere" / "other"
    shutil.copytree(root, moved)
    assert load(str(moved)).fingerprint == load(str(root)).fingerprint
    shutil.copy(moved / "a/000.png", moved / "a/001.png")
    assert load(str(moved)).fingerprint != load(str(root)).fingerprint


def test_train_and_test(tree: Tree) -> None:
    data = load(str(tree({"train/a": 20, "train/b": 20, "test/a": 3, "test/b": 4})))
    assert counts(data) == (34, 6, 7)
    assert data.notes == (
        "images of each class: a 23, b 24",
        "no validation part: 15% of the rest of train (6 images) split off by seed 0",
    )


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Val"])
def test_train_and_val_takes_the_test_out_of_train(tree: Tree, name: str) -> None:
    data = load(str(tree({"train/a": 20, "train/b": 20, f"{name}/a": 3, f"{name}/b": 4})))
    assert counts(data) == (32, 7, 8)
    assert data.notes == (
        f"{name}/ is the validation part, the test part comes out of train/",
        "images of each class: a 23, b 24",
        "no test part: 20% of train (8 images) split off by seed 0",
    )


def test_all_parts_and_a_class_without_test_images(tree: Tree) -> None:
    parts = {"train/a": 5, "train/b": 5, "train/c": 5, "val/a": 1, "val/b": 1, "val/c": 1, "test/a": 2, "test/b": 2}
    data = load(str(tree(parts)))
    assert counts(data) == (15, 3, 4)
    assert data.notes == (
        "images of each class: a 8, b 8, c 6",
        "1 of 3 classes have no image in test (first: 'c')",
    )


def test_train_alone_and_train_as_a_class(tree: Tree, tmp_path: Path) -> None:
    assert load(str(tree({"train/a": 10, "train/b": 10}))).labels == ("a", "b")
    shutil.rmtree(tmp_path / "photos")
    assert load(str(tree({"train": 10, "bus": 10}))).labels == ("bus", "train")
    shutil.rmtree(tmp_path / "photos")
    assert load(str(tree({"train/steam": 10, "bus": 10}))).labels == ("bus", "train")


def test_test_folder_without_classes_is_ignored(tree: Tree) -> None:
    root = tree({"train/a": 10, "train/b": 10, "test": 5, "extra/x": 3})
    (root / "README.txt").write_text("about")
    data = load(str(root))
    assert counts(data) == (14, 2, 4)
    assert data.notes[0] == "files ignored: 1 .txt"
    assert data.notes[1] == ("folders that are no part with class folders ignored: extra/ (3 images), test/ (5 images)")


def test_hidden_and_other_files_are_ignored_with_a_count(tree: Tree) -> None:
    root = tree({"a": 6, "b": 6, ".hidden": 3, "__MACOSX": 2, "a/.cache": 2})
    (root / "README.txt").write_text("about")
    (root / "a/.DS_Store").write_bytes(b"x")
    (root / "b/labels.csv").write_text("x")
    shutil.copy(root / "a/000.png", root / "a/._000.png")
    data = load(str(root))
    assert data.labels == ("a", "b")
    assert counts(data) == (8, 2, 2)
    assert data.notes[0] == "files ignored: 2 hidden, 1 .txt, 1 .csv"


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, "is empty: no class folders, at least 2 are needed; make one folder of images for each class"),
        ({".": 3}, "holds 3 images but no class folders"),
        ({"a": 0, "b": 0}, "holds 2 class folders but no images"),
        ({"a": 10}, "has 1 class ('a'), classification needs at least 2"),
        ({"a": 10, "b": 4}, "class 'b' has 4 images, at least 5 are needed: add images or remove the class"),
        ({"a": 10, "b": 0}, "class 'b' has 0 images, at least 5 are needed"),
        ({"train": 10, "test": 10}, "train holds no class folders"),
        ({"test/a": 10, "val/a": 10}, "has test/ but no train/ with class folders"),
        ({"train/a": 9, "val/a": 9, "valid/a": 9}, "has both val/ and valid/: keep one"),
        ({"train/a": 9, "train/b": 9, "test/c": 9}, "class 'c' has 9 images in test but none in train"),
        ({"train/a": 9, "train/b": 1, "test/b": 9}, "class 'b' has 1 image in train, at least 2 are needed"),
    ],
)
def test_unsuitable_folders(tree: Tree, tmp_path: Path, parts: dict[str, int], message: str) -> None:
    (tmp_path / "photos").mkdir()
    assert message in refused(tree(parts))


def test_names_that_would_break_the_line_are_escaped(tree: Tree) -> None:
    assert r"class 'b\n\x1b[1m' has 4 images" in refused(tree({"a": 9, "b\n\x1b[1m": 4}))


def test_class_name_that_is_not_utf8(tree: Tree) -> None:
    root = tree({"a": 9})
    try:
        shutil.copytree(root / "a", root / os.fsdecode(b"b\xff"))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert "has a name that is not UTF-8: rename it" in refused(root)


def test_corrupt_images_are_skipped_up_to_five_percent(tree: Tree) -> None:
    root = tree({"a": 20, "b": 20})
    (root / "a/003.png").write_bytes(b"no image")  # found when the size is read
    whole = (root / "b/004.png").read_bytes()
    (root / "b/004.png").write_bytes(whole[: len(whole) // 2])  # found when the pixels are read
    data = load(str(root))
    assert sum(counts(data)) == 38
    assert data.notes[0].startswith(f"2 of 40 images in {root} could not be read and were skipped, first: a/003.png (")
    assert all(image.any() for image in data.train.x)
    (root / "b/005.png").write_bytes(b"")
    message = refused(root)
    assert f"3 of 40 images in {root} could not be read, at most 5% may be damaged, first: a/003.png (not an" in message
    assert message.endswith("mend or remove them")


def test_links_to_nowhere_pipes_and_bombs_are_skipped(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, noise: Noise
) -> None:
    root = tree({"a": 30, "b": 30})
    (root / "a/link.png").symlink_to("nowhere.png")
    os.mkfifo(root / "a/pipe.png")
    noise(1, 40, 40).save(root / "b/bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    data = load(str(root))
    assert sum(counts(data)) == 60
    assert data.notes[0].endswith("first: a/link.png (a link to nothing)")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)  # now it is an error of Pillow's own
    assert load(str(root)).fingerprint == data.fingerprint


def test_damage_anywhere_never_escapes(tree: Tree, noise: Noise) -> None:
    root = tree({"a": 400, "b": 400})
    random = np.random.RandomState(1)
    formats = [suffix for suffix in (".png", ".jpg", ".gif", ".bmp", ".tif", ".webp") if suffix in readable_suffixes()]
    for index in range(36):
        path = root / "a" / f"bad{index}{formats[index % len(formats)]}"
        noise(index, 12, 12).save(path)
        data = bytearray(path.read_bytes())
        for _ in range(6):
            data[random.randint(len(data))] = random.randint(256)
        path.write_bytes(data)
    assert sum(counts(load(str(root), size=12))) >= 800


def test_mixed_sizes_become_squares(tree: Tree, noise: Noise) -> None:
    root = tree({"a": 6, "b": 6}, width=30, height=21)
    noise(0, 50, 60).save(root / "b/large.png")
    data = load(str(root))
    assert data.input_shape == (3, 24, 24)
    assert data.notes[0] == (
        "mixed sizes (2 different): images resized to 24x24 (shorter side, then centre crop, which cuts off up to 30%)"
    )
    narrow = load(str(root), size=16)
    assert narrow.input_shape == (3, 16, 16)
    assert narrow.notes[0] == "images resized to 16x16 as asked (centre crop, which cuts off up to 30%)"


@pytest.mark.parametrize(
    ("width", "height", "shape"), [(96, 60, (3, 60, 96)), (200, 100, (3, 48, 96)), (2000, 30, (3, 8, 96))]
)
def test_equal_sizes_are_kept_up_to_96(tree: Tree, width: int, height: int, shape: tuple[int, int, int]) -> None:
    data = load(str(tree({"a": 5, "b": 5}, width=width, height=height)))
    assert data.input_shape == shape
    assert len(data.notes) == (3 if width == 96 else 4)


def test_centre_is_kept(tmp_path: Path) -> None:
    band = Image.new("L", (40, 20), 0)
    band.paste(255, (10, 0, 30, 20))  # exactly the centre square
    for index in range(10):
        folder = tmp_path / "ab"[index % 2]
        folder.mkdir(exist_ok=True)
        band.save(folder / f"{index}.png")
    data = load(str(tmp_path), size=10)
    assert data.train.x.min() > 200  # the filter looks a little over the edge of the crop


def test_too_small(tree: Tree) -> None:
    root = tree({"a": 5, "b": 5}, width=7, height=9)
    assert "are 7x9 pixels, at least 8 a side are needed" in refused(root)
    assert load(str(root), size=8).input_shape == (3, 8, 8)


def test_gray_only_if_all_are(tree: Tree, noise: Noise) -> None:
    root = tree({"a": 6, "b": 6}, mode="L")
    noise(1, mode="1").save(root / "a/bits.png")
    Image.fromarray(np.full((12, 12), 0x80FF, np.uint16)).save(root / "b/deep.png")
    data = load(str(root))
    assert data.input_shape == (1, 12, 12)
    every = np.concatenate([data.train.x, data.validation.x, data.test.x])
    assert any((image == 0x80).all() for image in every)  # 16 bits keep the upper byte
    noise(3, mode="L").convert("RGB").save(root / "a/colourless.png")
    assert load(str(root)).input_shape == (3, 12, 12)
    assert "images are read in colour but have none" in "; ".join(load(str(root)).notes)
    noise(2, mode="P").save(root / "a/palette.png")
    assert "have none" not in "; ".join(load(str(root)).notes)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_over_white(tree: Tree, mode: str) -> None:
    root = tree({"a": 5, "b": 5}, mode="L" if mode == "LA" else "RGB")
    clear = Image.new(mode, (12, 12), 0)
    clear.save(root / "a/clear.png")
    data = load(str(root))
    assert data.input_shape[0] == (1 if mode == "LA" else 3)
    every = np.concatenate([data.train.x, data.validation.x, data.test.x])
    assert sum((image == 255).all() for image in every) == 1


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    upright = Image.new("L", (10, 20), 0)
    upright.paste(255, (0, 0, 10, 10))  # the upper half is white
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    for index in range(10):
        folder = tmp_path / "ab"[index % 2]
        folder.mkdir(exist_ok=True)
        if index < 5:
            upright.save(folder / f"{index}.jpg")
        else:
            upright.transpose(Image.Transpose.ROTATE_90).save(folder / f"{index}.jpg", exif=exif)
    data = load(str(tmp_path))
    assert data.input_shape == (1, 20, 10)
    for image in data.train.x:
        assert image[:8].min() > 200
        assert image[12:].max() < 50


def test_progress_counts_two_reads_a_file(tree: Tree) -> None:
    calls: list[tuple[int, int]] = []
    load(str(tree({"a": 20, "b": 20})), progress=lambda done, total: calls.append((done, total)))
    assert calls == [(done, 80) for done in range(1, 81)]


def test_stopped_in_the_middle(tree: Tree) -> None:
    def stop(done: int, total: int) -> None:
        if done == 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(str(tree({"a": 20, "b": 20})), progress=stop)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_folder_that_may_not_be_listed(tree: Tree) -> None:
    root = tree({"a": 5, "b": 5})
    (root / "a").chmod(0)
    try:
        assert "cannot be listed (Permission denied): mend its permissions" in refused(root)
    finally:
        (root / "a").chmod(0o755)
