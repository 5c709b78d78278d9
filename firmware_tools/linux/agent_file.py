# SPDX-License-Identifier: Apache-2.0
"""The agent's parts as what Python runs: a folder on this computer, one zip file on a board."""

from __future__ import annotations

import functools
import io
import zipfile
from pathlib import Path

from firmware_tools import agent

AGENT_FOLDER = Path(str(agent.__file__)).resolve().parent  # what `BOOT` of parts/processes.py runs on this computer
_OLDEST = (1980, 1, 1, 0, 0, 0)  # that a zip file can tell
_POSIX = 3


@functools.cache
def packed() -> bytes:
    """The agent as one zip file, which `BOOT` of parts/processes.py runs anywhere.

    The bytes depend on the sources alone, as a board keeps the file by its hash. Nothing is compressed: a board's
    Python may lack zlib, and releases of zlib differ in what they make of the same bytes.
    """
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted((AGENT_FOLDER / "parts").rglob("*.py")):
            member = zipfile.ZipInfo(path.relative_to(AGENT_FOLDER).as_posix(), _OLDEST)
            member.create_system = _POSIX
            member.external_attr = 0o100644 << 16
            archive.writestr(member, path.read_bytes())
    return target.getvalue()
