# SPDX-License-Identifier: Apache-2.0
"""Each way to flash, with the real program where it is installed; the boards' facts; what fails is one line."""

from __future__ import annotations

import errno
import os
import resource
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.bootloader.rom_bootloader import RomBootloader

from edgenas.boards.board import Board, list_boards
from firmware_tools.bootloader import WAYS, Command, FileWrite, Image, Plan, run, uf2
from firmware_tools.errors import FlashError, FlashUsageError

ADDRESS = 0x08000000
REAL = [board for board in list_boards() if board.kind == "mcu" and "machine" not in board.facts]


@pytest.fixture
def image(tmp_path: Path) -> Image:
    path = tmp_path / "odd {name} $x.bin"
    path.write_bytes(np.random.default_rng(0).bytes(9000))
    return Image.read(path)


def program(name: str) -> None:
    """Skip without it."""
    if WAYS[name].program() is None:
        pytest.skip(f"no {name}: {WAYS[name].install}")


def facts(board: Board, way: str) -> dict[str, object]:
    return {"address": board.flash["address"], **board.flash[way]}


@pytest.mark.parametrize("board", REAL, ids=lambda board: board.id)
def test_every_real_board_has_ways_that_are_planned_without_programs(
    board: Board, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    ways = [name for name in board.flash if name != "address"]
    assert ways
    for name in ways:
        plan = WAYS[name].plan(image, facts(board, name), "/dev/ttyUSB9")
        assert plan.steps
        for step in plan.steps:
            assert not isinstance(step, Command) or step.arguments[0] == name


@pytest.mark.parametrize("board", [b for b in REAL if "openocd" in b.flash], ids=lambda board: board.id)
def test_openocd_has_the_configuration_of_each_board(board: Board, tmp_path: Path) -> None:
    program("openocd")
    words = [word for file in board.flash["openocd"]["configs"] for word in ("-f", file)]
    run(Plan((Command(("openocd", *words, "-c", "shutdown")),)), lambda data: None)


_FAUX = """
adapter driver dummy
transport select jtag
adapter speed 100
jtag newtap chip cpu -irlen 4
target create chip testee -chain-position chip.cpu
flash bank bank faux 0x08000000 0x10000 0 0 chip
"""


def test_openocd_writes_a_file_of_any_name_and_its_error_is_the_message(
    image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program("openocd")
    config = tmp_path / "board" / "faux.cfg"
    config.parent.mkdir()
    config.write_text(_FAUX)
    monkeypatch.setenv("OPENOCD_SCRIPTS", str(tmp_path))  # the user's own, beside OpenOCD's
    plan = WAYS["openocd"].plan(image, {"address": ADDRESS, "configs": ["board/faux.cfg"]}, None)
    said = bytearray()
    # OpenOCD's dummy adapter leads to a flash that can be written, and to no memory that could be read back.
    with pytest.raises(FlashError, match=r"^openocd failed \(exit 1\): Error: Target .* doesn't support checksum"):
        run(plan, said.extend)
    assert f"bytes from file {image.path}" in said.decode()


@pytest.fixture
def chip() -> Iterator[RomBootloader]:
    served = RomBootloader()
    yield served
    served.close()


def test_stm32flash_writes_compares_and_starts(image: Image, chip: RomBootloader) -> None:
    program("stm32flash")
    plan = WAYS["stm32flash"].plan(image, {"address": ADDRESS}, chip.port)
    (step,) = plan.steps
    assert isinstance(step, Command)
    without_parity = replace(step, arguments=(step.arguments[0], "-m", "8n1", *step.arguments[1:]))  # a pty has none
    run(Plan((without_parity,)), lambda data: None)
    assert bytes(chip.flash[ADDRESS + offset] for offset in range(len(image.data))) == image.data
    assert chip.started == ADDRESS
    assert {0, 1, 2} <= set(chip.erased)  # of 4 KiB; more is harmless


@pytest.mark.parametrize(
    ("name", "board", "said"),
    [("esptool", "esp32-s3", "Could not open /dev/no-port"), ("pyocd", "nucleo-h743zi2", "No target device")],
)
def test_a_program_understands_what_it_is_told(image: Image, name: str, board: str, said: str) -> None:
    program(name)
    plan = WAYS[name].plan(image, facts(Board.load(board), name), "/dev/no-port")
    with pytest.raises(FlashError, match=f"^{name} failed .*{said}"):
        run(plan, lambda data: None)


def test_uf2_holds_the_image_and_every_block_its_place() -> None:
    data = np.random.default_rng(1).bytes(3 * 256 + 5)
    file = uf2.encode(data, 0x10000000, 0xE48BFF56)
    blocks = list(uf2.decode(file))
    assert len(file) == 4 * 512
    assert [address for address, _, _ in blocks] == [0x10000000 + 256 * i for i in range(4)]
    assert {family for _, family, _ in blocks} == {0xE48BFF56}
    assert b"".join(payload for _, _, payload in blocks) == data.ljust(4 * 256, b"\0")
    # The first block, byte by byte, as the format's own page lays it out.
    assert file[:32].hex(" ", 4) == "5546320a 57515d9e 00200000 00000010 00010000 00000000 04000000 56ff8be4"
    assert file[508:512].hex() == "306fb10a"
    with pytest.raises(FlashError, match="block 1 of 4 is no UF2 block"):
        list(uf2.decode(file[:512] * 4))


def test_uf2_is_written_to_a_bootloaders_drive_alone(image: Image, tmp_path: Path) -> None:
    drive = tmp_path / "RPI-RP2"
    drive.mkdir()
    plan = WAYS["uf2"].plan(image, facts(Board.load("rpi-pico"), "uf2"), str(drive))
    with pytest.raises(FlashUsageError, match=r"holds no INFO_UF2\.TXT"):
        run(plan, lambda data: None)
    assert list(drive.iterdir()) == []
    (drive / "INFO_UF2.TXT").write_text("UF2 Bootloader v3.0\n")
    run(plan, lambda data: None)
    (step,) = plan.steps
    assert isinstance(step, FileWrite)
    assert (drive / "edgenas.uf2").read_bytes() == step.data


def test_uf2_that_does_not_fit_is_removed_and_said(image: Image, tmp_path: Path) -> None:
    (tmp_path / "INFO_UF2.TXT").write_text("")
    plan = WAYS["uf2"].plan(image, facts(Board.load("rpi-pico"), "uf2"), str(tmp_path))
    caught, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, limits[1]))
    try:
        with pytest.raises(FlashError, match=r"edgenas\.uf2 cannot be written \(File too large\)"):
            run(plan, lambda data: None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, caught)
    assert not (tmp_path / "edgenas.uf2").exists()


@pytest.mark.parametrize("plant", [lambda path, mine: path.symlink_to(mine), lambda path, mine: os.mkfifo(path)])
def test_a_drive_leads_uf2_nowhere_else(image: Image, tmp_path: Path, plant: Callable[[Path, Path], None]) -> None:
    (tmp_path / "drive").mkdir()
    (tmp_path / "drive" / "INFO_UF2.TXT").write_text("")
    (tmp_path / "mine").write_text("mine")
    plant(tmp_path / "drive" / "edgenas.uf2", tmp_path / "mine")
    plan = WAYS["uf2"].plan(image, facts(Board.load("rpi-pico"), "uf2"), str(tmp_path / "drive"))
    with pytest.raises(FlashError, match=r"edgenas\.uf2 cannot be written"):
        run(plan, lambda data: None)
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize("pieces", [0, 1])
def test_uf2s_drive_may_go_with_the_last_piece_alone(
    pieces: int, image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "INFO_UF2.TXT").write_text("")
    plan = WAYS["uf2"].plan(replace(image, data=image.data * 3), facts(Board.load("rpi-pico"), "uf2"), str(tmp_path))
    calls = 0

    def write(file: int, data: bytes) -> int:
        nonlocal calls
        calls += 1
        if calls > pieces:
            raise OSError(errno.EIO, "Input/output error")
        return len(data)

    monkeypatch.setattr(os, "write", write)
    if pieces == 0:
        with pytest.raises(FlashError, match=r"cannot be written \(Input/output error\): plug the board in again"):
            run(plan, lambda data: None)
    else:
        run(plan, lambda data: None)


def test_a_program_that_fails_hangs_or_is_gone_is_one_line() -> None:
    def shell(script: str, limit_s: float = 20.0) -> None:
        run(Plan((Command(("/bin/sh", "-c", script)),)), lambda data: None, limit_s)

    with pytest.raises(FlashError, match=r"^sh failed \(exit 3\): no chip$"):
        shell("echo wrote 10 %; echo no chip >&2; sleep 0.1; echo bye; exit 3")
    with pytest.raises(FlashError, match=r"^sh failed \(exit 1\): 80 %$"):
        shell(r"printf '10 %%\r80 %%\r'; exit 1")
    with pytest.raises(FlashError, match=r"^sh did not end within 0\.2 s: end what holds it"):
        shell("exec sleep 60", 0.2)
    with pytest.raises(FlashError, match="cannot start /no/program"):
        run(Plan((Command(("/no/program",)),)), lambda data: None)


def test_what_is_no_raw_binary_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image"
    for data, said in ((b"", "is empty"), (b"\x7fELF", "ELF file"), (b":10", "Intel HEX"), (b"UF2\n", "a UF2 file")):
        path.write_bytes(data)
        with pytest.raises(FlashUsageError, match=said):
            Image.read(path)


def test_facts_that_are_missing_or_wrong_are_named(image: Image) -> None:
    with pytest.raises(ValueError, match=r"key 'flash\.openocd\.configs' is missing"):
        WAYS["openocd"].plan(image, {"address": 0}, None)
    with pytest.raises(ValueError, match=r"key 'flash\.address' is '0', not an int"):
        WAYS["esptool"].plan(image, {"address": "0", "chip": "esp32s3"}, None)
    with pytest.raises(FlashUsageError, match="stm32flash needs the port"):
        WAYS["stm32flash"].plan(image, {"address": 0}, None)


def test_an_interrupt_ends_the_program(tmp_path: Path) -> None:
    def interrupted(data: bytes) -> None:
        raise KeyboardInterrupt

    ended = tmp_path / "ended"
    script = f"trap 'touch {ended}; exit' TERM; echo started; while :; do sleep 0.05; done"
    with pytest.raises(KeyboardInterrupt):
        run(Plan((Command(("/bin/sh", "-c", script)),)), interrupted)
    assert ended.exists()  # and it is waited for


@pytest.mark.parametrize(
    ("way", "change"),
    [
        ("openocd", {"configs": ["/tmp/evil.cfg"]}),
        ("openocd", {"configs": ["./evil.cfg"]}),
        ("openocd", {"configs": ["target/../../evil.cfg"]}),
        ("openocd", {"configs": ["-c"]}),
        ("openocd", {"configs": [3]}),
        ("openocd", {"address": -1}),
        ("pyocd", {"target": "--script=evil.py"}),
        ("pyocd", {"target": "../x"}),
        ("pyocd", {"address": 1 << 32}),
        ("esptool", {"chip": "--before"}),
        ("esptool", {"chip": "esp32 x"}),
        ("stm32flash", {"address": -5}),
        ("uf2", {"family": -1}),
        ("uf2", {"drive": "../home"}),
    ],
    ids=str,
)
def test_no_fact_of_a_board_becomes_an_option_or_a_path(image: Image, way: str, change: dict[str, object]) -> None:
    good = {"address": 0, "configs": ["interface/ftdi/x.cfg"], "target": "nrf52840", "chip": "esp32s3", "family": 1}
    facts = {**good, "drive": "RPI-RP2"}
    assert WAYS[way].plan(image, facts, "/dev/ttyUSB9").steps
    with pytest.raises(ValueError, match=rf"key 'flash\.({way}\.)?{next(iter(change))}' (is|has) "):
        WAYS[way].plan(image, {**facts, **change}, "/dev/ttyUSB9")
