# SPDX-License-Identifier: Apache-2.0
"""Frames of the wire (PROTOCOL.md): COBS with CRC-32, ended by a 0, and a receiver that survives any bytes.

COBS: S. Cheshire, M. Baker, "Consistent Overhead Byte Stuffing", IEEE/ACM Transactions on Networking, 1999.
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from dataclasses import dataclass
from typing import Literal

END = b"\0"
PAYLOAD_LIMIT = 0xFFFF  # max_payload is a u16
_FULL = 254
_FIXED = 6  # kind, sequence, CRC-32

Reason = Literal["empty", "too long", "not COBS", "short", "CRC"]


@dataclass(frozen=True)
class Frame:
    """What stands between two zeros, decoded and found right."""

    kind: int
    sequence: int
    payload: bytes


def encode(kind: int, sequence: int, payload: bytes = b"") -> bytes:
    """The frame's bytes, its ending 0 included. ValueError unless kind and sequence fit a byte."""
    if not (0 <= kind <= 255 and 0 <= sequence <= 255):
        raise ValueError(f"kind {kind} and sequence {sequence} must lie within 0 and 255")
    data = bytes((kind, sequence)) + payload
    return _stuff(data + struct.pack("<I", zlib.crc32(data))) + END


def line_bytes(payload_bytes: int) -> int:
    """How long a frame with such a payload is on the line, at most."""
    data = payload_bytes + _FIXED
    return data + data // _FULL + 1 + len(END)


class Receiver:
    """Bytes in, frames out. Holds no more than one frame with `max_payload` bytes, whatever is fed.

    `dropped` counts what was no frame, by reason; a 0 behind a 0 is "empty".
    """

    def __init__(self, max_payload: int = PAYLOAD_LIMIT) -> None:
        self.dropped: Counter[Reason] = Counter()
        self._limit = line_bytes(max_payload) - len(END)
        self._max_payload = max_payload
        self._partial = bytearray()
        self._too_long = False

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that end within `data`, whose beginnings may have been fed before."""
        *ended, rest = data.split(END)
        frames = []
        for block in ended:
            self._keep(block)
            found = self._end()
            if isinstance(found, Frame):
                frames.append(found)
            elif found != "empty":  # a 0 behind a 0 only makes sure that the line is in step
                self.dropped[found] += 1
        self._keep(rest)
        return frames

    def _keep(self, block: bytes) -> None:
        self._too_long = self._too_long or len(self._partial) + len(block) > self._limit
        if self._too_long:
            self._partial.clear()
        else:
            self._partial += block

    def _end(self) -> Frame | Reason:
        block, too_long = bytes(self._partial), self._too_long
        self._partial.clear()
        self._too_long = False
        if too_long:
            return "too long"
        return decode(block, self._max_payload)


def decode(block: bytes, max_payload: int = PAYLOAD_LIMIT) -> Frame | Reason:
    """The frame that `block`, the bytes between two zeros, stands for, or why it is none."""
    if not block:
        return "empty"
    data = _unstuff(block)
    if data is None:
        return "not COBS"
    if len(data) < _FIXED:
        return "short"
    if len(data) > max_payload + _FIXED:
        return "too long"
    if zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
        return "CRC"
    return Frame(data[0], data[1], data[2:-4])


def _stuff(data: bytes) -> bytes:
    out, groups = bytearray(), data.split(END)
    for group in groups:
        while len(group) >= _FULL:
            out.append(_FULL + 1)
            out += group[:_FULL]
            group = group[_FULL:]
        out.append(len(group) + 1)
        out += group
    # A full block that ends the data needs no empty one behind it: it stands for no zero.
    if groups[-1] and len(groups[-1]) % _FULL == 0:
        out.pop()
    return bytes(out)


def _unstuff(block: bytes) -> bytes | None:
    out, at = bytearray(), 0
    while at < len(block):
        code = block[at]
        end = at + code
        if end > len(block):
            return None
        out += block[at + 1 : end]
        if code <= _FULL and end < len(block):
            out.append(0)
        at = end
    return bytes(out)
