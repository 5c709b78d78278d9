# SPDX-License-Identifier: Apache-2.0
"""The images that edgenas ships are whole, and are what the C sources beside them compile to."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import edgenas
from firmware_tools.firmware import make_images
from firmware_tools.mcu import MACHINES, EmulatorError, images

CROSS = "arm-none-eabi-"
MANIFEST = json.loads((images.FOLDER / make_images.MANIFEST).read_text())


def test_the_manifest_is_of_these_sources_and_files() -> None:
    # After a change of the C sources: make firmware, and commit both.
    assert MANIFEST["source_sha256"] == make_images.source_sha256()
    listed = {entry["file"]: (entry["bytes"], entry["sha256"]) for entry in MANIFEST["images"]}
    files = {path.name: path.read_bytes() for path in images.FOLDER.iterdir() if path.name != make_images.MANIFEST}
    assert listed == {name: (len(data), hashlib.sha256(data).hexdigest()) for name, data in files.items()}


def test_every_emulated_machine_has_both_programs() -> None:
    for machine in MACHINES.values():
        assert images.firmware(machine).name == f"{machine.name}.bin"
        assert images.image(machine).name == f"{machine.name}-runner.bin"
    assert images.firmware_of("rpi-pico") is None


def test_every_real_board_with_an_image_is_flashed_with_it() -> None:
    names = {entry["machine"] for entry in MANIFEST["images"]} - set(MACHINES)
    for name in names:
        planned = edgenas.flash(name, device="serial:///dev/ttyACM0", dry_run=True)
        assert planned.image.path == images.FOLDER / f"{name}.bin"


def test_the_sources_give_the_same_bytes_in_another_folder(tmp_path: Path) -> None:
    version, shipped = make_images.compiler(CROSS), MANIFEST["compiler"]
    if version != shipped:
        pytest.skip(f"the images were built by {shipped!r}, here is {version!r}")
    ignored = shutil.ignore_patterns("build", "images", "__pycache__")
    copy = Path(shutil.copytree(images.FIRMWARE, tmp_path / "some where" / "firmware", ignore=ignored))
    command = [sys.executable, str(copy / "make_images.py"), "--build", str(tmp_path / "objects")]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    built = {path.name: path.read_bytes() for path in (copy / "images").iterdir()}
    assert built == {path.name: path.read_bytes() for path in images.FOLDER.iterdir()}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shipped images, which `images` uses."""
    copy = Path(shutil.copytree(images.FOLDER, tmp_path / "images"))
    monkeypatch.setattr(images, "FOLDER", copy)
    return copy


def test_damaged_or_missing_images_are_one_line(folder: Path) -> None:
    board = MACHINES["mps2-an386"]
    (folder / "mps2-an386.bin").write_bytes(b"other")
    with pytest.raises(EmulatorError, match=r"mps2-an386\.bin is damaged, .*: reinstall edgenas, or run `make firmw"):
        images.firmware(board)
    (folder / "mps2-an386.bin").unlink()
    with pytest.raises(EmulatorError, match=r"mps2-an386\.bin cannot be read \(No such file or directory\): reinst"):
        images.firmware(board)
    assert images.image(board).is_file()
    for text in ("{", "{}", '{"schema": 2, "images": []}'):
        (folder / make_images.MANIFEST).write_text(text)
        with pytest.raises(EmulatorError, match=r"manifest\.json is missing or damaged .*: reinstall edgenas"):
            images.firmware(board)
    (folder / make_images.MANIFEST).write_text('{"schema": 1, "images": []}')
    with pytest.raises(EmulatorError, match="names no firmware for mps2-an386"):
        images.firmware(board)


def test_without_a_compiler_the_line_says_what_to_install() -> None:
    script = images.FIRMWARE / "make_images.py"
    done = subprocess.run([sys.executable, str(script)], env={"PATH": ""}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "make_images.py: there is no arm-none-eabi-gcc: apt-get install gcc-arm-none-eabi\n"
