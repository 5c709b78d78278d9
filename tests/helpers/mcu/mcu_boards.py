# SPDX-License-Identifier: Apache-2.0
"""Boards for tests: the firmware built for this computer, in QEMU and in Unicorn; and small models for them."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from firmware_tools.connect import connect
from firmware_tools.errors import DeviceLostError
from firmware_tools.link import messages
from firmware_tools.link.pipes import ProcessPipe
from firmware_tools.link.session import Link
from firmware_tools.mcu.device import McuDevice
from firmware_tools.mcu.images import FIRMWARE
from firmware_tools.mcu.manifests import Manifests
from firmware_tools.plan import compile_plan
from firmware_tools.plan.simulate import simulate
from helpers.tflite_builder import Op, T, constant, model

MANIFEST = {"task": "digits", "classes": ["a", "b", "c", "d"]}
BOARDS = ("host", "qemu", "unicorn")
Opener = Callable[[Path], McuDevice]


def missing(name: str) -> str | None:
    """Why a board cannot be had on this computer."""
    if shutil.which("cc") is None:
        return "no cc: apt-get install gcc libc6-dev"
    if name == "host":
        return None
    if name == "qemu":
        found = shutil.which("qemu-system-arm") is not None
        return None if found else "no qemu-system-arm: apt-get install qemu-system-arm"
    return None if importlib.util.find_spec("unicorn") else "no unicorn: pip install unicorn"


def opener(name: str, build: Path) -> Opener:
    """Opens the board whose flash lies in a folder; `build` keeps what is compiled for this computer."""
    if name != "host":
        return lambda root: emulated(name, root)
    if reason := missing(name):
        pytest.skip(reason)
    command = ["make", "--silent", "-C", str(FIRMWARE), f"BUILD={build}", "host-board"]
    subprocess.run(command, check=True)
    return lambda root: host_board(build / "host-board", root)


def emulated(name: str, root: Path, machine: str = "mps2-an386") -> McuDevice:
    device = connect(f"{name}:{machine}?root={root}", home=root / "home")
    assert isinstance(device, McuDevice)
    return device


def host_board(program: Path, root: Path, *options: str) -> McuDevice:
    root.mkdir(exist_ok=True)
    pipe = ProcessPipe([str(program), str(root / "flash.bin"), *options], "host board")
    return McuDevice("host:", Link(pipe, "host board"), Manifests(root / "plans"), pipe.close)


class CutAt:
    """A pipe that cuts the board's power right after the host's n-th write, wherever that finds it."""

    def __init__(self, device: McuDevice, writes: int) -> None:
        assert isinstance(device._link._pipe, ProcessPipe)
        self.pipe, self.left = device._link._pipe, writes
        device._link._pipe = self

    @property
    def baud(self) -> int | None:
        return self.pipe.baud

    def write(self, data: bytes) -> None:
        self.pipe.write(data)
        self.left -= 1
        if self.left == 0:
            os.killpg(self.pipe.pid, signal.SIGKILL)

    def read(self, timeout_s: float) -> bytes:
        return self.pipe.read(timeout_s)

    def close(self) -> None:
        self.pipe.close()


def cut_every_write(opened: Opener, root: Path, models: tuple[bytes, bytes], step: int) -> int:
    """Cut the power at every `step`-th of the host's writes of an install; how many cuts that was.

    The old model or the new one answers afterwards, and the next install goes through.
    """
    active, cuts = models[0], 0
    with opened(root) as device:
        install(device, active)
    for writes in range(1, 10_000, step):
        new = models[models.index(active) - 1]
        with opened(root) as device:
            CutAt(device, writes)
            try:
                install(device, new)
                return cuts
            except DeviceLostError:
                cuts += 1
        with opened(root) as device:
            answers(device, active, new)  # one of both
            install(device, new)
            assert answers(device, active, new) == new, f"after a cut at write {writes}"
            active = new
    raise AssertionError("an install of 10,000 writes")


def heard(pipe: ProcessPipe, number: int) -> bytes:
    """The next `number` bytes, or fewer where no more come for a minute."""
    data = b""
    while len(data) < number:
        more = pipe.read(60)
        if not more:
            break
        data += more
    return data


def install(device: McuDevice, tflite: bytes) -> None:
    device.stage(tflite, MANIFEST)
    device.commit()


def expected(tflite: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
    return simulate(compile_plan(tflite).blob, images()).reshape(-1, 4)


def answers(device: McuDevice, *models: bytes) -> bytes:
    """Which of `models` the active one is, by its outputs."""
    device._link.ask(messages.Select(staged=False))
    outputs = [np.frombuffer(device._infer(image.tobytes(), 4), np.int8) for image in images()]
    found = [tflite for tflite in models if np.array_equal(outputs, expected(tflite))]
    assert len(found) == 1
    return found[0]


def net(seed: int, channels: int = 6) -> bytes:
    """A small .tflite network: a 3x3 convolution, a depthwise one, a dense layer; [1, 7, 5, 2] to [1, 4]."""
    rng = np.random.default_rng(seed)
    strides = {"StrideH": 1, "StrideW": 1, "Padding": 0, "DilationHFactor": 1, "DilationWFactor": 1}
    tensors = [
        T((1, 7, 5, 2), 0.1),
        constant(rng.integers(-127, 128, (channels, 3, 3, 2)), [0.02] * channels),
        constant(rng.integers(-200, 200, channels), [0.002] * channels, "int32"),
        T((1, 7, 5, channels), 0.15, -10),
        constant(rng.integers(-127, 128, (1, 3, 3, channels)), [0.02] * channels, axis=3),
        constant(rng.integers(-200, 200, channels), [0.003] * channels, "int32"),
        T((1, 7, 5, channels), 0.2, 5),
        T((1, 35 * channels), 0.2, 5),
        constant(rng.integers(-127, 128, (4, 35 * channels)), 0.02),
        constant(rng.integers(-200, 200, 4), 0.004, "int32"),
        T((1, 4), 1.5, 3),
    ]
    shape = constant([1, 35 * channels], None, "int32")
    ops = [
        Op("CONV_2D", [0, 1, 2], [3], strides),
        Op("DEPTHWISE_CONV_2D", [3, 4, 5], [6], {**strides, "DepthMultiplier": 1}),
        Op("RESHAPE", [6, 11], [7]),
        Op("FULLY_CONNECTED", [7, 8, 9], [10]),
    ]
    return model([*tensors, shape], ops, [0], [10])


def images(n: int = 3) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
    """Inputs of `net`."""
    return np.random.default_rng(7).integers(-128, 128, (n, 1, 7, 5, 2), dtype=np.int8)
