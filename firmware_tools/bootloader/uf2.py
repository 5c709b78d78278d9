# SPDX-License-Identifier: Apache-2.0
"""UF2: the bootloader shows a drive, and what is copied there it flashes. Needs no program.

The format is Microsoft's (github.com/microsoft/uf2): blocks of 512 bytes, each with its own address, so that a drive
may get them in any order.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from firmware_tools.bootloader.way import FileWrite, Image, Plan, hint, number, word
from firmware_tools.errors import FlashError

BLOCK_BYTES = 512
PAYLOAD_BYTES = 256
_BLOCK = struct.Struct("<8I476sI")
assert _BLOCK.size == BLOCK_BYTES
_FIRST, _SECOND, _LAST = 0x0A324655, 0x9E5D5157, 0x0AB16F30
_FAMILY_PRESENT = 0x2000
_MOUNTS = Path("/proc/mounts")


@dataclass(frozen=True)
class Uf2:
    """Facts: `family`, the chip's number in UF2; `drive`, the label of the bootloader's drive; `hint`."""

    name: str = "uf2"
    place: Literal["drive"] = "drive"
    install: None = None

    def program(self) -> tuple[str, ...]:
        """Needs none."""
        return ()

    def plan(self, image: Image, facts: Mapping[str, Any], at: str | None) -> Plan:
        """Write the image as one UF2 file onto the drive."""
        label = word(facts, self.name, "drive")
        address, family = number(facts, self.name, "address"), number(facts, self.name, "family")
        folder = Path(at) if at is not None else mounted(label)
        write = FileWrite(label, folder, "edgenas.uf2", encode(image.data, address, family))
        return Plan((write,), hint(facts, self.name))


def mounted(label: str) -> Path | None:
    """Where a drive of this label is mounted: desktops use the label as the folder's name."""
    with suppress(OSError):
        for line in _MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines():
            path = Path(line.split()[1])
            if path.name == label:
                return path
    return None


def encode(data: bytes, address: int, family: int) -> bytes:
    """`data` as a UF2 file for `address`; the last payload is filled up with zeros, as bootloaders want whole ones."""
    count = -(-len(data) // PAYLOAD_BYTES)
    return b"".join(
        _BLOCK.pack(
            *(_FIRST, _SECOND, _FAMILY_PRESENT, address + offset, PAYLOAD_BYTES),
            *(offset // PAYLOAD_BYTES, count, family),
            data[offset : offset + PAYLOAD_BYTES],
            _LAST,
        )
        for offset in range(0, len(data), PAYLOAD_BYTES)
    )


def decode(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Address, family and payload of each block. Raises FlashError for bytes that are no UF2 file with a family."""
    total = len(data) // BLOCK_BYTES
    if not data or len(data) % BLOCK_BYTES:
        raise FlashError(f"a UF2 file has blocks of {BLOCK_BYTES} bytes, this one has {len(data)} bytes")
    for index, block in enumerate(_BLOCK.iter_unpack(data)):
        first, second, flags, address, size, number, count, family, payload, last = block
        magic = (first, second, last) == (_FIRST, _SECOND, _LAST)
        if not magic or not flags & _FAMILY_PRESENT or (number, count) != (index, total) or size > len(payload):
            raise FlashError(f"block {index} of {total} is no UF2 block: convert the image again", block=index)
        yield address, family, payload[:size]
