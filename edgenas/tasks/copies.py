# SPDX-License-Identifier: Apache-2.0
"""Examples that stand in a data set more than once, as they are learnt."""

from __future__ import annotations

import hashlib

import numpy as np

from edgenas.tasks.raw import PART_NAMES, TEST, TRAIN, VALIDATION, Bytes, Ints, Raw


def alike(x: Bytes) -> Ints:
    """(N,) the index of the first example that has the same values; `x` is (N, H, W, C)."""
    first: dict[bytes, int] = {}
    return np.array(
        [first.setdefault(hashlib.blake2b(each.data, digest_size=16).digest(), i) for i, each in enumerate(x)],
        np.int64,
    )


def copy_notes(raw: Raw, copy_of: Ints, part: Ints, alike_in: str) -> tuple[str, ...]:
    """Sentences about copies: how many, in which parts, under which labels; `part` (N,) is where each example goes."""
    repeated = np.flatnonzero(np.bincount(copy_of, minlength=len(copy_of))[copy_of] > 1).tolist()
    if not repeated:
        return ()
    copies = len(repeated) - len(np.unique(copy_of[repeated]))
    first = next(i for i in repeated if copy_of[i] != i)
    trained = np.unique(copy_of[part == TRAIN])
    leaks = {other: int(np.isin(copy_of[part == other], trained).sum()) for other in (VALIDATION, TEST)}
    notes = [
        f"copies of other {raw.item}s, {alike_in}: {copies} of {len(copy_of)} "
        f"(first: {raw.where(first)} and {raw.where(copy_of[first])})"
        + ("" if any(leaks.values()) else ": they are kept in one part")
    ]
    for other, leaked in leaks.items():
        if leaked:
            notes.append(
                f"{PART_NAMES[other]} {raw.item}s that are also in train: {leaked} of "
                f"{np.count_nonzero(part == other)}: {PART_NAMES[other]} accuracy "
                "comes out too high, remove them from one part"
            )
    contradicted = [i for i in repeated if raw.y[i] != raw.y[copy_of[i]]]
    if contradicted:
        index = contradicted[0]
        notes.append(
            f"copies whose label is not that of the {raw.item} they equal: {len(contradicted)}, one of the two is "
            f"wrong (first: {raw.where(index)} and {raw.where(copy_of[index])})"
        )
    return tuple(notes)
