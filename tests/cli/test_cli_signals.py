# SPDX-License-Identifier: Apache-2.0
"""SIGINT, SIGTERM and SIGHUP end the program whatever it is doing; nothing that it started goes on."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.cli.cli_program import Program, Running
from helpers.short_deploys import SMALL

_HEAD = """
import ctypes, gc, hashlib, os, signal, sys, threading, time
from edgenas.cli import failures
from edgenas.cli.interrupts import Interrupts
from firmware_tools import children

def begin():
    print("ready", flush=True)

def swallowed_by_a_callback():
    call = ctypes.CFUNCTYPE(None)(lambda: (begin(), time.sleep(60)))
    call()
    time.sleep(60)

def swallowed_by_a_destructor():
    class Slow:
        def __del__(self):
            begin()
            time.sleep(60)
    Slow()
    time.sleep(60)

def caught_by_somebody():
    child = children.start(["sleep", "60"])
    print(child.pid, flush=True)
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass

def stays_in_c():
    begin()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)

def a_thread_that_fails():
    going = threading.Event()
    def fail():
        going.wait()
        raise ValueError("its pipe was closed")
    thread = threading.Thread(target=fail)
    thread.start()
    begin()
    try:
        time.sleep(60)
    finally:
        going.set()
        thread.join()

def a_thread_that_goes_on():
    threading.Thread(target=time.sleep, args=(60,)).start()
    begin()
    time.sleep(60)

interrupts = Interrupts()
interrupts.__enter__()
try:
    {case}()
    code = 0
except BaseException as error:
    code = failures.report(error, interrupts.caught)
interrupts.leave(code)
"""
_MESSAGE = "edgenas: interrupted: run the same command again to go on\n"


def _ended(case: str, number: int) -> tuple[int, str, str]:
    """Exit code, stderr and the first line of stdout of `case`, that got a signal after it."""
    script = _HEAD.format(case=case)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", script], text=True, **pipes) as process:  # type: ignore[call-overload]
        said = process.stdout.readline()
        process.send_signal(number)
        return process.wait(50), process.stderr.read(), said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
@pytest.mark.parametrize("case", ["swallowed_by_a_callback", "swallowed_by_a_destructor"])
def test_what_python_swallows_is_raised_again(case: str, number: signal.Signals) -> None:
    assert _ended(case, number)[:2] == (128 + number, _MESSAGE)


@pytest.mark.parametrize("case", ["stays_in_c", "a_thread_that_fails", "a_thread_that_goes_on"])
def test_nothing_holds_the_end_up(case: str) -> None:
    assert _ended(case, signal.SIGTERM)[:2] == (143, _MESSAGE)


def test_who_catches_everything_is_cut_off_and_its_children_killed() -> None:
    code, stderr, child = _ended("caught_by_somebody", signal.SIGINT)
    assert (code, stderr) == (130, _MESSAGE)
    _until_gone(int(child))


def test_who_does_not_read_what_is_printed_does_not_hold_the_end_up(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edgenas", "boards", "--json"]
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)  # less than is printed
    environment = {**os.environ, "EDGENAS_HOME": str(tmp_path)}
    with subprocess.Popen(command, env=environment, stdout=writer, stderr=subprocess.PIPE, text=True) as process:
        while struct.unpack("i", fcntl.ioctl(reader, termios.FIONREAD, bytes(4)))[0] < 4096:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert process.wait(50) == 143
        assert process.stderr is not None
        assert process.stderr.read() == _MESSAGE
    os.close(reader)
    os.close(writer)


def test_two_signals_are_one(tmp_path: Path) -> None:
    running = Program(tmp_path / "home", tmp_path).start("boards").until_it_listens()
    for _ in range(5):
        running.signal(signal.SIGINT)
    done = running.wait(60)
    assert (done.code, done.stdout, done.stderr) in [(130, "", _MESSAGE), (0, done.stdout, "")]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Images enough for an epoch of some seconds."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 255, (12000, 28, 28), np.uint8)
    path = tmp_path / "images.npz"
    np.savez(path, x_train=x, y_train=np.arange(12000) % 10, x_test=x[:200], y_test=np.arange(200) % 10)
    return path


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
def test_training_ends_with_a_program_that_alone_got_the_signal(
    tmp_path: Path, data: Path, number: signal.Signals
) -> None:
    program = Program(tmp_path / "home", tmp_path)
    command = ("train", "stem-8s2/plain-16x1", "--data", data, "--space", SMALL, "--epochs", "500", "--out", "n.pt")
    running = program.start(*command)
    _until_child(program, running, "edgenas.training.worker")
    os.kill(running.process.pid, number)
    assert running.wait(60).code == (-9 if number == signal.SIGKILL else 143)
    _until_empty(program)


@pytest.mark.parametrize("emulator", ["unicorn", "local"])
def test_measuring_ends_with_a_program_that_alone_got_the_signal(tmp_path: Path, emulator: str) -> None:
    pytest.importorskip("tflite", reason="needs the packages of edgenas[mcu]")
    if emulator == "unicorn":
        pytest.importorskip("unicorn", reason="needs pip install unicorn")
    from helpers.tflite_builder import Op, T, constant, model

    tensors, ops = [T((1, 32, 32, 16), 0.05)], []
    strides = {"StrideH": 1, "StrideW": 1, "Padding": 0, "DilationHFactor": 1, "DilationWFactor": 1}
    for _ in range(20):
        at = len(tensors)
        tensors += [constant(np.ones((16, 3, 3, 16)), [0.01] * 16), constant(np.zeros(16), [0.0005] * 16, "int32")]
        tensors.append(T((1, 32, 32, 16), 0.05))
        ops.append(Op("CONV_2D", [at - 1, at, at + 1], [at + 2], strides))
    (tmp_path / "large.tflite").write_bytes(model(tensors, ops, [0], [len(tensors) - 1]))
    program = Program(tmp_path / "home", tmp_path)
    board = "mps2-an386" if emulator == "unicorn" else "host"
    running = program.start("measure", "large.tflite", "--board", board, "--device", f"{emulator}:")
    _until_child(program, running, "unicorn_firmware" if emulator == "unicorn" else "--worker")
    os.kill(running.process.pid, signal.SIGHUP)
    done = running.wait(60)
    assert (done.code, done.stdout, done.message) == (129, "", _MESSAGE.removeprefix("edgenas: ").strip())
    _until_empty(program)


def _until_child(program: Program, running: Running, words: str) -> None:
    end = time.monotonic() + 240
    while not any(words in command for command in program.processes().values()):
        assert running.process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)


def _until_empty(program: Program) -> None:
    end = time.monotonic() + 60
    while left := program.processes():
        assert time.monotonic() < end, left
        time.sleep(0.02)


def _until_gone(pid: int) -> None:
    end = time.monotonic() + 60
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < end, pid
        time.sleep(0.02)
