# SPDX-License-Identifier: Apache-2.0
"""What the device is."""

from __future__ import annotations

import os
import platform
import shutil
import socket
from typing import Any

from .cores import fast_cores, governors, power_setting
from .runtimes.registry import find_runtimes
from .slots import Store
from .system import cpu_name, machine, ram_bytes

PROTOCOL = 2
VERSION = "2.2"


def hello(store: Store) -> dict[str, Any]:
    """What the device is."""
    runtimes, notes = find_runtimes()
    return {
        "protocol": PROTOCOL,
        "agent_version": VERSION,
        "hostname": socket.gethostname(),
        "machine": machine(),
        "cpu": cpu_name(),
        "cores": os.cpu_count() or 1,
        "system": platform.platform(),
        "python_version": platform.python_version(),
        "runtimes": runtimes,
        "notes": notes,
        "ram_bytes": ram_bytes(),
        "free_disk_bytes": shutil.disk_usage(store.root).free,
        "governors": governors(fast_cores(1)),
        **power_setting(),
    }
