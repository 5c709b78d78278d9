# SPDX-License-Identifier: Apache-2.0
"""The memory of this process."""

from __future__ import annotations

import gc
import re


def peak_rss() -> int | None:
    """The peak resident set of this process, where Linux tells it."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            match = re.search(r"^VmHWM:\s*(\d+) kB$", file.read(), re.M)
    except OSError:
        return None
    return int(match.group(1)) * 1024 if match else None


def reset_peak_rss() -> int | None:
    """The peak after setting it back to what is resident now; freed memory goes to the system first, as memory that is
    used again would hide the growth."""
    gc.collect()
    try:
        import ctypes

        ctypes.CDLL(None).malloc_trim(0)
    except (ImportError, OSError, AttributeError, TypeError):  # no glibc
        pass
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    except OSError:
        return None
    return peak_rss()
