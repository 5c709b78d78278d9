# SPDX-License-Identifier: Apache-2.0
"""A board in Python that speaks PROTOCOL.md's bytes, for what the real core cannot be made to do. No emulation: its
"model" answers every input with the same bytes, a run takes 100 ticks and each of its 3 operators 33."""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass, field

from helpers.link import frame_vectors

OK, UNKNOWN, MALFORMED, TOO_LARGE, WRONG_OFFSET, NOT_READY, BAD_HASH = range(7)
ARENA_BYTES, SLOT_BYTES = 32768, 1 << 18
INPUT_BYTES, OUTPUT_BYTES = 2500, 3000


def unstuffed(block: bytes) -> bytes:
    out = b""
    while block:
        code, block = block[0], block[1:]
        out += block[: code - 1] + (b"\0" if code < 255 and len(block) > code - 1 else b"")
        block = block[code - 1 :]
    return out


@dataclass
class StandInBoard:
    """`feed` takes what the line brings and returns what the board says; its attributes may be spoilt by a test."""

    versions: tuple[int, int] = (1, 1)
    max_payload: int = 1028
    window: int = 4
    forget_at: int | None = None  # a brown-out once the transfer came so far
    refusals: dict[int, bytes] = field(default_factory=dict)  # kind -> answer
    silent_kinds: set[int] = field(default_factory=set)
    done: list[int] = field(default_factory=list)  # kinds, in order, repeats left out
    slot: bytearray = field(default_factory=bytearray)
    announced: tuple[int, bytes] = (0, b"")
    ready: bool = False
    staged: bytes = b""
    active: bytes = b""
    _input: bytearray = field(default_factory=lambda: bytearray(INPUT_BYTES))
    _partial: bytes = b""
    _last: tuple[int, int, bytes] = (0, 0, b"")

    def feed(self, data: bytes) -> bytes:
        *blocks, self._partial = (self._partial + data).split(b"\0")
        return b"".join(self._answer(unstuffed(block)) for block in blocks)

    def reset(self) -> None:
        self.ready, self._partial, self._last = False, b"", (0, 0, b"")

    def _answer(self, data: bytes) -> bytes:
        if len(data) < 6 or zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
            return b""
        kind, sequence, payload = data[0], data[1], data[2:-4]
        if kind in self.silent_kinds or len(payload) > self.max_payload:
            return b""
        if self._last[:2] != (kind, sequence):
            self.done.append(kind)
            body = self.refusals.get(kind) or self._do(kind, payload)
            self._last = kind, sequence, frame_vectors.frame(kind | 0x80, sequence, body)
        return self._last[2]

    def _do(self, kind: int, payload: bytes) -> bytes:
        name = f"_on_{kind:02x}"
        try:
            return bytes(getattr(self, name)(payload)) if hasattr(self, name) else bytes([UNKNOWN])
        except (struct.error, IndexError):
            return bytes([MALFORMED])

    def _on_01(self, payload: bytes) -> bytes:
        struct.unpack_from("<BB", payload)
        numbers = (*self.versions, 1, 1, 1, 1, self.max_payload, self.window, 2, 0, ARENA_BYTES, SLOT_BYTES)
        return (
            b"\0"
            + struct.pack("<BBHHBBHBBIII", *numbers)
            + bytes(range(16))
            + b"\x08stand-in\x030.1\0\x10\0\0newer fields"
        )

    def _on_02(self, payload: bytes) -> bytes:
        slots = [(2 if self.active else 0, self.active), (2 if self.staged else 0, self.staged)]
        places = (0 if self.active else 255, 255, 1 if self.staged else 255, 4)
        head = b"\0" + struct.pack("<BBBBIIII", *places, 1, 2, 3, 4)
        return head + b"".join(struct.pack("<BI32s", s, len(d), hashlib.sha256(d).digest()) for s, d in slots)

    def _on_03(self, payload: bytes) -> bytes:
        size, digest = struct.unpack_from("<I32s", payload)
        if size > SLOT_BYTES:
            return struct.pack("<BI", TOO_LARGE, SLOT_BYTES)
        if self.announced != (size, digest):
            self.announced, self.slot = (size, digest), bytearray()
        self.ready = True
        return struct.pack("<BI", OK, len(self.slot))

    def _on_04(self, payload: bytes) -> bytes:
        (offset,) = struct.unpack_from("<I", payload)
        if not self.ready:
            return bytes([NOT_READY])
        if offset != len(self.slot):
            return struct.pack("<BI", WRONG_OFFSET, len(self.slot))
        self.slot += payload[4:]
        if self.forget_at is not None and len(self.slot) >= self.forget_at:
            self.forget_at = None
            self.reset()
        return struct.pack("<BI", OK, len(self.slot))

    def _on_05(self, payload: bytes) -> bytes:
        size, digest = self.announced
        if not self.ready or len(self.slot) != size:
            return bytes([NOT_READY])
        if hashlib.sha256(self.slot).digest() != digest:
            return bytes([BAD_HASH])
        self.staged = bytes(self.slot)
        return b"\0"

    def _on_07(self, payload: bytes) -> bytes:
        if not self.staged or hashlib.sha256(self.staged).digest() != payload[:32]:
            return bytes([NOT_READY])
        self.active, self.staged = self.staged, b""
        return b"\0"

    def _on_08(self, payload: bytes) -> bytes:
        return bytes([NOT_READY])

    def _on_09(self, payload: bytes) -> bytes:
        return struct.pack("<BIIII", OK, INPUT_BYTES, OUTPUT_BYTES, 4096, 3)

    def _on_0a(self, payload: bytes) -> bytes:
        (offset,) = struct.unpack_from("<I", payload)
        if offset + len(payload) - 4 > INPUT_BYTES:
            return struct.pack("<BI", TOO_LARGE, INPUT_BYTES)
        self._input[offset : offset + len(payload) - 4] = payload[4:]
        return b"\0"

    def _on_0b(self, payload: bytes) -> bytes:
        struct.unpack_from("<H", payload)
        return struct.pack("<BQQQ", OK, 99, 100, 101)

    def _on_0c(self, payload: bytes) -> bytes:
        (first,) = struct.unpack_from("<I", payload)
        return struct.pack(f"<BH{2 - first % 2}I", OK, 2 - first % 2, *[33] * (2 - first % 2))

    def _on_0d(self, payload: bytes) -> bytes:
        offset, length = struct.unpack_from("<IH", payload)
        return b"\0" + (bytes(self._input) * 2)[offset : offset + length]

    def _on_0e(self, payload: bytes) -> bytes:
        return struct.pack("<BIIII", OK, 4096, ARENA_BYTES, 512, 2048)

    def _on_0f(self, payload: bytes) -> bytes:
        return struct.pack("<BBBIIIII", OK, 1, 1, 2, 0x8001234, 0x8000FFF, 0x8200, 0x20000000)

    def _on_10(self, payload: bytes) -> bytes:
        return b"\0"


class StandInPipe:
    """The stand-in at the other end of a pipe without a line between."""

    def __init__(self, board: StandInBoard, baud: int | None = None) -> None:
        self._board, self._said, self.baud = board, b"", baud

    def read(self, timeout_s: float) -> bytes:
        said, self._said = self._said, b""
        return said

    def write(self, data: bytes) -> None:
        self._said += self._board.feed(data)

    def close(self) -> None:
        pass
