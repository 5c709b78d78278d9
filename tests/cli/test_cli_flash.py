# SPDX-License-Identifier: Apache-2.0
"""`edgenas flash`: what would be done, what is done and said by the board afterwards, what cannot be flashed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.cli.cli_program import Program

import firmware_tools

FIRMWARE = Path(firmware_tools.__file__).parent / "firmware"
BOARD = """
id = "mine"
name = "a board of my own"
kind = "mcu"
device_url = "serial:///dev/ttyACM0"
precision = "int8"
unit = "ms"
threads = 1
statistic = "max"
processes = 3
[limits]
flash_bytes = 2000
[facts]
firmware = "host"
[flash]
address = 0x0800_0000
[flash.openocd]
configs = ["board/mine.cfg"]
hint = "plug it in"
[flash.pyocd]
target = "mine"
"""


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """A home that does not exist yet; a board, an image of 1,000 bytes; `bin` is where programs can be put."""
    folder = tmp_path / "folder"
    (folder / "bin").mkdir(parents=True)
    (folder / "mine.toml").write_text(BOARD)
    (folder / "image.bin").write_bytes(bytes(1000))
    (folder / "large.bin").write_bytes(bytes(3000))
    return Program(tmp_path / "home", folder)


def _openocd(program: Program, script: str) -> dict[str, str]:
    """The environment in which `openocd` is this shell script."""
    path = program.folder / "bin" / "openocd"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return {"PATH": f"{path.parent}:/usr/bin:/bin"}


def test_a_dry_run_needs_no_program_and_prints_every_step(program: Program) -> None:
    arguments = ("flash", "--board", "mine.toml", "--with", "openocd", "--image", "image.bin", "--dry-run")
    found = program.run(*arguments, "--json", PATH="").json()
    assert (found["board"], found["with"], found["before"], found["device"]) == ("mine", "openocd", "plug it in", None)
    assert (found["image"]["bytes"], found["dry_run"]) == (1000, True)
    assert found["missing"] == "openocd is not installed: apt-get install openocd"
    (step,) = found["steps"]
    assert step["run"][:3] == ["openocd", "-f", "board/mine.cfg"]
    assert f"flash write_image erase {program.folder / 'image.bin'} 0x8000000 bin" in step["run"]
    shown = program.run(*arguments, PATH="").stdout
    assert "openocd, nothing is done" in shown
    assert "-c 'reset init'" in shown
    assert not program.home.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--board", "host"), "board host is of kind linux: it has no firmware to flash"),
        (("--board", "mps2-an386"), "board mps2-an386 is emulated: its firmware comes along, nothing to flash"),
        (("--board", "rpi-pico"), "edgenas has no firmware for board rpi-pico yet: give one with --image FILE"),
        (("--with", "esptool"), "board mine is not flashed with 'esptool': choose one of openocd, pyocd"),
        (("--image", "large.bin"), "large.bin has 3,000 bytes, board mine has 2,000 bytes of flash"),
        (("--image", "mine"), "mine cannot be read: No such file or directory"),
        (("--image", "image.bin", "--device", "qemu:"), "qemu:: a board is flashed through a serial port"),
        (("--image", "image.bin", "--drive", "bin"), "writes to no drive: leave --drive out"),
    ],
)
def test_what_cannot_be_flashed_is_one_line(program: Program, options: tuple[str, ...], message: str) -> None:
    board = () if "--board" in options else ("--board", "mine.toml")
    done = program.run("flash", *board, *options)
    assert (done.code, done.stdout) == (2, "")
    assert message in done.message


def test_a_failing_program_is_shown_and_its_last_line_is_the_message(program: Program) -> None:
    script = "echo erasing; echo Error: no probe >&2; exit 1"
    arguments = ("flash", "--board", "mine.toml", "--image", "image.bin")
    done = program.run(*arguments, **_openocd(program, script))
    assert (done.code, done.stdout) == (4, "")
    assert "erasing\n" in done.stderr
    assert done.message == "openocd failed (exit 1): Error: no probe"
    done = program.run(*arguments, "--with", "pyocd", PATH="")
    assert (done.code, done.message) == (
        4,
        "pyocd is not installed: pip install pyocd, or choose another way with --with",
    )


def test_an_interrupt_ends_the_program_too(program: Program) -> None:
    environment = _openocd(program, "echo waiting; exec sleep 60")
    running = program.start("flash", "--board", "mine.toml", "--image", "image.bin", **environment).until("waiting")
    assert running.signal(signal.SIGINT).wait(20).code == 130
    assert program.processes() == {}


@pytest.fixture
def port(program: Program, tmp_path: Path) -> Iterator[str]:
    """A serial port at whose other end edgenas' firmware runs, built for this computer."""
    if shutil.which("cc") is None or shutil.which("make") is None:
        pytest.skip("no cc or make: apt-get install gcc libc6-dev make")
    build = tmp_path / "build"
    subprocess.run(["make", "--silent", "-C", str(FIRMWARE), f"BUILD={build}", "host-board"], check=True)
    near, far = os.openpty()
    tty.setraw(far)
    board = subprocess.Popen([build / "host-board", tmp_path / "flash.bin"], stdin=near, stdout=near)
    yield os.ttyname(far)
    board.kill()
    board.wait()
    os.close(near)
    os.close(far)


def test_the_board_says_who_it_is_after_it_was_flashed(program: Program, port: str) -> None:
    environment = _openocd(program, f'printf "%s\\n" "$@" > {program.folder}/arguments')
    arguments = ("flash", "--board", "mine.toml", "--image", "image.bin", "--device", f"serial://{port}")
    found = program.run(*arguments, "--json", **environment).json()
    assert (program.folder / "arguments").read_text().splitlines()[:2] == ["-f", "board/mine.cfg"]
    assert (found["device"]["hostname"], found["dry_run"], found["missing"]) == ("host", False, None)
    assert found["device"]["agent_version"]
    assert found["next"] == f"edgenas deploy --board mine.toml --device serial://{port} --data DATA --latency BUDGET"
    (program.folder / "mine.toml").write_text(BOARD.replace('firmware = "host"', 'firmware = "other"'))
    done = program.run(*arguments, **environment)
    assert done.code == 2
    assert "the device calls itself 'host'" in done.message
