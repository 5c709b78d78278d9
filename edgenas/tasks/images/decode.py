# SPDX-License-Identifier: Apache-2.0
"""Image files to one array: two passes in a thread pool, first sizes and modes, then pixels at the chosen size."""

from __future__ import annotations

import functools
import os
import struct
import threading
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from edgenas.errors import DataError
from edgenas.tasks.images.sizes import choose_size, fitted
from edgenas.tasks.images.source import Pixels, Source
from edgenas.tasks.raw import end, shown

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
_HEIF = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"heim", b"heis", b"avif")
# Of what is decoded: larger ones one at a time, and huge ones without a second copy in memory.
_LARGE_PIXELS = 4 << 20
_HUGE_PIXELS = 32 << 20
_ALONE = threading.Lock()
# Of formats whose decoders have the whole picture, several times over, beside Pillow's; phones take 49 million.
_MOST_PIXELS = {"JPEG2000": 32 << 20, "WEBP": 50_000_000, "AVIF": 50_000_000, "HEIF": 50_000_000}
_AT_ONCE = 16  # files that one thread takes at a time
_T = TypeVar("_T")
_Item = TypeVar("_Item")


def readable_suffixes() -> frozenset[str]:
    """Suffixes (lower case, with the dot) of the image formats that the installed Pillow reads."""
    from PIL import Image

    formats = _formats()  # first, for it registers plug-ins
    return frozenset(suffix for suffix, format_ in Image.registered_extensions().items() if format_ in formats)


def read_images(
    root: Path, files: Sequence[Path], size: int | None, progress: Callable[[int, int], None] | None
) -> tuple[Pixels, npt.NDArray[np.bool_], tuple[str, ...], Source]:
    """Pixels (M, H, W, C) uint8 of the readable files, which of `files` these are (N,), notes, and the files' sides.

    Raises DataError if more than 5 % of the files cannot be read. `progress` as in `load`.
    """

    def step(done: int) -> None:
        if progress:
            progress(done, 2 * len(files))

    faults: dict[int, str] = {}
    with _threads() as pool:
        heads: dict[int, _Head] = {}
        for index, head in enumerate(_map(pool, _head, files)):
            if isinstance(head, str):
                faults[index] = head
            else:
                heads[index] = head
            step(index + 1)
        _check_faults(root, files, faults)
        gray = all(head.gray for head in heads.values())
        sides = [head.side for head in heads.values()]
        (height, width), note = choose_size(
            str(root), set(sides), float(np.median([min(side) for side in sides])), size
        )
        x = np.empty((len(files), height, width, 1 if gray else 3), np.uint8)

        def decode(index: int) -> str | int:
            return faults.get(index) or _decode(files[index], x[index], 16)

        largest: dict[int, int] = {}  # of the files with 16 bits
        for index, fault in enumerate(_map(pool, decode, range(len(files)))):
            if isinstance(fault, str):
                faults[index] = fault
            elif fault >= 0:
                largest[index] = fault
            step(len(files) + index + 1)
        bits = least_depth(max(largest.values(), default=0))
        if largest and bits < 16:  # 12 bits in a file of 16: their upper bytes would be nearly black
            list(_map(pool, lambda index: _decode(files[index], x[index], bits), list(largest)))
    _check_faults(root, files, faults)
    notes = [note] if note else []
    notes += _mode_notes(root, files, heads)
    if largest:
        top = max(largest.values())
        notes.append(f"{_some(len(largest), files)} 16 bits, values up to {top}: taken as {bits} bits")
    if faults:
        notes.append(f"{_faults(root, files, faults)} and were skipped, {_first(root, files, faults)}")
    kept = np.ones(len(files), np.bool_)
    kept[list(faults)] = False
    return (x[kept] if faults else x), kept, tuple(notes), Source("files", frozenset(sides))


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


@dataclass(frozen=True)
class _Head:
    """What a file says before it is decoded: (height, width) of the upright image, and how its pixels are kept."""

    side: tuple[int, int]
    mode: str
    frames: bool  # more than one picture

    @property
    def gray(self) -> bool:
        return self.mode in ("1", "L", "LA", "I") or self.mode.startswith("I;16")


def _head(file: Path) -> _Head | str:
    """The head of an image file without decoding it, or why it cannot be read."""
    try:
        with _open(file) as image:
            width, height = image.size
            # Pillow turns TIFF by itself, and looking for EXIF in a PNG without it would decode the whole image.
            turned = image.format != "TIFF" and "exif" in image.info and image.getexif().get(_ORIENTATION, 1) >= 5
            side = (width, height) if turned else (height, width)
            return _Head(side, _depth_mode(image), _animated(image))
    except _DAMAGE as error:
        return _why(file, error)


def _animated(image: Image.Image) -> bool:
    """Whether there are several pictures in the file (a phone's .jpg has a preview as its second: MPO)."""
    try:
        return image.format != "MPO" and bool(getattr(image, "is_animated", False))
    except _DAMAGE:  # behind the first picture
        return False


def _depth_mode(image: Image.Image) -> str:
    """The image's mode, or `RGB;16` where Pillow keeps only the upper bytes of a colour image of 16 bits."""
    tile = next(iter(getattr(image, "tile", ())), None)
    how = tile[3] if tile else None
    raw_mode = how[0] if isinstance(how, tuple) and how else how
    return "RGB;16" if image.mode[:3] == "RGB" and isinstance(raw_mode, str) and ";16" in raw_mode else image.mode


def _decode(file: Path, target: Pixels, bits: int) -> str | int:
    """Write the upright image into `target` (H, W, C), its values taken as `bits` bits where the file has 16.

    Returns why it cannot be read, if so, else the largest value of a file with 16 bits, else -1.
    """
    from PIL import ImageOps

    height, width, channels = target.shape
    try:
        with _open(file) as image:
            # Lets a JPEG be decoded at an eighth of its size; twice the target leaves the resizing its quality.
            image.draft(None, (2 * max(height, width), 2 * max(height, width)))
            with _room(image):
                mode = "L" if channels == 1 else "RGB"
                if image.width * image.height > _HUGE_PIXELS:
                    upright, largest = _reduced(image, mode, bits, 2 * max(height, width))
                else:
                    upright, largest = _eight_bits(ImageOps.exif_transpose(image), bits)
                pixels = fitted(_flat(upright, mode), height, width)
            target[:] = np.asarray(pixels).reshape(target.shape)
            return largest
    except _DAMAGE as error:
        return _why(file, error)


@contextmanager
def _room(image: Image.Image) -> Iterator[None]:
    """Keep other large images out of memory meanwhile: one may take up to a gigabyte when it is decoded."""
    if image.width * image.height > _LARGE_PIXELS:
        with _ALONE:
            yield
    else:
        yield


def _reduced(image: Image.Image, mode: str, bits: int, side: int) -> tuple[Image.Image, int]:
    """A huge image upright and in `mode`, at `side` pixels or a little more, and as `_eight_bits`: strip by strip."""
    from PIL import Image, ImageOps

    image.load()  # which turns a TIFF
    factor = max(1, min(image.size) // side)
    small = Image.new(mode, (-(-image.width // factor), -(-image.height // factor)))
    rows, largest = factor * max(1, _LARGE_PIXELS // (image.width * factor)), -1
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        eight, most = _eight_bits(strip, bits)
        small.paste(_flat(eight, mode).reduce(factor), (0, top // factor))
        largest = max(largest, most)
    small.getexif()[_ORIENTATION] = image.getexif().get(_ORIENTATION, 1)
    return ImageOps.exif_transpose(small), largest


def _open(file: Path) -> Image.Image:
    from PIL import Image

    if not file.is_file():  # a pipe would block for ever
        raise OSError("a link to nothing" if file.is_symlink() else "no regular file")
    try:
        image = Image.open(file, formats=_formats())
    except Image.DecompressionBombError as error:
        raise ValueError("more pixels than Pillow allows") from error
    if Image.MAX_IMAGE_PIXELS and image.width * image.height > Image.MAX_IMAGE_PIXELS:
        image.close()
        raise ValueError(f"{image.width}x{image.height} pixels, Pillow allows {Image.MAX_IMAGE_PIXELS} in all")
    most = _MOST_PIXELS.get(image.format or "", image.width * image.height)
    if image.width * image.height > most:
        image.close()
        raise ValueError(f"{image.width}x{image.height} pixels, of {image.format} {most} are read: convert it to .jpg")
    if any(tile[0] == "fits_gzip" for tile in getattr(image, "tile", ())):  # Pillow inflates it whatever it becomes
        image.close()
        raise ValueError("a compressed FITS image: convert it to .png")
    return image


def _flat(image: Image.Image, mode: str) -> Image.Image:
    """`image` in `mode` "L" or "RGB", transparency over white (drawings are dark on nothing more often than light)."""
    from PIL import Image

    if image.mode == "F":
        raise ValueError("floating-point pixels: save it with 8 bits")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == mode else image.convert(mode)


def _eight_bits(image: Image.Image, bits: int) -> tuple[Image.Image, int]:
    """An image of 16 bits, which Pillow's own conversion may clip, with 8, and its largest value; others, and -1."""
    from PIL import Image

    if image.mode != "I" and not image.mode.startswith("I;16"):
        return image, -1
    values = np.asarray(image)
    least, largest = int(values.min()), int(values.max())
    if least < 0 or largest > 65535:
        raise ValueError(f"pixels from {least} to {largest}, not 0..65535: save it with 8 bits")
    return Image.fromarray((values >> (bits - 8)).clip(max=255).astype(np.uint8)), largest


def least_depth(largest: int) -> int:
    """The least of 8, 10, 12, 14 and 16 bits that hold `largest`."""
    return max(8, largest.bit_length() + largest.bit_length() % 2)


def _mode_notes(root: Path, files: Sequence[Path], heads: dict[int, _Head]) -> list[str]:
    """Sentences about pixels that are read otherwise than they are kept: gray beside colour, CMYK, several frames."""
    notes = []
    gray = sum(head.gray for head in heads.values())
    if 0 < gray < len(heads):
        odd = next(i for i, head in heads.items() if head.gray == (2 * gray < len(heads)))
        first = end(files[odd].relative_to(root))
        notes.append(
            f"{gray} grayscale files and {len(heads) - gray} in colour: all read as RGB "
            f"(first {'grayscale' if heads[odd].gray else 'colour'}: {first})"
        )
    modes = Counter(head.mode for head in heads.values())
    for mode, how in (
        ("CMYK", "are CMYK: converted to RGB without a colour profile"),
        ("RGB;16", "have 16 bits a colour: the upper 8 are kept"),
    ):
        if modes[mode]:
            notes.append(f"{modes[mode]} of {len(files)} files {how}")
    if frames := sum(head.frames for head in heads.values()):
        notes.append(f"{_some(frames, files)} several pictures: the first of each is read")
    return notes


def _some(count: int, files: Sequence[Path]) -> str:
    return f"{count} of {len(files)} files {'has' if count == 1 else 'have'}"


@functools.cache
def _formats() -> tuple[str, ...]:
    from PIL import Image

    Image.init()
    with suppress(ImportError):  # the photos of an iPhone, if the user has installed what reads them
        import pillow_heif

        pillow_heif.register_heif_opener()
    return tuple(name for name in Image.OPEN if name not in _NOT_PICTURES)


def _why(file: Path, error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    # Pillow's sentence repeats the path; the message has it already.
    return _content(file) if "cannot identify" in text else shown(text.splitlines()[0].replace(str(file), file.name))


def _content(file: Path) -> str:
    """What a file that Pillow does not know holds, as far as its first bytes tell."""
    try:
        with file.open("rb") as stream:
            start = stream.read(64)
    except OSError as error:
        return error.strerror or "gone"
    for is_it, what in (
        (not start, "empty"),
        (not any(start), "nothing but zeros"),
        (
            start[4:8] == b"ftyp" and start[8:12] in _HEIF,
            "HEIC inside: convert it to .jpg or .png, or pip install pillow-heif",
        ),
        (start[4:8] == b"ftyp", "a video inside"),
        (start.lstrip().lower().startswith((b"<!doctype html", b"<html")), "a web page inside"),
        (start.startswith((b"PK\3\4", b"\x1f\x8b")), "an archive inside"),
    ):
        if is_it:
            return what
    return "not an image"
