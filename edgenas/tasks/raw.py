"""What every reader (built-in, folder, .npz) hands to `load`: decoded images that are not split yet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

TRAIN, VALIDATION, TEST = 0, 1, 2
PART_NAMES = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Raw:
    """Images as a source holds them.

    `x` (N, H, W, C) uint8; `y` (N,) indices into `labels`; `part` (N,) TRAIN, VALIDATION or TEST as the source says
    (all TRAIN when it says nothing); `notes` is what the user should know about the reading. `side` is the median of
    the images' shorter sides in the source, in pixels, before they were brought to one size.
    """

    name: str
    x: Pixels
    y: Ints
    part: Ints
    labels: tuple[str, ...]
    notes: tuple[str, ...] = ()
    side: int | None = None


def shown(text: object) -> str:
    """A path or name for a one-line message: as it is, or escaped where it would break the line or the terminal."""
    plain = str(text)
    return plain if plain.isprintable() else ascii(plain)[1:-1]


def counted(count: int, what: str) -> str:
    """`count` and `what` in the singular or plural."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def listed(names: list[str] | tuple[str, ...], limit: int = 5) -> str:
    """Names for a one-line message, the first `limit` of them."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(shown(name) for name in names[:limit]) + more
