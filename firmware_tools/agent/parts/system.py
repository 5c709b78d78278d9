# SPDX-License-Identifier: Apache-2.0
"""What the operating system says of this machine."""

from __future__ import annotations

import glob
import os
import platform
import re
import sys
import time

BOOT_ID = "/proc/sys/kernel/random/boot_id"


def boot_id() -> str | None:
    """Which boot this is; None where the system does not tell."""
    return first_line(BOOT_ID)


def utc() -> str:
    """Now, as ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def first_line(path: str) -> str | None:
    """The first line of a small file of the system's; None if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.readline().strip("\0\n ")
    except OSError:
        return None


def machine() -> str:
    """The architecture of this Python's programs: a 64-bit kernel may run 32-bit ones, as Raspberry Pi OS does."""
    name = platform.machine()
    if sys.maxsize >> 32:
        return name
    return {"aarch64": "armv7l", "arm64": "armv7l", "armv8l": "armv7l", "x86_64": "i686"}.get(name, name)


def cpu_name() -> str:
    """What the processor calls itself; on ARM boards the board's name, which says more."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            match = re.search(r"^model name\s*:\s*(.+)$", file.read(), re.M)
    except OSError:
        match = None
    return first_line("/proc/device-tree/model") or (match.group(1) if match else "") or platform.processor()


def ram_bytes() -> int | None:
    """The machine's memory."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def load() -> float | None:
    """The 1-minute load average."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def temperature_c() -> float | None:
    """The temperature of the zone that is named after the processor, else of the first one."""
    zones = sorted(glob.glob("/sys/class/thermal/thermal_zone*"))
    zones.sort(key=lambda zone: not re.search("cpu|soc|pkg", (first_line(zone + "/type") or "").lower()))
    for zone in zones:
        text = first_line(zone + "/temp") or ""
        if text.lstrip("-").isdigit():
            return int(text) / 1000
    return None
