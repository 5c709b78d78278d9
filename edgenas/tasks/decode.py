"""Image files to one array: two passes in a thread pool, first sizes and modes, then pixels at the chosen size."""

from __future__ import annotations

import functools
import os
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from edgenas.errors import DataError
from edgenas.tasks.raw import Pixels, shown
from edgenas.tasks.sizes import choose_size, fitted

if TYPE_CHECKING:
    from PIL import Image

UNREADABLE_SHARE = 0.05
# Formats that Pillow opens but that are no pictures, need a plug-in, or start another program (EPS: Ghostscript).
_NOT_PICTURES = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
_ORIENTATION = 0x0112  # EXIF tag; values 5..8 exchange width and height
# Whatever a decoder raises on damaged bytes; a fault of this program shows in the tests, where no file is damaged.
_DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    SyntaxError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    MemoryError,  # a damaged header that claims a huge block
    struct.error,
    zlib.error,
)
_AT_ONCE = 16  # files that one thread takes at a time
_T = TypeVar("_T")
_Item = TypeVar("_Item")


def readable_suffixes() -> frozenset[str]:
    """Suffixes (lower case, with the dot) of the image formats that the installed Pillow reads."""
    from PIL import Image

    formats = Image.registered_extensions()
    return frozenset(suffix for suffix, format_ in formats.items() if format_ in _formats())


def read_images(
    root: Path, files: Sequence[Path], size: int | None, progress: Callable[[int, int], None] | None
) -> tuple[Pixels, npt.NDArray[np.bool_], tuple[str, ...], int]:
    """Pixels (M, H, W, C) uint8 of the readable files, which of `files` these are (N,), notes, and `Raw.side`.

    Raises DataError if more than 5 % of the files cannot be read. `progress` as in `load`.
    """

    def step(done: int) -> None:
        if progress:
            progress(done, 2 * len(files))

    faults: dict[int, str] = {}
    with _threads() as pool:
        heads: dict[int, tuple[int, int, bool]] = {}
        for index, head in enumerate(_map(pool, _head, files)):
            if isinstance(head, str):
                faults[index] = head
            else:
                heads[index] = head
            step(index + 1)
        _check_faults(root, files, faults)
        gray = all(head[2] for head in heads.values())
        sides = [head[:2] for head in heads.values()]
        middle = float(np.median([min(side) for side in sides]))
        (height, width), note = choose_size(str(root), set(sides), middle, size)
        x = np.empty((len(files), height, width, 1 if gray else 3), np.uint8)

        def decode(index: int) -> str | None:
            return faults.get(index) or _decode(files[index], x[index])

        for index, fault in enumerate(_map(pool, decode, range(len(files)))):
            if fault is not None:
                faults[index] = fault
            step(len(files) + index + 1)
    _check_faults(root, files, faults)
    notes = [note] if note else []
    if faults:
        notes.append(f"{_faults(root, files, faults)} and were skipped, {_first(root, files, faults)}")
    kept = np.ones(len(files), np.bool_)
    kept[list(faults)] = False
    return (x[kept] if faults else x), kept, tuple(notes), int(middle)


@contextmanager
def _threads() -> Iterator[ThreadPoolExecutor]:
    """A thread pool that drops what has not begun when its user stops in the middle (Ctrl-C, an error)."""
    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    try:
        # Pillow warns about huge or slightly damaged files; _open refuses the huge, for the rest the pixels decide.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _map(pool: ThreadPoolExecutor, work: Callable[[_Item], _T], items: Sequence[_Item]) -> Iterator[_T]:
    """`pool.map` in groups: a small image takes less time than handing it to a thread does."""

    def run(some: Sequence[_Item]) -> list[_T]:
        return [work(item) for item in some]

    futures = [pool.submit(run, items[start : start + _AT_ONCE]) for start in range(0, len(items), _AT_ONCE)]
    for future in futures:
        yield from future.result()


def _check_faults(root: Path, files: Sequence[Path], faults: dict[int, str]) -> None:
    if len(faults) > UNREADABLE_SHARE * len(files):
        raise DataError(
            f"{_faults(root, files, faults)}, at most {UNREADABLE_SHARE:.0%} may be damaged, "
            f"{_first(root, files, faults)}: mend or remove them",
            unreadable=len(faults),
            files=len(files),
            limit=UNREADABLE_SHARE,
            first=str(files[min(faults)]),
        )


def _faults(root: Path, files: Sequence[Path], faults: dict[int, str]) -> str:
    return f"{len(faults)} of {len(files)} images in {shown(root)} could not be read"


def _first(root: Path, files: Sequence[Path], faults: dict[int, str]) -> str:
    index = min(faults)
    return f"first: {shown(files[index].relative_to(root))} ({faults[index]})"


def _head(file: Path) -> tuple[int, int, bool] | str:
    """(height, width, grayscale) of the upright image without decoding it, or why it cannot be read."""
    try:
        with _open(file) as image:
            width, height = image.size
            # Pillow turns TIFF by itself, and looking for EXIF in a PNG without it would decode the whole image.
            turned = image.format != "TIFF" and "exif" in image.info and image.getexif().get(_ORIENTATION, 1) >= 5
            gray = image.mode in ("1", "L", "LA", "I") or image.mode.startswith("I;16")
            return (width, height, gray) if turned else (height, width, gray)
    except _DAMAGE as error:
        return _why(file, error)


def _decode(file: Path, target: Pixels) -> str | None:
    """Write the upright image into `target` (H, W, C); returns why it cannot be read, if so."""
    from PIL import ImageOps

    height, width, channels = target.shape
    try:
        with _open(file) as image:
            # Lets a JPEG be decoded at an eighth of its size; twice the target leaves the resizing its quality.
            image.draft(None, (2 * max(height, width), 2 * max(height, width)))
            upright = ImageOps.exif_transpose(image)
            pixels = fitted(_flat(upright, "L" if channels == 1 else "RGB"), height, width)
            target[:] = np.asarray(pixels).reshape(target.shape)
            return None
    except _DAMAGE as error:
        return _why(file, error)


def _open(file: Path) -> Image.Image:
    from PIL import Image

    if not file.is_file():  # a broken link, or a pipe that would block for ever
        raise OSError("no regular file")
    try:
        image = Image.open(file, formats=_formats())
    except Image.DecompressionBombError as error:
        raise ValueError("more pixels than Pillow allows") from error
    if Image.MAX_IMAGE_PIXELS and image.width * image.height > Image.MAX_IMAGE_PIXELS:
        image.close()
        raise ValueError(f"{image.width}x{image.height} pixels, Pillow allows {Image.MAX_IMAGE_PIXELS} in all")
    return image


def _flat(image: Image.Image, mode: str) -> Image.Image:
    """`image` in `mode` "L" or "RGB", transparency over white (drawings are dark on nothing more often than light)."""
    from PIL import Image

    if image.mode == "F":
        raise ValueError("floating-point pixels")
    if image.mode == "I" or image.mode.startswith("I;16"):  # 16-bit samples; Pillow's own conversion may clip them
        image = Image.fromarray((np.clip(np.asarray(image), 0, 65535) >> 8).astype(np.uint8))
    elif image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == mode else image.convert(mode)


@functools.cache
def _formats() -> tuple[str, ...]:
    from PIL import Image

    Image.init()
    return tuple(name for name in Image.OPEN if name not in _NOT_PICTURES)


def _why(file: Path, error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    # Pillow's sentence repeats the path; the message has it already.
    return "not an image" if "cannot identify" in text else shown(text.splitlines()[0].replace(str(file), file.name))
