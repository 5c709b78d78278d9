# SPDX-License-Identifier: Apache-2.0
"""Which files of a run's folder this user's edgenas wrote: `runs/` may have come with somebody else's repository.

Beside a file NAME is NAME.seal, the HMAC-SHA-256 of the run's question, the file's place in the run's folder and its
bytes, under a key of 32 random bytes in the user's folder. Only what carries its seal is read back.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from edgenas import resources
from firmware_tools import reading

_KEY, _KEY_BYTES = "run.key", 32
_SUFFIX = ".seal"
_MOST_BYTES = 1 << 30  # of a sealed file; a checkpoint has some 10 MB


@dataclass(frozen=True)
class Seals:
    """The seals of one run: `folder` is the run's, `question` names what it computes."""

    folder: Path
    question: str

    def write(self, path: Path, data: bytes) -> None:
        """Write the file and its seal; whenever this is cut short, the old file or the new one is sealed.

        Raises OSError if the system refuses, UsageError for a user's folder that cannot be used.
        """
        old = self.read(path)
        self._seal(path, data, *([] if old is None else [old]))
        resources.write_bytes(path, data)

    def add(self, path: Path) -> None:
        """Seal a file that is there. Raises as `write`."""
        self._seal(path, reading.read_bytes(path, _MOST_BYTES))

    def read(self, path: Path) -> bytes | None:
        """The file's bytes, None if there is none or it does not carry its seal."""
        try:
            data = reading.read_bytes(path, _MOST_BYTES)
            seals = reading.read_text(_beside(path)).split()
        except (OSError, ValueError):
            return None
        own = self._seal_of(path, data)
        return data if any(hmac.compare_digest(own, seal) for seal in seals if seal.isascii()) else None

    def _seal(self, path: Path, *contents: bytes) -> None:
        lines = [f"{self._seal_of(path, data)}\n" for data in contents]
        resources.write_text(_beside(path), "".join(lines))

    def _seal_of(self, path: Path, data: bytes) -> str:
        place = os.path.relpath(path, self.folder).replace(os.sep, "/")
        said = b"\0".join((self.question.encode(), place.encode("utf-8", "surrogateescape"), data))
        return hmac.new(_key(), said, hashlib.sha256).hexdigest()


def _beside(path: Path) -> Path:
    return path.with_name(path.name + _SUFFIX)


def _key() -> bytes:
    """The user's key, made when it is first needed. A damaged one is replaced: no earlier run is gone on with then."""
    path = resources.home() / _KEY
    try:
        key = reading.read_bytes(path, _KEY_BYTES)
    except (OSError, ValueError):
        key = b""
    if len(key) == _KEY_BYTES:
        return key
    with resources.writing(path) as part:
        part.chmod(0o600)
        part.write_bytes(secrets.token_bytes(_KEY_BYTES))
    path.chmod(0o600)
    return reading.read_bytes(path, _KEY_BYTES)
