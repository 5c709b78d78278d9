# SPDX-License-Identifier: Apache-2.0
"""What is wrong when no board answers HELLO, from what was heard instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from firmware_tools.errors import DeviceError, DeviceLostError, ProtocolError
from firmware_tools.link.frames import Frame
from firmware_tools.link.wire import VERSION, Kind

_KEPT_BYTES = 2048
_SHOWN_CHARACTERS = 40
_TEXT_SHARE = 0.9  # of another program's bytes that are printable; of a wrong speed's about a third is
_FLASH = "flash edgenas' runtime onto the board: edgenas flash --board BOARD"
# What boot ROMs say of themselves: Espressif's, MicroPython's and Arduino's neighbours print text, ST's answers a byte.
_BOOTLOADERS = {
    b"waiting for download": "an ESP chip's bootloader",
    b"DOWNLOAD_BOOT": "an ESP chip's bootloader",
    b"MCUboot": "MCUboot",
    b"*** Booting": "a Zephyr program's boot",
    b"U-Boot": "U-Boot",
}
_ST_ACK_NACK = b"\x79\x1f"


class LineDiagnosis:
    """The bytes and frames that came before a board said hello; only the last few are kept."""

    def __init__(self) -> None:
        self._bytes, self._count = b"", 0
        self._frames = 0
        self._echoes = False

    def add(self, data: bytes, frames: Sequence[Frame]) -> None:
        """More of them."""
        self._bytes = (self._bytes + data)[-_KEPT_BYTES:]
        self._count += len(data)
        self._frames += len(frames)
        self._echoes = self._echoes or any(frame.kind == Kind.HELLO for frame in frames)

    def explain(self, name: str, baud: int | None, dropped: Mapping[str, int]) -> DeviceError:
        """The exception that says what it looks like and what to do next."""
        speed = f" at {baud} baud" if baud else ""
        fields = {"baud": baud, "heard_bytes": self._count, "frames": self._frames, "dropped": dict(dropped)}
        if not self._count:
            message = f"{name}: silence{speed}: is the board powered and started (press its reset button), is this its"
            message += f" port and its speed (?baud=N)? If it never ran edgenas, {_FLASH}"
            return DeviceLostError(message, **fields)
        return ProtocolError(f"{name}: {self._looks_like(speed)}", **fields)

    def _looks_like(self, speed: str) -> str:
        heard = self._bytes.strip(b"\0")
        for sign, what in _BOOTLOADERS.items():
            if sign in heard:
                return f"the board is in its bootloader ({what}): release BOOT and press reset, or {_FLASH}"
        if heard and not heard.strip(_ST_ACK_NACK):
            return f"the board is in its bootloader (an STM32's): set BOOT0 low and press reset, or {_FLASH}"
        if self._echoes:
            return (
                "what is sent comes back: RX and TX are connected to each other, or a terminal echoes; fix the wiring"
            )
        if self._frames:
            return f"a board answers, but not HELLO ({self._frames} frames): press its reset button, or {_FLASH}"
        printable = sum(byte in b"\t\r\n\x1b" or 32 <= byte < 127 for byte in heard)
        if heard and printable >= _TEXT_SHARE * len(heard):
            words = " ".join(heard.decode("ascii", "replace").split())[:_SHOWN_CHARACTERS]
            return f"another program speaks on this line ({words!r}): name the board's own port, or {_FLASH}"
        return f"only garbage arrives{speed} ({self._count} bytes): name the speed that the firmware uses by ?baud=N"


def versions_apart(body: bytes) -> None:
    """Raise ProtocolError if the versions at the head of HELLO's answer do not include this host's."""
    if len(body) < 2:  # the parser says so
        return
    lowest, highest = body[0], body[1]
    if lowest <= VERSION <= highest:
        return
    newer = lowest > VERSION
    next_step = "update edgenas" if newer else _FLASH
    raise ProtocolError(
        f"the board speaks versions {lowest} to {highest} of the protocol, this edgenas {VERSION}: {next_step}",
        lowest=lowest,
        highest=highest,
        version=VERSION,
    )
