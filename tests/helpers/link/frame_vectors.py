# SPDX-License-Identifier: Apache-2.0
"""Writes tests/vectors/serial_frames.json: `python tests/helpers/link/frame_vectors.py`. No code is the link's."""

from __future__ import annotations

import binascii
import json
from pathlib import Path

PATH = Path(__file__).resolve().parents[2] / "vectors" / "serial_frames.json"
MAX_PAYLOAD = 1024


def cobs(data: bytes) -> bytes:
    """The paper's algorithm, a byte at a time; the shortest form: no empty block behind a full one at the end."""
    out, block = b"", b""
    for at, byte in enumerate(data):
        if byte:
            block += bytes([byte])
        if not byte or len(block) == 254:
            out += bytes([len(block) + 1]) + block
            block = b""
            if byte and at == len(data) - 1:
                return out
    return out + bytes([len(block) + 1]) + block


def signed(data: bytes) -> bytes:
    return data + binascii.crc32(data).to_bytes(4, "little")


def frame(kind: int, sequence: int, payload: bytes) -> bytes:
    return cobs(signed(bytes([kind, sequence]) + payload)) + b"\0"


def ending_in_full_block() -> bytes:
    """A payload whose frame is exactly one full block of 254 bytes that are not 0."""
    for number in range(1, 256):
        payload = bytes([number]) + b"\x55" * (254 - 7)
        if 0 not in signed(b"\x01\x01" + payload):
            return payload
    raise AssertionError


def ending_in_one() -> bytes:
    """A payload of several blocks whose CRC ends in a 1, which no encoder may take for an empty block's code."""
    return next(
        p for p in (b"\x55" * 300 + bytes([number]) for number in range(256)) if signed(b"\x04\x0b" + p)[-1] == 1
    )


def good() -> list[tuple[str, int, int, bytes]]:
    ramp = bytes(range(256))
    return [
        ("no payload", 0x02, 1, b""),
        ("hello", 0x01, 0, bytes([1, 1])),
        ("kind and sequence 0", 0, 0, b""),
        ("kind and sequence 255", 255, 255, b"\xff"),
        ("one zero", 0x0A, 2, b"\0"),
        ("zeros", 0x0A, 3, bytes(40)),
        ("zeros around", 0x04, 4, b"\0\0EDGE\0\0NAS\0"),
        ("text", 0x7F, 0, b"edgenas"),
        ("252 before the first zero", 0x04, 5, b"\x11" * 251 + b"\0" + b"\x22" * 9),
        ("253 before the first zero", 0x04, 6, b"\x11" * 252 + b"\0" + b"\x22" * 9),
        ("254 before the first zero", 0x04, 7, b"\x11" * 253 + b"\0" + b"\x22" * 9),
        ("a full block and the end", 0x01, 1, ending_in_full_block()),
        ("two blocks and a CRC that ends in 1", 0x04, 11, ending_in_one()),
        ("two full blocks and more", 0x04, 8, b"\xa5" * 600),
        ("every byte", 0x04, 9, ramp),
        ("128 bytes", 0x04, 10, ramp[128:]),
        ("as long as allowed", 0x04, 11, ramp * 4),
        ("answer", 0x84, 11, b"\0" + (1020).to_bytes(4, "little")),
    ]


def bad() -> list[tuple[str, str, bytes]]:
    whole = frame(0x04, 9, b"\x10\0\0\0payload")
    data = signed(b"\x04\x09payload")
    return [
        ("nothing", "empty", b"\0"),
        ("five bytes", "short", cobs(b"\x01\x02\x03\x04\x05") + b"\0"),
        ("CRC of nothing", "short", cobs(signed(b"")) + b"\0"),
        ("one byte and its CRC", "short", cobs(signed(b"\x02")) + b"\0"),
        ("a bit of the CRC", "CRC", cobs(data[:-1] + bytes([data[-1] ^ 0x80])) + b"\0"),
        ("big-endian CRC", "CRC", cobs(data[:-4] + data[-4:][::-1]) + b"\0"),
        ("CRC without the kind", "CRC", cobs(b"\x04" + signed(b"\x09payload")) + b"\0"),
        ("a bit of the payload", "CRC", cobs(b"\x04\x09Payload" + data[-4:]) + b"\0"),
        ("the first byte lost", "CRC", whole[1:]),
        ("a byte lost", "not COBS", whole[:-3] + whole[-2:]),
        ("the last bytes lost", "not COBS", whole[:-4] + b"\0"),
        ("a block longer than what is left", "not COBS", b"\x09abc\0"),
        ("a full block longer than what is left", "not COBS", b"\xff" + b"\x31" * 253 + b"\0"),
        ("another program's text", "not COBS", b"login: \0"),
        ("one byte longer than allowed", "too long", frame(0x04, 1, b"\x31" * (MAX_PAYLOAD + 1))),
        ("far longer than allowed", "too long", frame(0x04, 1, b"\x31" * (3 * MAX_PAYLOAD))),
        ("longer than allowed and no COBS", "too long", b"\xff" * 4 * MAX_PAYLOAD + b"\0"),
    ]


def also_good() -> list[tuple[str, int, int, bytes, bytes]]:
    payload = ending_in_full_block()
    longer = frame(0x01, 1, payload)[:-1] + b"\x01\0"
    return [("a full block and an empty one, as some encoders end", 0x01, 1, payload, longer)]


def vectors() -> dict[str, object]:
    entries = [(name, kind, number, payload, frame(kind, number, payload)) for name, kind, number, payload in good()]

    def entry(name: str, kind: int, number: int, payload: bytes, wire: bytes) -> dict[str, object]:
        return {"name": name, "kind": kind, "sequence": number, "payload": payload.hex(), "frame": wire.hex()}

    return {
        "about": "PROTOCOL.md's frames. good: encoders give these bytes, receivers read them. also_good: receivers read"
        " them. bad: receivers with this max_payload drop them. Written by tests/helpers/link/frame_vectors.py.",
        "max_payload": MAX_PAYLOAD,
        "good": [entry(*one) for one in entries],
        "also_good": [entry(*one) for one in also_good()],
        "bad": [{"name": name, "reason": reason, "frame": wire.hex()} for name, reason, wire in bad()],
    }


def text() -> str:
    return json.dumps(vectors(), indent=1) + "\n"


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
