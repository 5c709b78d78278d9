# SPDX-License-Identifier: Apache-2.0
"""A host that is killed at any step of an installation over a serial port."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tty
from pathlib import Path

import pytest
from helpers.mcu.mcu_boards import answers, install, missing, net, opener

from firmware_tools.connect import connect
from firmware_tools.mcu.device import McuDevice

# Hosts that install a model by a serial port: the first is killed at its first write to it, the next at its second ...
KILLED = """
import os, signal, sys
from pathlib import Path
from firmware_tools.connect import connect
from firmware_tools.link.pipes import SerialPipe

def install(url, home, model, last):
    write, done = SerialPipe.write, 0
    def counted(self, data):
        nonlocal done
        done += 1
        if done == last:
            write(self, data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        write(self, data)
    SerialPipe.write = counted
    with connect(url, home=home) as device:
        device.stage(model, {})
        device.commit()

url, home, *models = sys.argv[1:]
for last in range(1, 1000):
    host = os.fork()
    if host == 0:
        install(url, Path(home), Path(models[last % 2]).read_bytes(), last)
        os._exit(0)
    print(last, os.waitpid(host, 0)[1], flush=True)
    sys.stdin.readline()
"""


def test_a_host_killed_at_every_write(tmp_path: Path) -> None:
    """The board lives on: what it did until then is whole, and the next host installs."""
    reason = missing("host")
    if reason:
        pytest.skip(reason)
    build = tmp_path / "build"
    opener("host", build)
    board_end, port = os.openpty()
    tty.setraw(port)
    url, models = f"serial://{os.ttyname(port)}?baud=921600", (net(1, 40), net(2, 40))
    for number, model in enumerate(models):
        (tmp_path / str(number)).write_bytes(model)
    program = [sys.executable, "-c", KILLED, url, str(tmp_path), str(tmp_path / "0"), str(tmp_path / "1")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    board_command = [str(build / "host-board"), str(tmp_path / "flash.bin")]
    with (
        subprocess.Popen(board_command, stdin=board_end, stdout=board_end) as board,
        subprocess.Popen(program, **pipes) as hosts,  # type: ignore[call-overload]
    ):
        try:
            with connect(url, home=tmp_path) as device:
                assert isinstance(device, McuDevice)
                install(device, models[0])
            killed = 0
            for line in hosts.stdout:
                last, status = map(int, line.split())
                if status == 0:
                    break
                assert status == signal.SIGKILL
                killed += 1
                with connect(url, home=tmp_path) as device:
                    assert isinstance(device, McuDevice)
                    answers(device, *models)  # one of both, and rightly
                    install(device, models[last % 2])
                    assert answers(device, *models) == models[last % 2]
                hosts.stdin.write("\n")
                hosts.stdin.flush()
            assert killed > 10
        finally:
            hosts.kill()
            board.kill()
            os.close(board_end)
            os.close(port)
