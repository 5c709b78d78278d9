"""A board's device, opened with the user's folder, in which devices on this computer live."""

from __future__ import annotations

from edgenas.resources import home, writable_home
from firmware_tools import connect as devices
from firmware_tools.device import Device


def connect(url: str, *, runtime: str | None = None, access: devices.Access | None = None) -> Device:
    """`firmware_tools.connect.connect` with the user's folder.

    Raises UsageError, which names EDGENAS_HOME, if the device lives in that folder and it cannot be written.
    """
    folder = writable_home() if devices.lives_in_home(url) else home()
    return devices.connect(url, home=folder, runtime=runtime, access=access)
