# SPDX-License-Identifier: Apache-2.0
"""Files of the agent's own: replaced as a whole, synced, never what another user planted."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from typing import Any

from .folders import folder_fault, is_private, trusted_users
from .lines import MAX_LINE
from .refusal import Refusal


def sync_folder(path: str) -> None:
    """Make renames within `path` last through a power cut."""
    if os.name != "posix":  # other systems cannot open a folder
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def remove(path: str) -> None:
    """Remove the file `path` if it is there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def write_json(path: str, value: object) -> None:
    """Replace `path` as a whole; on an error the old file is as it was and no part of the new one is left."""
    part = path + ".part"
    try:
        with open(part, "w", encoding="utf-8") as file:
            json.dump(value, file, indent=1, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError:
        remove(part)
        raise
    sync_folder(os.path.dirname(path))


def read_json(path: str) -> dict[str, Any]:
    """The object in `path`; {} if there is none that can be read, or it is no file of this user's own."""
    try:
        with open(path, "rb", opener=own_file) as file:
            data = file.read(MAX_LINE + 1)
            value = json.loads(data.decode("utf-8")) if len(data) <= MAX_LINE else None
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def own_file(path: str, flags: int) -> int:
    """For `open`: a regular file of this user's or root's, never what a link leads to; never waits for a named pipe."""
    file = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0), 0o666)
    facts = os.fstat(file)
    if stat.S_ISREG(facts.st_mode) and (os.name != "posix" or facts.st_uid in trusted_users()):
        return file
    os.close(file)
    raise OSError(errno.EPERM, "no file of your own", path)


def sha256_of(path: str) -> str:
    """The sha256 of the bytes on the medium, as far as the system lets us past its cache."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def set_umask() -> None:
    """Let what is made here be for others to read at most: small systems set no umask, some one for a shared group."""
    umask = os.umask(0o077)
    if os.name == "posix" and not umask & 0o020 and not is_private(os.getegid()):
        umask |= 0o020
    os.umask(umask | 0o002)


def require_own(folder: str, root: str) -> None:
    """Refuse a folder in `root`, or that itself, if others may change it: they would choose what runs here."""
    fault = folder_fault(folder)
    if fault is not None:
        if folder != root and fault.startswith("it "):
            fault = folder + fault[2:]
        message = f"{root} cannot be used ({fault}): mend that, or name another folder"
        raise Refusal("folder", message, root=root, reason=fault)
