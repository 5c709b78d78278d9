# SPDX-License-Identifier: Apache-2.0
"""Frames and messages of the firmware core, on this computer and, where there are emulators, on emulated boards."""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from shutil import which

import numpy as np
import pytest
from helpers.firmware.core_build import MISSING, build
from helpers.firmware.tiny_plans import SEEDS
from helpers.firmware.wire_board import (
    ACTIVE,
    BEGIN,
    FAULT,
    FAULTED,
    HELLO,
    INPUT,
    MALFORMED,
    MEMORY,
    NONE,
    OK,
    OUTPUT,
    PAGE_BYTES,
    PROFILE,
    RUN,
    SELECT,
    STAGED,
    STATUS,
    TOO_LARGE,
    UNKNOWN,
    Board,
    encode,
)

from firmware_tools.mcu import MACHINES, measure
from firmware_tools.mcu.emulated import emulator_command
from firmware_tools.mcu.emulator import FLASH_FILE
from firmware_tools.mcu.images import firmware
from firmware_tools.plan.simulate import simulate

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "serial_frames.json"
PLAN = SEEDS["all"]
DATA = np.random.default_rng(7).integers(-128, 128, (1, 512), dtype=np.int8)

pytestmark = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("build")


@pytest.fixture
def board(folder: Path, tmp_path: Path) -> Iterator[Board]:
    with Board([build("host-board-sanitized", folder), tmp_path / "flash"]) as board:
        yield board


def test_hello(board: Board) -> None:
    body = board.ok(HELLO, b"\1\1")
    lowest, highest, plan, packing, kernels, unit, most, window, slots = struct.unpack_from("<BBHHBBHBB", body)
    assert (lowest, highest, plan, packing, kernels, unit, window, slots) == (1, 1, 1, 1, 0, 0, 4, 2)
    assert most == 1028
    rate, arena, slot = struct.unpack_from("<3I", body, 12)
    assert (rate, arena, slot) == (10**9, 2 << 20, (1 << 20) - PAGE_BYTES)
    assert board.ok(HELLO, b"\2\7newer fields") == body  # a newer host learns what it has to speak
    assert body[24:] == b"edgenas host 001\x04host\x031.0" + struct.pack("<I", 512 << 10)


def test_what_no_message_is(board: Board) -> None:
    for kind in (0, 17, 0x7F):
        assert board.ask(kind, b"12") == (UNKNOWN, b"")
    for kind, payload in ((HELLO, b"\1"), (BEGIN, bytes(35)), (SELECT, b""), (RUN, b"\1"), (OUTPUT, bytes(5))):
        assert board.ask(kind, payload) == (MALFORMED, b"")
    board.put(encode(0x81, 9, b"\0"))  # an answer
    assert board.silent()
    assert board.ask(STATUS, b"more than we know")[0] == OK


def test_a_repeated_request_is_answered_again_and_done_once(board: Board) -> None:
    board.install(PLAN)
    board.select(ACTIVE)
    for payload in (b"\1\0", b"\1\0"):
        board.put(encode(RUN, 77, payload))
    assert board.get() == board.get()  # a second run would have taken other ticks
    board.put(encode(BEGIN, 78, struct.pack("<I", 16) + bytes(32)) * 3)
    assert board.get() == board.get() == board.get()
    board.put(encode(STATUS, 78))  # another kind is another request
    assert board.get()[0] == STATUS + 0x80


def test_frames_that_are_no_good_are_counted_and_do_no_harm(board: Board) -> None:
    good = encode(STATUS, 5)
    board.put(b"\0\0garbage\0" + good[:-3] + b"\0" + b"\x02" * 5000 + b"\0" + good)
    kind, sequence, status, body = board.get()
    assert (kind, sequence, status) == (STATUS + 0x80, 5, OK)
    assert struct.unpack_from("<I", body, 16) == (3,)


def test_every_byte_of_a_frame_spoilt(board: Board) -> None:
    frame = encode(HELLO, 3, b"\1\1")
    for at in range(len(frame) - 1):
        for bits in (0x01, 0x80, 0xFF, frame[at]):
            spoilt = frame[:at] + bytes((frame[at] ^ bits,)) + frame[at + 1 :]
            board.put(b"\0" + spoilt + b"\0")
            assert board.ask(STATUS)[0] == OK  # asserts that nothing else is answered


def test_inputs_outputs_and_limits(board: Board) -> None:
    board.stage(PLAN)
    input_bytes, output_bytes, arena_bytes, operators = board.select(STAGED)
    assert (input_bytes, output_bytes, arena_bytes, operators) == (512, 30, 4096, 16)
    assert board.ask(OUTPUT, struct.pack("<IH", 0, 4))[0] != OK  # nothing ran
    assert board.ask(INPUT, struct.pack("<I", 510) + b"123") == (TOO_LARGE, struct.pack("<I", 512))
    assert board.ask(RUN, struct.pack("<H", 0))[0] == MALFORMED
    assert board.ask(RUN, struct.pack("<H", 33))[0] == MALFORMED
    assert board.infer(STAGED, DATA.tobytes(), 32) == simulate(PLAN, DATA)[0].tobytes()
    lowest, median, highest = struct.unpack("<3Q", board.ok(RUN, struct.pack("<H", 3)))
    assert 0 < lowest <= median <= highest
    assert board.ask(OUTPUT, struct.pack("<IH", 0, 31)) == (TOO_LARGE, struct.pack("<I", 30))
    assert board.ask(OUTPUT, struct.pack("<IH", 0xFFFFFFFF, 1))[0] == TOO_LARGE
    count = struct.unpack_from("<H", board.ok(PROFILE, struct.pack("<I", 3)))[0]
    assert count == 13
    assert board.ask(PROFILE, struct.pack("<I", 16))[0] == MALFORMED
    assert struct.unpack_from("<2I", board.ok(MEMORY)) == (4096, 2 << 20)


def test_a_reset_is_answered_first(board: Board) -> None:
    board.install(PLAN)
    board.reset()
    assert board.status().counters[:3] == (1, 0, 1)
    assert board.infer(ACTIVE, DATA.tobytes())


def test_the_golden_frames(folder: Path) -> None:
    """`frames-lines`: a line of hexadecimal bytes in, the frames in it out; what the Python side reads and writes."""
    vectors = json.loads(VECTORS.read_text())
    program = build("frame-lines", folder)
    good = [*vectors["good"], *vectors["also_good"]]
    fitting = [vector for vector in good if len(vector["payload"]) // 2 <= vectors["max_payload"]]
    lines = "".join(f"{vector['frame']}\n" for vector in [*fitting, *vectors["bad"]])
    done = subprocess.run([program], input=lines, capture_output=True, text=True, check=True)
    answers = [line.split() for line in done.stdout.splitlines()]
    assert len(answers) == len(fitting) + len(vectors["bad"])
    for vector, (found, again) in zip(fitting, answers, strict=False):
        assert found == f"{vector['kind']:02x}{vector['sequence']:02x}{vector['payload']}", vector["name"]
        if vector in vectors["good"]:
            assert again == vector["frame"], vector["name"]
    for vector, found in zip(vectors["bad"], answers[len(fitting) :], strict=True):
        assert found == ["-", "-"], vector["name"]


EMULATORS = {
    "qemu": None if which("qemu-system-arm") else "needs qemu-system-arm",
    "unicorn": None if find_spec("unicorn") else "needs unicorn: pip install unicorn",
}


def emulated(emulator: str, machine: str, image: Path, flash: Path) -> Board:
    board = Board(emulator_command(emulator, MACHINES[machine], image, flash))
    if machine == "netduinoplus2":  # its UART drops what comes before it is enabled
        board.knock()
    return board


def erased_flash(folder: Path, machine: str) -> Path:
    flash = folder / FLASH_FILE
    flash.write_bytes(b"\xff" * MACHINES[machine].flash.bytes)
    return flash


@pytest.mark.parametrize(
    ("emulator", "machine"),
    [
        *(("qemu", machine) for machine in MACHINES),
        *(("unicorn", machine) for machine in ("mps2-an386", "mps2-an505", "netduinoplus2")),
    ],
)
def test_an_emulated_board_counts_exactly(emulator: str, machine: str, tmp_path: Path) -> None:
    if EMULATORS[emulator]:
        pytest.skip(str(EMULATORS[emulator]))
    flash = erased_flash(tmp_path, machine)
    report = measure(PLAN, [DATA.tobytes()], machine, emulator)
    with emulated(emulator, machine, firmware(MACHINES[machine]), flash) as board:
        assert board.ok(HELLO, b"\1\1")[6:8] == bytes((machine != "mps2-an385", 1))
        board.stage(PLAN)
        assert board.infer(STAGED, DATA.tobytes()) == simulate(PLAN, DATA)[0].tobytes()
        ticks = struct.unpack("<3Q", board.ok(RUN, struct.pack("<H", 3)))
        assert ticks == (report.instructions,) * 3
        body = board.ok(PROFILE, bytes(4))
        assert struct.unpack_from("<16I", body, 2) == report.per_operator
        assert report.stack_bytes < struct.unpack_from("<I", board.ok(MEMORY), 8)[0] < 4096
        board.commit(PLAN)
        board.reset()
        assert board.infer(ACTIVE, DATA.tobytes()) == simulate(PLAN, DATA)[0].tobytes()
        assert board.status().counters[:3] == (1, 0, 1)
    with emulated(emulator, machine, firmware(MACHINES[machine]), flash) as board:
        assert board.status().active == 0  # the power was off


@pytest.mark.parametrize(
    ("machine", "spoil", "kind"),
    [("mps2-an386", "fault", 1), ("mps2-an505", "fault", 1), ("mps2-an386", "hang", 2)],
)
def test_a_model_that_goes_wrong_on_an_emulated_board(machine: str, spoil: str, kind: int, tmp_path: Path) -> None:
    """The flash changes under a model that was loaded: it reads nowhere, or runs one operator for ever."""
    if EMULATORS["qemu"]:
        pytest.skip(str(EMULATORS["qemu"]))
    flash = erased_flash(tmp_path, machine)
    with emulated("qemu", machine, firmware(MACHINES[machine]), flash) as board:
        board.install(PLAN)
        board.stage(SEEDS["lut"])
        board.select(STAGED)
        start = (1 << 20) + PAGE_BYTES
        with flash.open("r+b") as file:
            if spoil == "fault":
                file.seek(start + 64 + 4)  # the operator's input
                file.write(struct.pack("<I", 0x70000000))
            else:
                file.seek(start + 20)  # the number of operators
                file.write(struct.pack("<I", 0xFFFFFFFF))
                file.seek(start + 64 + 2)  # the size of the record: the next operator is the same one
                file.write(bytes(2))
        board.sequence += 1
        run = encode(RUN, board.sequence, b"\1\0")
        board.put(run)
        assert board.silent(1)
        while board.silent(1):  # 750 million instructions until the watchdog comes
            board.put(run)
        assert board.get()[2] == FAULTED
        while not board.silent(1):
            board.get()
        found, slot, operator, pc = struct.unpack_from("<BBII", board.ok(FAULT, b"\0"))
        assert (found, slot) == (kind, 1)
        assert operator == 0 or kind == 2
        assert 0 < pc - MACHINES[machine].code.address < 1 << 20
        status = board.status()
        assert (status.active, status.staged) == (0, NONE)
        assert board.infer(ACTIVE, DATA.tobytes()) == simulate(PLAN, DATA)[0].tobytes()
