# SPDX-License-Identifier: Apache-2.0
"""A device's folder on this computer: what to tell the user when the system refuses it."""

from __future__ import annotations

import errno
from pathlib import Path

from firmware_tools.agent.parts.folders import folder_fault
from firmware_tools.errors import HostFolderError, HostFullError

_FULL = (errno.ENOSPC, errno.EDQUOT)


def way_out(root: Path, home: Path) -> str:
    """How to give a device another folder than `root`, which is one in the user's folder `home`, or was named."""
    return "set EDGENAS_HOME to another folder" if home in root.parents else "name another by root=DIR"


def refused(name: str, root: Path, error: OSError, otherwise: str) -> HostFolderError:
    """The error of a folder `root` that the system refuses; the device's `name` begins it, `otherwise` is a way out."""
    return unusable(name, root, error.strerror or str(error), otherwise, full=error.errno in _FULL)


def unusable(name: str, root: Path, reason: str, otherwise: str, *, full: bool) -> HostFolderError:
    """The same, of a reason in words."""
    name = name.partition("?")[0].rstrip(":")  # the folder, which may be long, is said once
    if full:
        message = f"{name}: no disk space left for {root} ({reason}): free some, or {otherwise}"
        return HostFullError(message, root=str(root))
    return HostFolderError(
        f"{name}: cannot use the folder {root} ({reason}): mend that, or {otherwise}", root=str(root)
    )


def require_own(name: str, root: Path, otherwise: str) -> None:
    """Raise HostFolderError if others may change what is in the folder `root` of the device `name`."""
    if (fault := folder_fault(str(root))) is not None:
        raise unusable(name, root, fault, otherwise, full=False)


def make_private(folder: Path) -> None:
    """Make a folder in the user's own, and those above it that are not there yet, for the user alone."""
    for missing in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
        missing.mkdir(0o700, exist_ok=True)
