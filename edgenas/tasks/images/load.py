# SPDX-License-Identifier: Apache-2.0
"""Image classification data from a built-in set, a folder of class folders or an .npz, split and fingerprinted."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edgenas.errors import DataError
from edgenas.tasks.build import build
from edgenas.tasks.dataset import Dataset, InputSpec
from edgenas.tasks.groups import groups_of
from edgenas.tasks.images.preprocessing import preprocessing
from edgenas.tasks.images.sizes import LARGEST_SIZE, LEAST_SIDE
from edgenas.tasks.images.source import Pixels, RawImages
from edgenas.tasks.raw import shown

BUILT_IN = ("digits", "mnist")
_UNPACK = "unpack it and give the folder"
_SAVE = "save images and labels with numpy.savez(FILE, x=..., y=...) and give that"
_MENDS = {
    **dict.fromkeys((".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"), _UNPACK),
    **dict.fromkeys((".npy", ".mat", ".h5", ".hdf5", ".pkl", ".pt", ".parquet"), _SAVE),
    ".csv": "bring the images into one folder for each class, or " + _SAVE,
}


def load(
    source: str, *, seed: int, size: int | None, group_by: str | None, progress: Callable[[int, int], None] | None
) -> Dataset:
    """Load `source`, bring all images to one size and split them.

    `source` is the name of a built-in set (`BUILT_IN`; `./mnist` is a path, `mnist` never is), an .npz, or a folder:

    - `cats/ dogs/`: one folder for each class, images at any depth in it, split by `seed`;
    - `train/cats/ train/dogs/ test/cats/ ...`: with test/, val/ (or validation/, valid/) or both. A part that is
      missing is split off train: with train/ and val/ alone, val/ is the validation part and test comes out of train.
      Other usual names are understood (Training/, test_set/, seg_train/ beside seg_test/), and folders around the
      data that hold nothing else are passed through; what may be read in two ways is refused.

    Classes are numbered in the order of their names as text. Links to folders are followed; a folder is read once.

    An .npz holds `x`, `y` or `x_train`, `y_train` and optionally `x_test`, `y_test`, `x_val`, `y_val`, or other usual
    names of these (train_images, X_train, labels): images (N, H, W), (N, H, W, 1) or (N, H, W, 3), uint8 in 0..255 or
    any type in 0..1 or 0..255. The scale is decided by the range of all parts together, values up to a quarter of it
    outside are clipped; other ranges are refused. Labels are ints, whole floats, strings or one-hot.

    Splits are stratified: 20 % test where there is no test part, 15 % of the rest validation where there is none.
    Images that are equal pixel for pixel (at the size that comes out) go to one part where that part is split off.

    With `group_by` parts are not stratified but hold whole groups: see `edgenas.tasks.groups`.

    Images come out at `size` x `size` pixels if given (shorter side resized, then centre crop). Else images of one
    common size keep it, up to 96 a side (larger are scaled so that the longer side is 96), and mixed sizes become
    squares of the median shorter side, rounded to a multiple of 8, at most 96. Resizing is bilinear with
    antialiasing. They are grayscale if all files are grayscale by their mode, else RGB; transparency is laid over
    white; EXIF orientation is applied; of files with 16 bits the upper 8 of those that their largest value needs
    (8, 10, 12, 14 or 16) are kept. Every such decision is one of the `notes`.

    `progress(done, total)` counts file reads, two for each image file (size, then pixels); it is called on the
    caller's thread. Raises DataError with one line that says value, limit and next step: unknown name, missing or
    empty path, one class only, a class with fewer than 5 images, a class that is not in train, parts or classes that
    are not clear, more than 5 % unreadable images, damaged or unsuitable .npz, or
    a `group_by` that file names do not match.
    """
    if size is not None and not LEAST_SIDE <= size <= LARGEST_SIZE:
        raise DataError(
            f"image size {size} is outside {LEAST_SIDE}..{LARGEST_SIZE} pixels: choose one inside",
            size=size,
            limit=(LEAST_SIDE, LARGEST_SIZE),
        )
    raw = _read(source, size, progress)
    height, width = raw.x.shape[1:3]
    return build(
        replace(raw, notes=(*raw.notes, *_gray_notes(raw.x))),
        task="images",
        seed=seed,
        spec=InputSpec(("row", "column", "color"), raw.source.side, LARGEST_SIZE),
        preprocessing=preprocessing(raw.x.shape[1:], raw.source),
        alike_in=f"pixel for pixel at {width}x{height}",
        groups=groups_of(raw.files, group_by) if group_by else None,
    )


def _read(source: str, size: int | None, progress: Callable[[int, int], None] | None) -> RawImages:
    # The readers are imported here because they are the ones that need Pillow.
    if source in BUILT_IN:
        from edgenas.tasks.images.built_in import read_built_in

        return read_built_in(source, size)
    path = Path(source).expanduser()
    if source and path.is_dir():
        from edgenas.tasks.images.folder import read_folder

        return read_folder(path, size, progress)
    if path.is_file() and path.suffix.lower() == ".npz":
        from edgenas.tasks.images.npz import read_npz

        return read_npz(path, size)
    raise _unknown(source, path)


def _gray_notes(x: Pixels) -> tuple[str, ...]:
    """A sentence if images of three channels have no colour; `x` is (N, H, W, C)."""
    if x.shape[3] == 1 or any((image != image[..., :1]).any() for image in x):
        return ()
    return ("images are read in colour but have none: saved as grayscale, they would take a smaller network",)


def _unknown(source: str, path: Path) -> DataError:
    near = difflib.get_close_matches(source.lower(), BUILT_IN, cutoff=0.5)
    guess = f" (did you mean {' or '.join(near)}?)" if near else ""
    if path.is_file():
        what = f"{shown(source)} is a file but no .npz"
        if path.suffix.lower() in _MENDS:
            raise DataError(f"{what}: {_MENDS[path.suffix.lower()]}", source=source)
    elif source and path.exists():
        raise DataError(f"{shown(source)} is no regular file: give a folder or an .npz", source=source)
    else:
        what = f"no folder, .npz or built-in data set '{shown(source)}'{guess}"
    return DataError(
        f"{what}: give a folder that holds one folder of images for each class (or train/ and test/ with such "
        f"folders), an .npz with x and y, or a built-in set ({', '.join(BUILT_IN)})",
        source=source,
        near=near,
        built_in=BUILT_IN,
    )
