# SPDX-License-Identifier: Apache-2.0
"""What every reader hands on: decoded examples that are not split yet; and how names and counts are put into words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from firmware_tools.plain_text import plain

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

TRAIN, VALIDATION, TEST = 0, 1, 2
PART_NAMES = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Raw:
    """Examples as a source holds them.

    `x` (N, H, W, C) uint8; `y` (N,) indices into `labels`; `part` (N,) TRAIN, VALIDATION or TEST as the source says
    (all TRAIN when it says nothing); `notes` is what the user should know about the reading;
    `files` (N,) names each example's file below the source, if it has one; `item` is what an example is called.
    """

    name: str
    x: Bytes
    y: Ints
    part: Ints
    labels: tuple[str, ...]
    notes: tuple[str, ...] = ()
    files: Sequence[str] = ()
    item: str = "example"

    def where(self, index: int) -> str:
        """Example `index` for a one-line message: its file, if it has one."""
        if not self.files:
            return f"{self.item} {index} of '{cut(self.labels[self.y[index]])}'"
        return end(self.files[index])


def shown(text: object) -> str:
    """A path or name for a one-line message: as it is, or escaped where it would break the line or the terminal."""
    return plain(str(text))


def cut(text: object, limit: int = 20) -> str:
    """`shown`, cut to `limit` characters where a line has room for no more."""
    whole = shown(text)
    return whole if len(whole) <= limit else whole[: limit - 3] + "..."


def end(path: object, limit: int = 44) -> str:
    """`shown`, of which only the last `limit` characters stay, where a file's name matters more than its folders'."""
    whole = shown(path)
    return whole if len(whole) <= limit else f"...{whole[3 - limit :]}"


def counted(count: int, what: str) -> str:
    """`count` and `what` in the singular or plural."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def listed(names: Sequence[str], limit: int = 5) -> str:
    """Names for a one-line message, the first `limit` of them, none of more than 30 characters."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(cut(name, 30) for name in names[:limit]) + more
