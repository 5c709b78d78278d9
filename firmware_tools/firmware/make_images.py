#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Builds every image that edgenas ships, and images/manifest.json, which says what they are and what they came from.

make_images.py [--cross PREFIX] [--build FOLDER] [--into FOLDER]. Incremental: the build folder keeps the objects. The
machines are those of the ports' Makefiles, which print the images that they make: MACHINE.bin, MACHINE-runner.bin.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
MANIFEST = "manifest.json"
_SCHEMA = 1
_RUNNER = "-runner"
_SOURCES = ("core", "engine", "runner", "ports")
_NOT_SOURCES = HERE / "ports" / "host"


def sources() -> Iterator[Path]:
    """Every file that goes into an image, sorted by its name within this folder."""
    paths = [HERE / "port.h", *(path for name in _SOURCES for path in (HERE / name).rglob("*") if path.is_file())]
    return iter(sorted(path for path in paths if not path.is_relative_to(_NOT_SOURCES)))


def source_sha256() -> str:
    """Over names and contents of `sources`: equal where the same images come out, given the same compiler."""
    digest = hashlib.sha256()
    for path in sources():
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{content}  {path.relative_to(HERE).as_posix()}\n".encode())
    return digest.hexdigest()


def compiler(cross: str) -> str | None:
    """The compiler's version line; None if it is not installed."""
    program = shutil.which(f"{cross}gcc")
    if program is None:
        return None
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return said.splitlines()[0].strip()


def build(cross: str, folder: Path) -> list[Path]:
    """Make every port's images in `folder`, sorted by name. Raises CalledProcessError if one does not compile."""
    make = ["make", "--no-print-directory", "--silent", f"-j{os.cpu_count() or 1}", "-C", str(HERE), "boards"]
    # A make above this one hands down flags that do not concern it.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = [*make, f"CROSS={cross}", f"BUILD={folder.absolute()}"]
    printed = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    images = (Path(line) for line in printed.splitlines() if line.endswith(".bin"))
    return sorted(images, key=lambda path: path.name)


def manifest(images: list[Path], version: str) -> dict[str, Any]:
    """What images/manifest.json says of `images`, built by a compiler of that version line."""
    entries = []
    for path in images:
        data = path.read_bytes()
        runner = path.stem.endswith(_RUNNER)
        entries.append(
            {
                "machine": path.stem.removesuffix(_RUNNER),
                "program": "runner" if runner else "firmware",
                "file": path.name,
                "bytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
            }
        )
    return {"schema": _SCHEMA, "compiler": version, "source_sha256": source_sha256(), "images": entries}


def install(images: list[Path], table: dict[str, Any], into: Path) -> None:
    """Put images and manifest into a folder: each file whole or not at all, the manifest last; others go."""
    into.mkdir(parents=True, exist_ok=True)
    for path in images:
        _replace(into / path.name, path.read_bytes())
    _replace(into / MANIFEST, (json.dumps(table, indent=1) + "\n").encode())
    for path in into.iterdir():
        if path.name not in {MANIFEST, *(image.name for image in images)}:
            path.unlink()


def _replace(path: Path, data: bytes) -> None:
    if path.is_file() and path.read_bytes() == data:
        return
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_bytes(data)
    part.replace(path)


def main() -> int:
    """Build, write, and say what there is now."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cross", default="arm-none-eabi-")
    parser.add_argument("--build", type=Path, default=Path("build/firmware"))
    parser.add_argument("--into", type=Path, default=HERE / "images")
    options = parser.parse_args()
    version = compiler(options.cross)
    if version is None or shutil.which("make") is None:
        missing = "make: apt-get install make" if version else f"{options.cross}gcc: apt-get install gcc-arm-none-eabi"
        print(f"make_images.py: there is no {missing}", file=sys.stderr)
        return 1
    try:
        images = build(options.cross, options.build)
    except subprocess.CalledProcessError as error:
        print(f"make_images.py: an image does not compile (make ended with {error.returncode})", file=sys.stderr)
        return 1
    table = manifest(images, version)
    install(images, table, options.into)
    for entry in table["images"]:
        print(f"{entry['file']:<28} {entry['bytes']:>9,} bytes  sha256 {entry['sha256'][:16]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
