# SPDX-License-Identifier: Apache-2.0
"""The folder that an emulated board lives in: its flash as a file, and a lock, so that two never share it."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

from firmware_tools.agent.parts.files import own_file
from firmware_tools.errors import DeviceBusyError
from firmware_tools.host_folder import refused, require_own
from firmware_tools.mcu.emulator import FLASH_FILE

_ORPHAN_TIMEOUT_S = 5.0


class BoardFolder:
    """The folder `root` of one emulated board, ours alone until `close`; `name` stands in the messages.

    `flash` is the file that plays its flash, of `flash_bytes`; erased when there is none yet.
    `otherwise` says what to do about one that cannot be used.
    Raises DeviceBusyError if another process has it, HostFolderError if it cannot be written.
    """

    def __init__(self, name: str, root: Path, flash_bytes: int, otherwise: str = "name another by root=DIR") -> None:
        self.flash = root / FLASH_FILE
        self._name, self._root, self._ours = name, root, False
        require_own(name, root, otherwise)
        try:
            root.mkdir(parents=True, exist_ok=True)
            lock = own_file(str(root / "lock"), os.O_RDWR | os.O_CREAT | os.O_APPEND)
            self._lock = os.fdopen(lock, "a+")
        except OSError as error:
            raise refused(name, root, error, otherwise) from error
        try:
            self._take()
            self._make_flash(flash_bytes)
        except OSError as error:
            self.close()
            raise refused(name, root, error, otherwise) from error
        except BaseException:
            self.close()
            raise

    @property
    def lock_fd(self) -> int:
        """To be inherited by the board: as long as it lives, nobody else may have its flash."""
        return self._lock.fileno()

    def close(self) -> None:
        """Give the folder up. Its board, which holds the lock too, is to be ended before."""
        if self._ours:  # who finds the lock held and no owner waits for the board, which takes a moment to end
            with suppress(OSError):
                self._lock.truncate(0)
        self._lock.close()

    def _take(self) -> None:
        end = time.monotonic() + _ORPHAN_TIMEOUT_S
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                pid = self._owner()
                # Where a host ended, however it did, its board may hold the lock for some milliseconds more.
                if _alive(pid) or time.monotonic() > end:
                    message = f"{self._name}: process {pid or '(unknown)'} uses {self._root}"
                    message += ": wait for it to end, or end it, or name another folder by root=DIR"
                    raise DeviceBusyError(message, pid=pid, root=str(self._root)) from None
                time.sleep(0.02)
        self._ours = True
        self._lock.truncate(0)
        self._lock.write(f"{os.getpid()}\n")
        self._lock.flush()

    def _owner(self) -> int | None:
        self._lock.seek(0)
        text = self._lock.read().strip()
        return int(text) if text.isdigit() else None

    def _make_flash(self, size: int) -> None:
        if self.flash.exists() and self.flash.stat().st_size == size:
            return
        new = self.flash.with_suffix(".new")
        try:
            new.unlink(missing_ok=True)  # of a host that was killed
            with new.open("xb") as file:
                file.write(b"\xff" * size)
            new.replace(self.flash)  # whole, or not there
        finally:
            new.unlink(missing_ok=True)


def _alive(pid: int | None) -> bool:
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True
