# SPDX-License-Identifier: Apache-2.0
"""Files that would fill the memory or never end, in place of every file that a user names: one line, and no memory."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.peak_memory import measured, peak_kb

pytestmark = pytest.mark.skipif(not hasattr(os, "wait4"), reason="measures as POSIX systems do")

MOST_KB = 600 << 10  # of all that the program has in memory; torch alone takes 250 MB
GIGABYTE = 1 << 30


def sparse(path: Path, start: bytes, size: int, end: bytes = b"") -> Path:
    """A file of `size` zeros between `start` and `end` that takes no room."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(start)
        file.seek(size, os.SEEK_CUR)
        file.write(end or b"\0")
    return path


def text(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def pipe(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)
    return path


def zeros(path: Path, header: bytes, count: int) -> Path:
    """An .npz whose images are `header` and `count` zeros, of which each thousand takes a byte."""
    block = bytes(1 << 24)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("x.npy", "w", force_zip64=True) as file:
            file.write(header)
            for _ in range(count // len(block)):
                file.write(block)
        with archive.open("y.npy", "w") as file:
            np.save(file, np.arange(100) % 2)
    return path


def npy(shape: str, version: bytes = b"\1\0") -> bytes:
    """The beginning of an array of bytes."""
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H" if version == b"\1\0" else "<I", len(header)) + header


def inflated(folder: Path) -> Path:
    return zeros(folder / "set.npz", npy("(100, 1024, 8192)"), 100 * 1024 * 8192)


def long_header(folder: Path) -> Path:
    return zeros(folder / "set.npz", b"\x93NUMPY\2\0" + struct.pack("<I", GIGABYTE), 1 << 26)


def listed(folder: Path) -> Path:
    """A list of entries of a gigabyte."""
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 65000, 65000, GIGABYTE, 4, 0)
    return sparse(folder / "set.npz", b"PK\3\4", GIGABYTE, end)


def single(folder: Path) -> Path:
    return sparse(folder / "set.npz", npy(f"({GIGABYTE},)"), GIGABYTE)


def png(path: Path, width: int, height: int, colour: int, channels: int) -> Path:
    """A white image, drawn without having it in memory."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer, row = zlib.compressobj(), b"\0" + b"\xff" * (width * channels)
    pixels = b"".join([packer.compress(row) for _ in range(height)]) + packer.flush()
    header = struct.pack(">2I5B", width, height, 8, colour, 0, 0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))
    return path


DEEP = "[" * 100_000
DOTS = ".".join(["a"] * 100_000) + " = 1"
HOME: list[tuple[str, Callable[[Path], object], list[str], int, str]] = [
    ("board is deep", lambda f: text(f / "board.toml", f"a = {DEEP}"), ["deploy", "--board", "{}"], 2, "nested"),
    ("board is dotted", lambda f: text(f / "board.toml", DOTS), ["deploy", "--board", "{}"], 2, "nested more than 32"),
    ("board is a pipe", lambda f: pipe(f / "board.toml"), ["deploy", "--board", "{}"], 2, "no board at"),
    ("board is large", lambda f: sparse(f / "a.toml", b"", GIGABYTE), ["deploy", "--board", "{}"], 2, "larger than"),
    ("profile is deep", lambda f: text(f / "a.json", DEEP), ["profile", "import", "{}"], 2, "nested more than 32"),
    ("profile never ends", lambda f: Path("/dev/zero"), ["profile", "import", "{}"], 2, "no regular file"),
    ("model never ends", lambda f: Path("/dev/zero"), ["plan", "{}", "--board", "rpi-pico"], 2, "no regular file"),
    ("model is a pipe", lambda f: pipe(f / "a.tflite"), ["plan", "{}", "--board", "rpi-pico"], 2, "no regular file"),
    (
        "model is large",
        lambda f: sparse(f / "a.tflite", b"\x1c\0\0\0TFL3", 3 * GIGABYTE),
        ["plan", "{}", "--board", "rpi-pico"],
        2,
        "larger than",
    ),
    (
        "firmware is large",
        lambda f: sparse(f / "a.bin", b"\0\0\0\x20", GIGABYTE),
        ["flash", "--board", "rpi-pico", "--image", "{}"],
        2,
        "larger than",
    ),
    (
        "manifest is deep",
        lambda f: text(f / "model" / "manifest.json", DEEP).parent,
        ["measure", "{}"],
        2,
        "nested more than 32",
    ),
    ("inventory is a pipe", lambda f: pipe(f / "home" / "devices.toml"), ["devices"], 2, "no regular file"),
    ("images inflate", inflated, ["deploy", "--data", "{}"], 2, "that become 839 MB of memory: save it with"),
    ("header is large", long_header, ["deploy", "--data", "{}"], 2, "x is damaged: its header has 1073741824 bytes"),
    ("list is large", listed, ["deploy", "--data", "{}"], 2, "its list of entries has more than"),
    ("array is single", single, ["deploy", "--data", "{}"], 2, "the file holds a single array"),
    ("set is a pipe", lambda f: pipe(f / "set.npz"), ["deploy", "--data", "{}"], 2, "is no regular file"),
]


def run(folder: Path, arguments: list[str]) -> tuple[int, str, int]:
    """Exit code, stderr and the most memory in kB."""
    (folder / "home").mkdir(mode=0o700, exist_ok=True)
    with (folder / "stderr").open("wb") as stderr:
        code = subprocess.call(
            measured([sys.executable, "-m", "edgenas", *arguments], folder / "peak"),
            cwd=folder,
            env={**os.environ, "EDGENAS_HOME": str(folder / "home")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
    return code, (folder / "stderr").read_text(), peak_kb(folder / "peak")


@pytest.mark.parametrize(("make", "arguments", "code", "says"), [case[1:] for case in HOME], ids=[c[0] for c in HOME])
def test_a_bomb_is_one_line(
    tmp_path: Path, make: Callable[[Path], Path], arguments: list[str], code: int, says: str
) -> None:
    path = make(tmp_path)
    command = [str(path) if word == "{}" else word for word in arguments]
    if command[0] == "deploy":
        command += ["--latency", "1ms", *([] if "--data" in command else ["--data", "digits"])]
    ended, stderr, most = run(tmp_path, command)
    line = stderr.splitlines()[-1]
    assert (ended, line.startswith("edgenas: ")) == (code, True), stderr
    assert says in line
    assert "Traceback" not in stderr
    assert len(line.replace(str(path), "FILE").replace(str(tmp_path), "FOLDER")) < 200
    assert most < MOST_KB
    assert not (tmp_path / "runs").exists()


def test_huge_images_are_read_without_a_second_copy(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for label in ("cats", "dogs"):
        for number in range(5):
            png(photos / label / f"{number}.png", 64, 64, 0, 1)
    png(photos / "cats" / "huge.png", 6200, 6200, 6, 4)
    os.link(photos / "cats" / "huge.png", photos / "dogs" / "huge.png")
    ended, stderr, most = run(tmp_path, ["deploy", "--data", str(photos), "--latency", "1ms", "--device", "usb:"])
    assert (ended, "unknown device scheme" in stderr) == (2, True), stderr
    assert "could not be read" not in stderr
    assert most < MOST_KB
