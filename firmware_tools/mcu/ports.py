# SPDX-License-Identifier: Apache-2.0
"""Which serial ports this computer has, and a short question to the board at one of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from firmware_tools.link.pipes import DEFAULT_BAUD, SerialPipe
from firmware_tools.link.session import Link
from firmware_tools.mcu.device import McuDevice
from firmware_tools.mcu.serial_board import manifests

_PATIENCE_S = 1.0  # a board that answers does so at once; three tries and what they wait make it about two seconds


@dataclass(frozen=True)
class SerialPort:
    """`usb` is vendor and product as in "0483:374b", None for a port that is not USB; `description` for people."""

    path: str
    usb: str | None
    description: str

    @property
    def url(self) -> str:
        """What `connect` takes."""
        return f"serial://{quote(self.path)}"


def serial_ports() -> tuple[SerialPort, ...]:
    """Every serial port that the system knows, by path; none is opened."""
    from serial.tools import list_ports

    ports = sorted(list_ports.comports(), key=lambda port: str(port.device))
    return tuple(
        SerialPort(
            port.device,
            None if port.vid is None or port.pid is None else f"{port.vid:04x}:{port.pid:04x}",
            str(port.description),
        )
        for port in ports
    )


def ask_port(port: SerialPort, home: Path) -> McuDevice:
    """`connect(port.url, home=home)` for a port where perhaps no board of ours is: it is given up soon."""
    pipe = SerialPipe(port.path, DEFAULT_BAUD)
    try:
        link = Link(pipe, port.url)
        link.hello(_PATIENCE_S)
        return McuDevice(port.url, link, manifests(home), pipe.close)
    except BaseException:
        pipe.close()
        raise
