"""Image classification data from a built-in set, a folder of class folders or an .npz, split and fingerprinted."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgenas.errors import DataError
from edgenas.tasks.raw import TEST, TRAIN, VALIDATION, Ints, Pixels, Raw, shown
from edgenas.tasks.sizes import LARGEST_SIZE, LEAST_SIDE
from edgenas.tasks.splits import assign, check_classes

BUILT_IN = ("digits", "mnist")


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a data set: `x` (N, H, W, C) uint8 pixels, `y` (N,) int64 class indices."""

    x: Pixels
    y: Ints

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True, eq=False)
class ImageData:
    """A labelled image set in three disjoint parts.

    `labels[i]` is the name of class `i`. `fingerprint` is 16 hex digits over pixels, labels and splits: it does not
    depend on where the data lie. `notes` are sentences for the user: what was split, resized, skipped or ignored.
    `side` is the median of the images' shorter sides, in pixels, as the source has them; None where that is not known.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    labels: tuple[str, ...]
    fingerprint: str
    notes: tuple[str, ...]
    side: int | None = None

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        height, width, channels = self.train.x.shape[1:]
        return channels, height, width

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.labels)


def load(
    source: str, *, seed: int = 0, size: int | None = None, progress: Callable[[int, int], None] | None = None
) -> ImageData:
    """Load `source`, bring all images to one size and split them.

    `source` is the name of a built-in set (`BUILT_IN`; `./mnist` is a path, `mnist` never is), an .npz, or a folder:

    - `cats/ dogs/`: one folder for each class, images at any depth in it, split by `seed`;
    - `train/cats/ train/dogs/ test/cats/ ...`: with test/, val/ (or validation/, valid/) or both. A part that is
      missing is split off train: with train/ and val/ alone, val/ is the validation part and test comes out of train.

    An .npz holds `x`, `y` or `x_train`, `y_train` and optionally `x_test`, `y_test`, `x_val`, `y_val`: images
    (N, H, W), (N, H, W, 1) or (N, H, W, 3), in 0..1 or 0..255 (decided by the largest value), labels ints or strings.

    Splits are stratified: 20 % test where there is no test part, 15 % of the rest validation where there is none.

    Images come out at `size` x `size` pixels if given (shorter side resized, then centre crop). Else images of one
    common size keep it, up to 96 a side (larger are scaled so that the longer side is 96), and mixed sizes become
    squares of the median shorter side, rounded to a multiple of 8, at most 96. Resizing is bilinear with
    antialiasing. They are
    grayscale if all files are grayscale by their mode, else RGB; transparency is laid over white; EXIF orientation is
    applied; 16-bit samples keep their upper byte.

    `progress(done, total)` counts file reads, two for each image file (size, then pixels); it is called on the
    caller's thread. Raises DataError with one line that says value, limit and next step: unknown name, missing or
    empty path, one class only, a class with fewer than 5 images, a class that is not in train, more than 5 %
    unreadable images, damaged or unsuitable .npz. Raises ValueError for a seed outside 0..2**32-1.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must be in 0..2**32-1, not {seed}")
    if size is not None and not LEAST_SIDE <= size <= LARGEST_SIZE:
        raise DataError(
            f"image size {size} is outside {LEAST_SIDE}..{LARGEST_SIZE} pixels: choose one inside",
            size=size,
            limit=(LEAST_SIDE, LARGEST_SIZE),
        )
    raw = _read(source, size, progress)
    check_classes(raw.name, raw.y, raw.part, raw.labels)
    part, notes = assign(raw.y, raw.part, raw.labels, seed)
    train, validation, test = (Split(raw.x[part == which], raw.y[part == which]) for which in (TRAIN, VALIDATION, TEST))
    digest = _fingerprint(raw.labels, (train, validation, test))
    return ImageData(raw.name, train, validation, test, raw.labels, digest, raw.notes + notes, raw.side)


def _read(source: str, size: int | None, progress: Callable[[int, int], None] | None) -> Raw:
    # The readers are imported here because they are the ones that need Pillow.
    if source in BUILT_IN:
        from edgenas.tasks.built_in import read_built_in

        return read_built_in(source, size)
    path = Path(source).expanduser()
    if source and path.is_dir():
        from edgenas.tasks.folder import read_folder

        return read_folder(path, size, progress)
    if path.is_file() and path.suffix.lower() == ".npz":
        from edgenas.tasks.npz import read_npz

        return read_npz(path, size)
    raise _unknown(source, path)


def _unknown(source: str, path: Path) -> DataError:
    near = difflib.get_close_matches(source.lower(), BUILT_IN, cutoff=0.5)
    guess = f" (did you mean {' or '.join(near)}?)" if near else ""
    if path.is_file():
        what = f"{shown(source)} is a file but no .npz"
    else:
        what = f"no folder, .npz or built-in data set '{shown(source)}'{guess}"
    return DataError(
        f"{what}: give a folder that holds one folder of images for each class (or train/ and test/ with such "
        f"folders), an .npz with x and y, or a built-in set ({', '.join(BUILT_IN)})",
        source=source,
        near=near,
        built_in=BUILT_IN,
    )


def _fingerprint(labels: tuple[str, ...], splits: tuple[Split, ...]) -> str:
    digest = hashlib.sha256(json.dumps(labels).encode())
    for split in splits:
        digest.update(repr(split.x.shape).encode())
        digest.update(split.x.data)
        digest.update(split.y.astype("<i8").tobytes())  # the same bytes on every machine
    return digest.hexdigest()[:16]
