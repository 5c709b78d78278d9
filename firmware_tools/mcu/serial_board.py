# SPDX-License-Identifier: Apache-2.0
"""`serial://PATH?baud=N`: a real board with edgenas' firmware on a serial port."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from firmware_tools.errors import DeviceUrlError
from firmware_tools.link.pipes import DEFAULT_BAUD, SerialPipe
from firmware_tools.link.session import Link
from firmware_tools.mcu.device import McuDevice
from firmware_tools.mcu.manifests import Manifests


def open_serial(url: str, options: Mapping[str, str], home: Path, runtime: str | None) -> McuDevice:
    """Open the port and make sure that edgenas' firmware answers.

    `options`: `port` is the port's path or name, `baud` bits per second (115200). Manifests of what this computer
    installs are kept in `home/devices/serial`. Raises DeviceUrlError for no port or another baud than a positive
    number, DeviceBusyError, DeviceLostError or DeviceError if the port cannot be opened or nothing answers.
    """
    port, baud = options.get("port", "").removeprefix("//"), options.get("baud", str(DEFAULT_BAUD))
    if not port:
        example = "serial:///dev/ttyACM0?baud=115200"
        raise DeviceUrlError(f"{url}: names no port, write for example {example}", url=url, value=port)
    if not baud.isascii() or not baud.isdigit() or int(baud) == 0:
        raise DeviceUrlError(f"{url}: baud is {baud!r}, write bits per second such as 115200", url=url, value=baud)
    pipe = SerialPipe(port, int(baud))
    try:
        return McuDevice(url, Link(pipe, url), manifests(home), pipe.close)
    except BaseException:
        pipe.close()
        raise


def manifests(home: Path) -> Manifests:
    """What this computer installed on boards at its serial ports."""
    return Manifests(home / "devices" / "serial" / "plans")
