# SPDX-License-Identifier: Apache-2.0
"""A cable that loses, doubles, swaps and corrupts bytes, by a seed, and that is pulled at a chosen message."""

from __future__ import annotations

import random
from dataclasses import dataclass

from firmware_tools.errors import DeviceLostError
from firmware_tools.link.pipes import Pipe


@dataclass(frozen=True)
class Faults:
    """Each the probability for one byte."""

    lost: float = 0
    doubled: float = 0
    swapped: float = 0
    corrupted: float = 0


class FaultyPipe:
    """Wraps a pipe. `pull_at` is the number of the write (from 0) that comes through by `share` and then no more."""

    def __init__(
        self, pipe: Pipe, faults: Faults | None = None, seed: int = 0, pull_at: int | None = None, share: float = 0.5
    ) -> None:
        self._pipe, self._faults = pipe, faults or Faults()
        self._random = random.Random(seed)
        self._pull_at, self._share = pull_at, share
        self.writes = self.hurt = 0

    @property
    def baud(self) -> int | None:
        return self._pipe.baud

    def read(self, timeout_s: float) -> bytes:
        self._check()
        return self._spoil(self._pipe.read(timeout_s))

    def write(self, data: bytes) -> None:
        self._check()
        if self.writes == self._pull_at:
            self._pipe.write(data[: int(self._share * len(data))])
            self._pull_at = -1
            self._check()
        self.writes += 1
        self._pipe.write(self._spoil(data))

    def close(self) -> None:
        """Only the cable: the board lives on."""

    def _check(self) -> None:
        if self._pull_at == -1:
            raise DeviceLostError("test: the cable is gone")

    def _spoil(self, data: bytes) -> bytes:
        out = bytearray()
        for byte in data:
            chance, faults = self._random.random(), self._faults
            before = len(out)
            if chance < faults.lost:
                pass
            elif (chance := chance - faults.lost) < faults.doubled:
                out += bytes((byte, byte))
            elif (chance := chance - faults.doubled) < faults.swapped and out:
                out.insert(len(out) - 1, byte)
            elif 0 <= chance - faults.swapped < faults.corrupted:
                out.append(byte ^ self._random.randrange(1, 256))
            else:
                out.append(byte)
                continue
            self.hurt += 1 if before <= len(out) else 0
        return bytes(out)


class FaultyFrames(FaultyPipe):
    """Loses, doubles and swaps whole frames: each fault the probability for one frame. Corrupts none."""

    def __init__(self, pipe: Pipe, faults: Faults, seed: int = 0) -> None:
        super().__init__(pipe, faults, seed)
        self._kept = b""

    def _spoil(self, data: bytes) -> bytes:
        out: list[bytes] = []
        for block in filter(None, data.split(b"\0")):
            frame, chance, faults = block + b"\0", self._random.random(), self._faults
            if chance < faults.lost:
                pass
            elif (chance := chance - faults.lost) < faults.doubled:
                out += [frame, frame]
            elif chance - faults.doubled < faults.swapped:  # behind the next one, whenever that comes
                frame, self._kept = self._kept, frame
                out.append(frame)
            else:
                out += [frame, self._kept]
                self._kept = b""
                continue
            self.hurt += 1
        return b"".join(out)
