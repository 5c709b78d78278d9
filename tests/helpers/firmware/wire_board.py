# SPDX-License-Identifier: Apache-2.0
"""The firmware as a process, spoken to with its own frame coder: nothing is shared with firmware_tools.link."""

from __future__ import annotations

import hashlib
import os
import select
import struct
import subprocess
import time
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

OK, UNKNOWN, MALFORMED, TOO_LARGE, WRONG_OFFSET, NOT_READY, BAD_HASH, BAD_PLAN, FLASH_FAILED, FAULTED = range(10)
HELLO, STATUS, BEGIN, WRITE, VERIFY, DISCARD, COMMIT, ROLLBACK = range(1, 9)
SELECT, INPUT, RUN, PROFILE, OUTPUT, MEMORY, FAULT, RESET = range(9, 17)
ACTIVE, STAGED = 0, 1
NONE = 0xFF
EMPTY, PARTIAL, VALID, DAMAGED = range(4)
CUT = 77  # the host board's exit status of a power cut
SLOT_BYTES = 1 << 20
PAGE_BYTES = 4096


class GoneError(Exception):
    """The process ended, or does not answer."""


@dataclass(frozen=True)
class Slots:
    """STATUS, without the counters' names: commits, rollbacks, resets, dropped."""

    active: int
    previous: int
    staged: int
    tries: int
    counters: tuple[int, ...]
    slots: tuple[tuple[int, int, bytes], ...]


def encode(kind: int, sequence: int, payload: bytes = b"") -> bytes:
    data = bytes((kind, sequence)) + payload
    data += struct.pack("<I", zlib.crc32(data))
    return stuff(data) + b"\0"


def stuff(data: bytes) -> bytes:
    """COBS, the plain way: a code byte, then that many bytes without 0."""
    out = bytearray()
    parts = data.split(b"\0")
    for index, part in enumerate(parts):
        while len(part) >= 254:
            out += b"\xff" + part[:254]
            part = part[254:]
            if not part and index == len(parts) - 1:
                return bytes(out)
        out += bytes((len(part) + 1,)) + part
    return bytes(out)


def unstuff(block: bytes) -> bytes:
    out, at = bytearray(), 0
    while at < len(block):
        code = block[at]
        out += block[at + 1 : at + code]
        at += code
        if code < 255 and at < len(block):
            out.append(0)
    return bytes(out)


class Board:
    """A running board; `command` is its program and arguments."""

    def __init__(self, command: Sequence[str | Path]) -> None:
        self.process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.sequence = 0
        self.knocked = -1  # the sequence number of the last `knock`
        self.received = bytearray()

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> int:
        """End it as a power cut does; its exit status."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe
            with suppress(BrokenPipeError):
                pipe.close()
        return self.process.returncode

    def complaint(self) -> str:
        """What it wrote to stderr, once it has ended."""
        assert self.process.stderr
        return self.process.stderr.read().decode()

    def put(self, data: bytes) -> None:
        assert self.process.stdin
        try:
            self.process.stdin.write(data)
            self.process.stdin.flush()
        except BrokenPipeError as error:
            raise GoneError from error

    def get(self, timeout_s: float = 20) -> tuple[int, int, int, bytes]:
        """The next frame: kind, sequence, status, and what stands behind it."""
        assert self.process.stdout
        deadline = time.monotonic() + timeout_s
        while True:
            while b"\0" in self.received:
                block, _, rest = self.received.partition(b"\0")
                self.received = rest
                if block:
                    data = unstuff(bytes(block))
                    assert zlib.crc32(data[:-4]) == struct.unpack("<I", data[-4:])[0]
                    return data[0], data[1], data[2], data[3:-4]
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
            more = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            if not more:
                raise GoneError(f"exit status {self.process.poll()}")
            self.received += more

    def silent(self, seconds: float = 0.2) -> bool:
        """Whether nothing comes for a while."""
        assert self.process.stdout
        return not self.received and not select.select([self.process.stdout], [], [], seconds)[0]

    def ask(self, kind: int, payload: bytes = b"", timeout_s: float = 20) -> tuple[int, bytes]:
        """Status and answer. Raises GoneError if none comes."""
        self.sequence = (self.sequence + 1) % 256
        self.put(encode(kind, self.sequence, payload))
        answered, sequence, status, body = self.get(timeout_s)
        while (answered, sequence) == (HELLO + 0x80, self.knocked):  # comes late, the board was not scheduled
            answered, sequence, status, body = self.get(timeout_s)
        self.knocked = -1
        assert (answered, sequence) == (kind + 0x80, self.sequence)
        return status, body

    def reset(self) -> None:
        """RESET, and wait until the board answers again."""
        self.ok(RESET)
        self.knock()

    def knock(self) -> None:
        """HELLO until it answers: what is sent while it starts may be lost."""
        self.sequence = self.knocked = (self.sequence + 1) % 256
        while self.silent(0.5):
            self.put(b"\0" + encode(HELLO, self.sequence, b"\1\1"))
        while not self.silent(0.5):
            assert self.get()[:2] == (HELLO + 0x80, self.sequence)

    def ok(self, kind: int, payload: bytes = b"") -> bytes:
        status, body = self.ask(kind, payload)
        assert status == OK, f"kind {kind}: status {status}, {body.hex()}"
        return body

    def status(self) -> Slots:
        body = self.ok(STATUS)
        active, previous, staged, tries, *counters = struct.unpack_from("<4B4I", body)
        slots = tuple(struct.unpack_from("<BI32s", body, 20 + 37 * slot) for slot in range(2))
        return Slots(active, previous, staged, tries, tuple(counters), slots)

    def begin(self, plan: bytes) -> int:
        """Where to go on."""
        return int.from_bytes(self.ok(BEGIN, struct.pack("<I", len(plan)) + hashlib.sha256(plan).digest()), "little")

    def transfer(self, plan: bytes, chunk: int = 512, most: int | None = None) -> int:
        """BEGIN and as many WRITE as it takes, or `most`; where it began."""
        start = at = self.begin(plan)
        while at < len(plan) and (most is None or at - start < most):
            body = self.ok(WRITE, struct.pack("<I", at) + plan[at : at + chunk])
            at = int.from_bytes(body, "little")
        return start

    def stage(self, plan: bytes, chunk: int = 512) -> None:
        self.transfer(plan, chunk)
        self.ok(VERIFY)

    def commit(self, plan: bytes) -> None:
        self.ok(COMMIT, hashlib.sha256(plan).digest())

    def install(self, plan: bytes) -> None:
        self.stage(plan)
        self.commit(plan)

    def infer(self, which: int, data: bytes, times: int = 1) -> bytes:
        """SELECT, INPUT, RUN, OUTPUT."""
        _, output_bytes, _, _ = self.select(which)
        self.set_input(data)
        self.ok(RUN, struct.pack("<H", times))
        output = b""
        while len(output) < output_bytes:
            length = min(1024, output_bytes - len(output))
            output += self.ok(OUTPUT, struct.pack("<IH", len(output), length))
        return output

    def select(self, which: int) -> tuple[int, ...]:
        return struct.unpack("<4I", self.ok(SELECT, bytes((which,))))

    def set_input(self, data: bytes) -> None:
        for at in range(0, len(data), 1024):
            self.ok(INPUT, struct.pack("<I", at) + data[at : at + 1024])
