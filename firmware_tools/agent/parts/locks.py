# SPDX-License-Identifier: Apache-2.0
"""Exclusive locks on files."""

from __future__ import annotations

import os
import sys
import time
from typing import IO

from .files import own_file
from .refusal import Refusal

LOCK_WAIT_S = 2.0  # the agent of a host that was just killed needs a moment to end


def lock(path: str) -> IO[str]:
    """Take the exclusive lock of the device; the file returned holds it until the process ends."""
    file = open(path, "a+", encoding="utf-8", opener=own_file)
    if not wait_locked(file):
        file.seek(0)
        pid = file.read().strip()
        message = f"process {pid or '(unknown)'} uses the device: wait for it to end, or end it"
        raise Refusal("busy", message, pid=int(pid) if pid.isdigit() else None)
    try:
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
    except OSError:  # a full disk: the lock holds without the pid, and a rollback must still work
        pass
    return file


def wait_locked(file: IO[str]) -> bool:
    """Take the exclusive lock of an open file; False if another process keeps it for LOCK_WAIT_S."""
    deadline = time.monotonic() + LOCK_WAIT_S
    while not _locked(file):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _locked(file: IO[str]) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(1 << 20)  # a byte that no one reads: Windows also locks readers out
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
