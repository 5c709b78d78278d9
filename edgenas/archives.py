# SPDX-License-Identifier: Apache-2.0
"""Zip archives that somebody else may have written: what they would take in memory is known before it is taken."""

from __future__ import annotations

import io
import math
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from firmware_tools.reading import open_file

# Of the list of all entries, of which each takes some 600 bytes when it is read: 90,000 names.
_MAX_LIST_BYTES = 4 << 20
_MAX_HEADER_BYTES = 1 << 16  # of an array; numpy's own have a hundred
# What is larger than this and inflates by more than that is no data set: photographs inflate by up to 2, drawings by up
# to 50, and deflated zeros by 1030.
_BOMB_BYTES = 128 << 20
_BOMB_RATIO = 100
# What zipfile, zlib and numpy raise on damaged archives; MemoryError: a damaged header that claims a huge array.
DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    RuntimeError,
    ArithmeticError,
    MemoryError,
    SyntaxError,
    TypeError,
    struct.error,
    zlib.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # numpy's; others may take gigabytes for their window alone


class ArchiveError(ValueError):
    """An archive that is not read: `key` is the array's name, `what` what is wrong with it."""

    def __init__(self, key: str | None, what: str) -> None:
        super().__init__(what)
        self.key, self.what = key, what


class Archive(io.BufferedReader):
    """A file for `zipfile` that gives no list of entries that is longer than a program writes one."""

    def __init__(self, raw: io.RawIOBase | io.BytesIO) -> None:
        super().__init__(raw)  # bytes in memory are read like a file
        self._size = self.seek(0, os.SEEK_END)
        self.seek(0)
        self.listed = False

    def read(self, size: int | None = -1, /) -> bytes:
        """As a file does. Raises BadZipFile where the list is too long, while `listed` is not set."""
        rest = max(0, self._size - self.tell())
        count = rest if size is None or size < 0 else min(size, rest)
        if not self.listed and count > _MAX_LIST_BYTES:
            raise zipfile.BadZipFile(f"its list of entries has more than {_MAX_LIST_BYTES} bytes")
        return super().read(size)


def open_archive(path: Path) -> Archive:
    """The file, for `numpy.load` or `zipfile`. Raises UnreadableError for what is no regular file, OSError."""
    return Archive(open_file(path).detach())


def require_stored(data: bytes) -> None:
    """Raise ArchiveError if an archive has entries that inflate: torch writes none; BadZipFile."""
    with Archive(io.BytesIO(data)) as file, zipfile.ZipFile(file) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ArchiveError(None, "it is compressed, as no checkpoint is")


def check_arrays(archive: zipfile.ZipFile, keys: Iterable[str], max_bytes: int | None = None) -> None:
    """Raise ArchiveError unless the arrays `keys` of an .npz can be read into this computer's memory.

    `max_bytes` limits them together; None: what is free. Their headers are read, nothing is inflated beyond these.
    """
    limit = free_bytes() if max_bytes is None else max_bytes
    total = 0
    for key in keys:
        entry = _entry(archive, key)
        shape, dtype, start = _header(archive, entry, key)
        size = math.prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or entry.file_size - start != size:
            raise ArchiveError(key, f"{key} is damaged: {shape} of {dtype} are not {entry.file_size - start} bytes")
        if size > _BOMB_BYTES and size > _BOMB_RATIO * entry.compress_size:
            few = f"{_megabytes(entry.compress_size)} that become {_megabytes(size)} of memory"
            raise ArchiveError(key, f"{key} is {few}: save it with numpy.savez, which does not compress")
        total += size
        if limit is not None and total > limit:
            free = "are free" if max_bytes is None else "are the most"
            need = f"{_megabytes(total)} are needed, {_megabytes(limit)} {free}"
            raise ArchiveError(key, f"{key} is {shape} of {dtype}, {need}: save fewer, or smaller ones as uint8")


def free_bytes() -> int | None:
    """The memory that programs can still have, with what may be swapped out; None where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:  # noqa: PTH123
            table = dict(line.split(":", 1) for line in file)
        return sum(1024 * int(table[name].split()[0]) for name in ("MemAvailable", "SwapFree"))
    except (OSError, ValueError, KeyError, IndexError):
        return None


def _entry(archive: zipfile.ZipFile, key: str) -> zipfile.ZipInfo:
    names = [name for name in archive.namelist() if name in (key, f"{key}.npy")]
    if len(names) != 1:
        raise ArchiveError(key, f"{key} is there {len(names)} times: save it once")
    entry = archive.getinfo(names[0])
    if entry.compress_type not in _METHODS:
        raise ArchiveError(key, f"{key} is packed as numpy packs none: save it with numpy.savez")
    return entry


def _header(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, key: str) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Shape, type and where the data begin."""
    with archive.open(entry) as file:
        start = file.read(12)
        if not start.startswith(b"\x93NUMPY"):
            raise ArchiveError(key, f"{key} is no array: save it with numpy.savez")
        length = int.from_bytes(start[8:10] if start[6] == 1 else start[8:12], "little")
        if length > _MAX_HEADER_BYTES:
            raise ArchiveError(key, f"{key} is damaged: its header has {length} bytes")
    with archive.open(entry) as file:
        version = np.lib.format.read_magic(file)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
        if read is None:
            raise ArchiveError(key, f"{key} is no plain array of numbers or strings: save it as one")
        shape, _, dtype = read(file)
        data_start = file.tell()
    if dtype.hasobject:
        raise ArchiveError(key, f"{key} is damaged or pickled: save it again as a plain array")
    return shape, dtype, data_start


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.3g} MB"
