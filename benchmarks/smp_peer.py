# SPDX-License-Identifier: Apache-2.0
"""PyPI smpclient uploading an image to an SMP device (MCUmgr's console framing), the peer of benchmarks/serial_link.py.

The device is a stand-in that answers at once. Its protocol: Zephyr's documentation, "SMP protocol specification", "SMP
over console" and "Application/software image management group".
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import struct
import time
from dataclasses import dataclass
from typing import Any

_HEADER = struct.Struct("!BBHHBB")  # operation, flags, length, group, sequence, command
_OS_GROUP, _PARAMETERS = 0, 6
_IMAGE_GROUP, _UPLOAD = 1, 1
_START, _CONTINUE = b"\x06\x09", b"\x04\x14"
_LINE_CHARACTERS = 124
_NO_SUCH_COMMAND, _BAD_VALUE = 8, 3


class SmpDevice:
    """Takes one image of any size; messages of up to `buffer_bytes`."""

    def __init__(self, buffer_bytes: int) -> None:
        self._buffer_bytes = buffer_bytes
        self._line = self._packet = b""
        self.image = b""
        self._size = 0

    def feed(self, data: bytes) -> bytes:
        """What the device says to that."""
        *lines, self._line = (self._line + data).split(b"\n")
        return b"".join(self._take(line) for line in lines)

    def _take(self, line: bytes) -> bytes:
        if line[:2] == _START:
            self._packet = b""
        elif line[:2] != _CONTINUE:
            return b""
        try:
            self._packet += base64.b64decode(line[2:], validate=True)
        except binascii.Error:
            return b""
        if len(self._packet) < 2 or len(self._packet) - 2 < int.from_bytes(self._packet[:2], "big"):
            return b""
        packet, self._packet = self._packet[2:], b""
        if binascii.crc_hqx(packet, 0):
            return b""
        return self._answer(packet[:-2])

    def _answer(self, message: bytes) -> bytes:
        import cbor2

        operation, _, _, group, sequence, command = _HEADER.unpack_from(message)
        body = cbor2.dumps(self._do(group, command, cbor2.loads(message[_HEADER.size :])))
        header = _HEADER.pack(operation | 1, 0, len(body), group, sequence, command)
        return _framed(header + body)

    def _do(self, group: int, command: int, asked: dict[str, Any]) -> dict[str, Any]:
        if (group, command) == (_OS_GROUP, _PARAMETERS):
            return {"buf_size": self._buffer_bytes, "buf_count": 4}
        if (group, command) != (_IMAGE_GROUP, _UPLOAD):
            return {"rc": _NO_SUCH_COMMAND}
        if asked["off"] == 0:
            self._size, self.image = asked["len"], b""
        if asked["off"] == len(self.image) and len(self.image) + len(asked["data"]) <= self._size:
            self.image += asked["data"]
        return {"rc": 0, "off": len(self.image)}


def _framed(message: bytes) -> bytes:
    checked = message + struct.pack("!H", binascii.crc_hqx(message, 0))
    text = base64.b64encode(struct.pack("!H", len(checked)) + checked)
    pieces = [text[at : at + _LINE_CHARACTERS] for at in range(0, len(text), _LINE_CHARACTERS)]
    return b"".join((_CONTINUE if at else _START) + piece + b"\n" for at, piece in enumerate(pieces))


@dataclass(frozen=True)
class Upload:
    """Seconds that it took, or why it ended before its end, after how many bytes."""

    seconds: float
    done_bytes: int
    error: str | None


def version() -> str | None:
    """smpclient's, None if it is not installed (pip install smpclient)."""
    from importlib import metadata

    try:
        return metadata.version("smpclient")
    except metadata.PackageNotFoundError:
        return None


def upload(path: str, baud: int, image: bytes, timeout_s: float) -> Upload:
    """Upload by smpclient as its documentation does it: the transport sizes itself by the device's parameters."""
    logging.getLogger("smpclient").setLevel(logging.CRITICAL)  # it logs the whole request that was not answered
    return asyncio.run(_upload(path, baud, image, timeout_s))


async def _upload(path: str, baud: int, image: bytes, timeout_s: float) -> Upload:
    from smpclient import SMPClient
    from smpclient.transport.serial import SMPSerialTransport

    done = 0
    async with SMPClient(SMPSerialTransport(baudrate=baud), path) as client:
        started = time.perf_counter()
        try:
            async with asyncio.timeout(timeout_s):
                async for offset in client.upload(image):
                    done = offset
        except Exception as error:  # noqa: BLE001 - whatever ends an upload is this row's result
            return Upload(time.perf_counter() - started, done, type(error).__name__)
        return Upload(time.perf_counter() - started, done, None)
