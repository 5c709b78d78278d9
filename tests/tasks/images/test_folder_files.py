# SPDX-License-Identifier: Apache-2.0
"""Links, files of other kinds, and pixels that are kept otherwise than they are read: each followed, or said."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgenas.errors import DataError
from edgenas.tasks import load
from edgenas.tasks.dataset import Dataset
from edgenas.tasks.images.decode import _formats, least_depth, readable_suffixes

Tree = Callable[..., Path]
Noise = Callable[..., Image.Image]


def pictures(folder: Path, noise: Noise, count: int, first: int = 0) -> None:
    folder.mkdir(parents=True)
    for index in range(first, first + count):
        noise(index).save(folder / f"{index}.png")


def size(data: Dataset) -> int:
    return len(data.train) + len(data.validation) + len(data.test)


def every(data: Dataset) -> np.ndarray:
    return np.concatenate([data.train.x, data.validation.x, data.test.x])


def said(data: Dataset) -> str:
    return "; ".join(data.notes)


def test_links_to_folders_are_followed(tree: Tree, tmp_path: Path, noise: Noise) -> None:
    root = tree({"a": 6, "b": 6})
    pictures(tmp_path / "disk/a", noise, 9, 1000)
    pictures(tmp_path / "disk/c", noise, 7, 2000)
    (root / "a/more").symlink_to(tmp_path / "disk/a")
    (root / "c").symlink_to(tmp_path / "disk/c")
    data = load(str(root))
    assert (size(data), data.labels) == (28, ("a", "b", "c"))
    assert "2 links to folders followed, 2 of them out of the data folder" in data.notes
    (root / "d").symlink_to(root / "e")
    (root / "f").symlink_to(root / "f")
    assert "2 links to nothing ignored (first: d)" in load(str(root)).notes


def test_the_root_may_be_a_link(tree: Tree, tmp_path: Path) -> None:
    root = tree({"a": 6, "b": 6})
    (tmp_path / "link").symlink_to(root)
    assert load(str(tmp_path / "link")).fingerprint == load(str(root)).fingerprint


def test_loops_of_links_end_and_nothing_is_counted_twice(tree: Tree, tmp_path: Path, noise: Noise) -> None:
    root = tree({"a/deep": 6, "b": 6})
    (root / "a/deep/up").symlink_to(root)
    (root / "b/self").symlink_to(root / "b")
    (root / "b/again").symlink_to(root / "a/deep")
    pictures(tmp_path / "disk", noise, 5, 1000)
    (tmp_path / "disk/loop").symlink_to(tmp_path / "disk")
    (root / "b/z1").symlink_to(tmp_path / "disk")
    (root / "b/z2").symlink_to(tmp_path / "disk")
    data = load(str(root))
    assert size(data) == 17
    assert "1 link to folders followed, 1 of them out of the data folder" in data.notes
    assert "5 links to folders that are read anyway ignored (first: a/deep/up)" in data.notes


def test_a_link_never_takes_the_images_from_where_they_lie(tree: Tree) -> None:
    root = tree({"b": 6, "c": 6})
    (root / "a").symlink_to(root / "c")
    data = load(str(root))
    assert data.labels == ("b", "c")
    assert "1 link to folders that are read anyway ignored (first: a)" in data.notes


def test_file_links_are_read_and_broken_ones_said(tree: Tree, tmp_path: Path, noise: Noise) -> None:
    root = tree({"a": 30, "b": 30})
    noise(1000).save(tmp_path / "elsewhere.png")
    (root / "a/far.png").symlink_to(tmp_path / "elsewhere.png")
    (root / "a/gone.png").symlink_to("nowhere.png")
    (root / "a/notes").symlink_to("nowhere.txt")
    data = load(str(root))
    assert size(data) == 61
    assert "1 link to nothing ignored (first: a/notes)" in data.notes
    assert "first: a/gone.png (a link to nothing)" in said(data)


@pytest.mark.parametrize(
    ("suffix", "note"),
    [
        (".CR2", "left out: 3 .cr2: convert them"),
        (".dng", "left out: 3 .dng: convert them"),
        (".svg", "left out: 3 .svg: convert them"),
        (".pdf", "left out: 3 .pdf: convert them"),
        (".mp4", "left out: 3 .mp4: convert them"),
        (".npy", "left out: 3 .npy: convert them"),
        ("", "left out: 3 without a suffix: give them their suffix (.jpg, .png)"),
        (".txt", "files ignored: 3 .txt"),
        (".zip", "files ignored: 3 .zip"),
    ],
)
def test_kinds_that_are_not_read_are_said(tree: Tree, suffix: str, note: str) -> None:
    root = tree({"a": 6, "b": 6})
    for index in range(3):
        (root / "b" / f"{index}{suffix}").write_bytes(b"x")
    assert note in said(load(str(root)))


@pytest.mark.parametrize(("suffix", "kind"), [(".CR2", "3 .cr2 (convert"), ("", "3 without a suffix (give")])
def test_a_class_of_nothing_that_is_read(tree: Tree, suffix: str, kind: str) -> None:
    root = tree({"a": 6, "b": 0, "c": 0})
    for index in range(3):
        (root / "b" / f"{index}{suffix}").write_bytes(b"x")
    with pytest.raises(DataError) as caught:
        load(str(root))
    assert f"class 'b' has 0 images, at least 5 are needed: add images or remove the class; not read: {kind}" in str(
        caught.value
    )
    for image in (root / "a").iterdir():
        image.unlink()
    with pytest.raises(DataError, match=r"holds 3 class folders but no images; not read: 3 "):
        load(str(root))


def test_what_systems_leave_behind_is_no_image(tree: Tree) -> None:
    root = tree({"a": 6, "b": 6, "__MACOSX/a": 6})
    for name in (".DS_Store", "._000.png", "Thumbs.db", "desktop.ini"):
        (root / "a" / name).write_bytes(b"x")
    data = load(str(root))
    assert (size(data), data.labels) == (12, ("a", "b"))
    assert data.notes[0] == "files ignored: 4 hidden"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (bytes(100), "nothing but zeros"),
        (b"\0\0\0\x18ftypisom" + bytes(100), "a video inside"),
        (b"\n<!DOCTYPE html><html>", "a web page inside"),
        (b"PK\3\4" + bytes(100), "an archive inside"),
        (b"hello, world", "not an image"),
    ],
)
def test_a_suffix_that_does_not_fit_the_content(tree: Tree, content: bytes, reason: str) -> None:
    root = tree({"a": 6, "b": 30})
    (root / "a/IMG_1.JPG").write_bytes(content)
    assert f"1 of 37 images in {root} could not be read and were skipped, first: a/IMG_1.JPG ({reason})" in said(
        load(str(root))
    )


@pytest.fixture
def without_heif(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pillow as it is where pillow-heif is not installed."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setattr(Image, "OPEN", {name: how for name, how in Image.OPEN.items() if name != "HEIF"})
    _formats.cache_clear()
    yield
    _formats.cache_clear()


def test_photos_of_phones_name_the_plug_in(tree: Tree, without_heif: None) -> None:
    root = tree({"a": 6, "b": 30})
    (root / "a/1.HEIC").write_bytes(b"x")
    (root / "b/1.jpg").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    notes = load(str(root)).notes
    mend = "convert them to .jpg or .png, or pip install pillow-heif"
    assert f"files that cannot be read as images left out: 1 .heic: {mend}" in notes
    assert "first: b/1.jpg (HEIC inside: convert it to .jpg or .png, or pip install pillow-heif)" in "; ".join(notes)
    for image in (root / "a").glob("*.png"):
        image.unlink()
    with pytest.raises(DataError) as caught:
        load(str(root))
    assert (
        f"class 'a' has 0 images, at least 5 are needed: add images or remove the class; not read: 1 .heic ({mend}"
        in (caught.value.message)
    )


def test_photos_of_phones_are_read_with_the_plug_in(tree: Tree, noise: Noise) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    root = tree({"a": 6, "b": 6})
    half = Image.new("RGB", (12, 24), "black")
    half.paste("white", (0, 0, 12, 12))  # the upper half
    pillow_heif.register_heif_opener()
    half.save(root / "a/IMG_1.HEIC")
    (root / "b/IMG_2.jpg").write_bytes((root / "a/IMG_1.HEIC").read_bytes())
    for image in root.glob("*/*.png"):
        noise(int(image.stem), 12, 24).save(image)
    data = load(str(root))
    assert (size(data), data.input_shape) == (14, (3, 24, 12))
    halves = [image for image in every(data) if image[:10].min() > 200 and image[14:].max() < 50]
    assert len(halves) == 2


def test_file_names_that_are_not_utf8(tree: Tree, noise: Noise) -> None:
    root = tree({"a": 6, "b": 6})
    try:
        noise(1000).save(root / "a" / os.fsdecode(b"\xff.png"))
        (root / "b" / os.fsdecode(b"\xfe.png")).write_bytes((root / "a" / os.fsdecode(b"\xff.png")).read_bytes())
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    data = load(str(root))
    assert size(data) == 14
    assert r"(first: b/\udcfe.png and a/\udcff.png)" in said(data)


@pytest.mark.parametrize(("largest", "bits"), [(0, 8), (255, 8), (256, 10), (4095, 12), (5000, 14), (65535, 16)])
def test_least_depth(largest: int, bits: int) -> None:
    assert least_depth(largest) == bits


@pytest.mark.parametrize(("largest", "bits"), [(255, 8), (4095, 12), (65535, 16)])
def test_the_depth_of_16_bit_files_is_decided_by_their_values(tree: Tree, largest: int, bits: int) -> None:
    root = tree({"a": 6, "b": 6}, mode="L")
    for index in range(2):
        values = np.full((12, 12), largest >> index, np.uint16)
        Image.fromarray(values).save(root / "b" / f"deep{index}.{('png', 'tif')[index]}")
    data = load(str(root))
    assert f"2 of 14 files have 16 bits, values up to {largest}: taken as {bits} bits" in data.notes
    assert {255, 127} <= {int(image.max()) for image in every(data) if image.min() == image.max()}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.full((12, 12), 0.5, np.float32), "floating-point pixels: save it with 8 bits"),
        (np.full((12, 12), 70000, np.int32), "pixels from 70000 to 70000, not 0..65535: save it with 8 bits"),
        (np.full((12, 12), -5, np.int32), "pixels from -5 to -5, not 0..65535: save it with 8 bits"),
    ],
)
def test_pixels_of_no_known_scale_are_not_guessed(tree: Tree, values: np.ndarray, reason: str) -> None:
    root = tree({"a": 6, "b": 30}, mode="L")
    Image.fromarray(values).save(root / "a/odd.tif")
    assert f"first: a/odd.tif ({reason})" in said(load(str(root)))


def test_colour_beside_gray_and_cmyk_and_frames_are_said(tree: Tree, noise: Noise) -> None:
    root = tree({"a": 6, "b": 6}, mode="L")
    noise(1000).save(root / "b/colour.png")
    assert "12 grayscale files and 1 in colour: all read as RGB (first colour: b/colour.png)" in load(str(root)).notes
    noise(1001, mode="CMYK").save(root / "b/print.tif")
    noise(1002).save(root / "b/moving.gif", save_all=True, append_images=[noise(1003)])
    notes = load(str(root)).notes
    assert "1 of 15 files are CMYK: converted to RGB without a colour profile" in notes
    assert "1 of 15 files has several pictures: the first of each is read" in notes


def test_every_kind_that_pillow_reads_is_no_unreadable_kind() -> None:
    assert {".jpg", ".png", ".webp", ".gif", ".bmp", ".tif"} <= readable_suffixes()
