# SPDX-License-Identifier: Apache-2.0
"""What can be wrong: one clear line, the right exit code, nothing half-written, the active model untouched."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.cli.cli_program import DEPLOY, Done, Program
from PIL import Image

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("deployed by the program")]

_LATENCY = ("--latency", "1ms", "--epochs", "2")
_COUNT = 40  # images of a class


@pytest.fixture
def refused(program: Program) -> Iterator[Program]:
    """`program`; afterwards its device is as it was and no run's folder is left."""
    before = program.device()
    yield program
    assert program.device() == before
    assert program.processes() == {}
    assert not (program.folder / "runs").exists()


def _photos(root: Path, classes: int = 2, sizes: tuple[int, ...] = (8,)) -> Path:
    rng = np.random.default_rng(0)
    for label in range(classes):
        folder = root / f"class{label}"
        folder.mkdir(parents=True)
        for number in range(_COUNT):
            side = sizes[number % len(sizes)]
            pixels = rng.integers(0, 256, (side, side), np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    return root


def _stopped_at_device(program: Program, data: Path) -> Done:
    """Deploy `data` to a device whose name is wrong: what is said of the data is said before that."""
    done = program.run("deploy", "--data", data, *_LATENCY, "--device", "usb:")
    assert done.code == 2
    return done


def test_data_folder_is_missing(refused: Program) -> None:
    done = refused.run("deploy", "--data", "./my_photos", *_LATENCY, "--json")
    assert (done.code, done.stdout) == (2, "")
    assert "'./my_photos'" in done.message
    assert "give a folder" in done.message


def test_data_folder_is_empty(refused: Program, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    done = refused.run("deploy", "--data", tmp_path / "photos", *_LATENCY)
    assert done.code == 2
    assert "is empty" in done.message


def test_data_folder_holds_one_class(refused: Program, tmp_path: Path) -> None:
    done = refused.run("deploy", "--data", _photos(tmp_path / "photos", classes=1), *_LATENCY)
    assert done.code == 2
    assert "class" in done.message


def test_few_corrupt_images_are_skipped_with_a_count(refused: Program, tmp_path: Path) -> None:
    photos = _photos(tmp_path / "photos")
    (photos / "class0" / "0.png").write_bytes(b"not an image")
    assert "1 " in next(line for line in _stopped_at_device(refused, photos).stderr.splitlines() if "skipped" in line)


def test_many_corrupt_images_are_refused(refused: Program, tmp_path: Path) -> None:
    photos = _photos(tmp_path / "photos")
    for number in range(10):
        (photos / "class0" / f"{number}.png").write_bytes(b"not an image")
    done = refused.run("deploy", "--data", photos, *_LATENCY)
    assert done.code == 2
    assert "10 of 80" in done.message
    assert "5" in done.message


def test_mixed_sizes_are_resized_and_said(refused: Program, tmp_path: Path) -> None:
    stderr = _stopped_at_device(refused, _photos(tmp_path / "photos", sizes=(8, 16, 24))).stderr
    assert any("16" in line and "size" in line for line in stderr.splitlines())


def test_budget_below_the_fastest_names_it(program: Program) -> None:
    before = program.device()
    done = program.run("deploy", "--data", "digits", "--latency", "0.01us", "--json")
    assert (done.code, done.stdout) == (3, "")
    assert "below the fastest architecture" in done.message
    assert "ask for at least" in done.message
    assert program.device() == before


def test_damaged_profile_names_file_and_key(program: Program) -> None:
    before = program.device()
    (file,) = (program.home / "profiles").glob("*.json")
    file.write_text('{"schema": 1}')
    done = program.run(*DEPLOY, "--seed", "3")
    assert done.code == 2
    assert str(file) in done.message
    assert "key 'key' is missing" in done.message
    assert "delete the file and run `edgenas profile`" in done.message
    listed = program.run("boards")
    assert listed.code == 0
    assert str(file) in listed.stdout
    assert program.device() == before


def test_runtime_is_missing(refused: Program, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    done = refused.run(*DEPLOY, "--device", f"local:?python={tmp_path / 'bare' / 'bin' / 'python'}")
    assert done.code == 4
    assert "pip install" in done.message


def test_interpreter_is_missing(refused: Program) -> None:
    done = refused.run(*DEPLOY, "--device", "local:?python=/nowhere/python")
    assert done.code == 4
    assert "cannot start /nowhere/python" in done.message


def test_runs_folder_cannot_be_made(refused: Program) -> None:
    (refused.folder / "file").write_text("")
    done = refused.run(*DEPLOY, "--runs", "file/runs")
    assert done.code == 2
    assert "name another folder with --runs" in done.message


def test_home_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = Program(tmp_path / "file" / "home", tmp_path).run(*DEPLOY)
    assert done.code == 2
    assert done.message.startswith(
        f"EDGENAS_HOME is {tmp_path / 'file' / 'home'}, which cannot be used (Not a directory)"
    )


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A file system of two pages, for the question and its seal: a third file finds no space."""
    folder = tmp_path / "full"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8k", "none", str(folder)]
    mounted = subprocess.run(command, capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_disk_is_full(program: Program, full: Path) -> None:
    before = program.device()
    done = program.run(*DEPLOY, "--runs", full, "--seed", "4", "--json")
    assert (done.code, done.stdout) == (1, "")
    assert "no disk space" in done.message.lower()
    assert program.device() == before
    assert program.processes() == {}
    assert list(full.glob("*/result.json")) == []
