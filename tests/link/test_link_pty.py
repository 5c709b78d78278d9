# SPDX-License-Identifier: Apache-2.0
"""A real pty under pyserial: installs at the line's speed, and what is said when no board answers."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import sys
import threading
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.link.standin_board import StandInBoard

if os.name != "posix":
    pytest.skip("ptys are POSIX only", allow_module_level=True)

from helpers.link.paced_line import PacedLine, Served

from firmware_tools import errors
from firmware_tools.link import messages, session
from firmware_tools.link.pipes import ProcessPipe, SerialPipe, _not_opened
from firmware_tools.link.session import Link

PLAN = random.Random(3).randbytes(12_000)
Says = Callable[[Callable[[bytes], bytes]], errors.DeviceError]


@pytest.mark.parametrize(("baud", "lose_one_in"), [(115200, 0), (921600, 0), (115200, 3000), (921600, 3000)])
def test_install_at_the_speed_of_a_line(baud: int, lose_one_in: int) -> None:
    board = StandInBoard()
    with Served(board.feed) as served, PacedLine(served.file, served.file, baud, lose_one_in, seed=2) as line:
        for part in (PLAN[:4000], PLAN):
            with Link(SerialPipe(line.path, baud), line.path) as link:
                link.hello()
                link.send(part)
                link.ask(messages.Verify())
                link.ask(messages.Commit(hashlib.sha256(part).digest()))
                assert board.active == part
        assert bool(line.lost) == bool(lose_one_in)


@pytest.fixture
def port() -> Iterator[tuple[str, int]]:
    """A pty's path and the other end's file."""
    other, mine = os.openpty()
    tty.setraw(mine)
    yield os.ttyname(mine), other
    os.close(mine)
    os.close(other)


@pytest.fixture
def hello_says(port: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> Says:
    """The error that HELLO ends with when the line answers every write so."""
    monkeypatch.setattr(session, "_THINKING_S", 0.05)
    return lambda answer: hello_ends(*port, answer)


def hello_ends(path: str, other: int, answer: Callable[[bytes], bytes]) -> errors.DeviceError:

    def serve() -> None:
        while data := os.read(other, 4096):
            if data.endswith(b"stop"):
                return
            os.write(other, answer(data))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with Link(SerialPipe(path), f"serial://{path}") as link:
            with pytest.raises(errors.DeviceError) as caught:
                link.hello(patience_s=0.5)
            link._pipe.write(b"stop")
            thread.join(5)
    finally:
        assert not thread.is_alive()
    assert str(caught.value).startswith(f"serial://{path}: ")
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"\r\nlogin: [  12.3] usb 1-1: new device\r\n", r"another program.*login: .*name the board's own port"),
        (b"rst:0x1 (POWERON),boot:0x0 (DOWNLOAD(USB/UART0))\r\nwaiting for download\r\n", "bootloader.*ESP"),
        (b"*** Booting MCUboot v2.1.0 ***\r\n", "bootloader.*MCUboot"),
        (b"\x1f", "bootloader.*STM32.*BOOT0"),
        (random.Random(1).randbytes(60), r"garbage arrives at 115200 baud.*\?baud=N"),
        (bytes(50), r"garbage arrives at 115200 baud.*\?baud=N"),
    ],
    ids=["text", "esp", "mcuboot", "stm32", "garbage", "zeros"],
)
def test_what_else_may_be_on_the_line(hello_says: Says, said: bytes, words: str) -> None:
    error = hello_says(lambda data: said)
    assert isinstance(error, errors.ProtocolError)
    with pytest.raises(errors.ProtocolError, match=words):
        raise error


def test_silence_on_the_line(hello_says: Says) -> None:
    error = hello_says(lambda data: b"")
    assert isinstance(error, errors.DeviceLostError)
    assert "silence at 115200 baud" in str(error)
    assert "reset button" in str(error)


def test_an_echo_on_the_line(hello_says: Says) -> None:
    assert "what is sent comes back" in str(hello_says(lambda data: data))


@pytest.mark.parametrize(
    ("versions", "words"), [((2, 3), "2 to 3.*update edgenas"), ((0, 0), "edgenas flash --board BOARD")]
)
def test_other_versions_of_the_protocol(hello_says: Says, versions: tuple[int, int], words: str) -> None:
    error = hello_says(StandInBoard(versions=versions).feed)
    assert isinstance(error, errors.ProtocolError)
    with pytest.raises(errors.ProtocolError, match=words):
        raise error


def test_a_newer_board_that_still_speaks_this_version(port: tuple[str, int]) -> None:
    board = StandInBoard(versions=(1, 7))
    with Served(board.feed) as served, PacedLine(served.file, served.file, 115200) as line:
        assert Link(SerialPipe(line.path), line.path).hello().highest == 7


def test_what_was_on_the_line_before_ends_with_the_first_zero() -> None:
    board = StandInBoard()
    board.feed(b"half a frame of a host that was killed")
    with Served(board.feed) as served, PacedLine(served.file, served.file, 921600) as line:
        Link(SerialPipe(line.path, 921600), line.path).hello()
    assert board.done == [messages.Kind.HELLO]


def test_a_port_that_another_program_has(port: tuple[str, int]) -> None:
    first = SerialPipe(port[0])
    with pytest.raises(errors.DeviceBusyError, match=r"another program has the port open.*fuser") as caught:
        SerialPipe(port[0])
    assert port[0] in str(caught.value)
    first.close()
    first.close()
    SerialPipe(port[0]).close()


def test_no_such_port() -> None:
    with pytest.raises(errors.DeviceLostError, match=r"/dev/ttyNONE: no such port.*plug the board in"):
        SerialPipe("/dev/ttyNONE")


def test_a_file_that_is_no_port(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.DeviceError, match="name another port"):
        SerialPipe(str(tmp_path / "file"))


def test_a_port_that_the_user_may_not_open() -> None:
    error = _not_opened("/dev/ttyACM0", 115200, PermissionError(errno.EACCES, "Permission denied"))
    assert "permission denied: add yourself to the group dialout" in str(error)


@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may open every port")
def test_a_file_without_permissions(tmp_path: Path) -> None:
    (tmp_path / "port").touch(mode=0)
    with pytest.raises(errors.DeviceError, match="dialout"):
        SerialPipe(str(tmp_path / "port"))


def test_unplugged_while_reading_and_writing() -> None:
    other, mine = os.openpty()
    tty.setraw(mine)
    path = os.ttyname(mine)
    pipe = SerialPipe(path)
    os.close(mine)
    os.close(other)
    with pytest.raises(errors.DeviceLostError, match=f"{path}: the board was unplugged"):
        pipe.read(1)
    with pytest.raises(errors.DeviceLostError, match="plug it in"):
        pipe.write(b"x")
    pipe.close()


def test_a_process_as_a_board(tmp_path: Path) -> None:
    program = "import sys, os\nwhile d := os.read(0, 99): os.write(1, d.upper())"
    pipe = ProcessPipe([sys.executable, "-c", program], "test:")
    pipe.write(b"edge")
    assert pipe.read(60) == b"EDGE"
    assert pipe.read(0.01) == b""
    pipe.close()
    pipe.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pipe.pid, 0)


def test_a_process_that_ends_leaves_its_last_words() -> None:
    program = "import sys; print('flash file is\\nlocked', file=sys.stderr); sys.exit(3)"
    pipe = ProcessPipe([sys.executable, "-c", program], "test:")
    for _ in range(2):
        with pytest.raises(errors.DeviceLostError, match=r"test:.*exit 3; flash file is locked") as caught:
            pipe.read(60)
        assert "\n" not in str(caught.value)
    pipe.close()


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(errors.EmulatorError, match="cannot start /no/such"):
        ProcessPipe(["/no/such"], "test:")
