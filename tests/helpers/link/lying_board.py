# SPDX-License-Identifier: Apache-2.0
"""Firmware that lies: the stand-in board, some of whose answers have other bytes than they should, by a seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np

from firmware_tools.device import TimingPlan
from firmware_tools.link.session import Link
from firmware_tools.mcu.device import McuDevice
from firmware_tools.mcu.manifests import Manifests
from helpers.link.standin_board import INPUT_BYTES, StandInBoard, StandInPipe

PLAN = random.Random(11).randbytes(1003)
METHODS: dict[str, Callable[[McuDevice], object]] = {
    "info": McuDevice.info,
    "status": McuDevice.status,
    "install": lambda device: device._install(PLAN),
    "time_staged": lambda device: device.time_staged(TimingPlan(2, timed_s=0.01)),
    "infer_staged": lambda device: device.infer_staged(np.zeros((2, INPUT_BYTES), np.int8)),
    "commit": McuDevice.commit,
    "discard": McuDevice.discard,
    "rollback": McuDevice.rollback,
}


class LyingBoard(StandInBoard):
    """Its cycles have a length, so that it can be timed; from the `honest`-th answer on it lies with each."""

    def lie(self, rng: random.Random, honest: int) -> LyingBoard:
        self.rng, self.left = rng, honest
        return self

    def _do(self, kind: int, payload: bytes) -> bytes:
        body = super()._do(kind, payload)
        if kind == 1:  # cycles, 16 MHz
            body = body[:8] + b"\0" + body[9:13] + (16_000_000).to_bytes(4, "little") + body[17:]
        self.left -= 1
        return body if self.left >= 0 else self._changed(body)

    def _changed(self, body: bytes) -> bytes:
        rng, changed = self.rng, bytearray(body)
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(changed))
            size = rng.choice([1, 2, 4, 8])
            changed[at : at + size] = rng.choice([b"\0" * size, b"\xff" * size, rng.randbytes(size)])
        return bytes(changed[: rng.choice([len(changed), len(changed), rng.randrange(len(changed) + 1)])])


def device(board: StandInBoard, folder: Path) -> McuDevice:
    """Raises what McuDevice does."""
    return McuDevice("serial://liar", Link(StandInPipe(board), "board"), Manifests(folder), lambda: None)
