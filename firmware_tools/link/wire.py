# SPDX-License-Identifier: Apache-2.0
"""What all messages of the wire (PROTOCOL.md) have in common: their kinds, and how an answer's bytes are read."""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from enum import IntEnum
from typing import ClassVar, Generic, TypeVar

from firmware_tools.errors import ProtocolError

VERSION = 1
ANSWER = 0x80
TEXT = 0x7F
FIRST_MAX_PAYLOAD = 128  # before HELLO says more
NO_SLOT = 0xFF
FLASH = "flash this version's runtime onto the board: edgenas flash --board BOARD"  # the next step

A = TypeVar("A")


class Kind(IntEnum):
    """What a request asks for; the answer's kind is this + 0x80."""

    HELLO = 0x01
    STATUS = 0x02
    BEGIN = 0x03
    WRITE = 0x04
    VERIFY = 0x05
    DISCARD = 0x06
    COMMIT = 0x07
    ROLLBACK = 0x08
    SELECT = 0x09
    INPUT = 0x0A
    RUN = 0x0B
    PROFILE = 0x0C
    OUTPUT = 0x0D
    MEMORY = 0x0E
    FAULT = 0x0F
    RESET = 0x10


def name_of(kind: int) -> str:
    """A request's name for a message to the user."""
    return Kind(kind).name if kind in Kind.__members__.values() else f"message 0x{kind:02X}"


class Request(ABC, Generic[A]):
    """What the host asks; `A` is what the answer means. `patience_s` is how long a healthy board may take."""

    kind: ClassVar[Kind]
    patience_s: ClassVar[float] = 5.0

    def pack(self) -> bytes:
        """The request's payload."""
        return b""

    @abstractmethod
    def parse(self, body: bytes) -> A:
        """The meaning of an OK answer's payload behind the status. Raises ProtocolError if it is too short."""


class Fields:
    """Reads an answer from its beginning; what newer firmware adds at the end stays unread."""

    def __init__(self, kind: int, body: bytes) -> None:
        self._kind, self._body, self._at = kind, body, 0

    def take(self, code: str) -> tuple[int, ...]:
        """The next numbers, by a struct format without byte order."""
        size = struct.calcsize("<" + code)
        return struct.unpack("<" + code, self.block(size))

    def number(self, code: str) -> int:
        """The next number."""
        return self.take(code)[0]

    def block(self, size: int) -> bytes:
        """The next bytes."""
        found = self._body[self._at : self._at + size]
        if len(found) < size:
            raise ProtocolError(
                f"the answer to {name_of(self._kind)} has {len(self._body)} bytes, at least {self._at + size} are"
                f" needed: {FLASH}",
                kind=self._kind,
                bytes=len(self._body),
            )
        self._at += size
        return found

    def within(self, what: str, value: int, low: int, high: int) -> int:
        """`value` if it is from `low` to `high`. Raises ProtocolError if not: no firmware says so."""
        if not low <= value <= high:
            raise ProtocolError(
                f"the answer to {name_of(self._kind)} cannot be: {what} is {value}, not {low} to {high}: {FLASH}",
                kind=self._kind,
                value=value,
            )
        return value

    def text(self) -> str:
        """A length byte and UTF-8."""
        return self.block(self.number("B")).decode("utf-8", "replace")


def word_of(words: tuple[str, ...], number: int) -> str:
    """The number's word; newer firmware may know more."""
    return words[number] if number < len(words) else f"unknown ({number})"
