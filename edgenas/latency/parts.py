# SPDX-License-Identifier: Apache-2.0
"""Names and counts of an architecture's parts, for models with a separate term for each part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from edgenas.latency import Array, Part
from edgenas.latency.regression import MAX_NUMBER, damaged

Names = tuple[str, ...]
MAX_NAMES = 20_000  # of a saved model; thousands of measured networks have some 3,000

# How finely parts are distinguished. "family": by kinds, kernels, strides and expansion, not by shapes; "inputs": by
# family and input channels (on an x86 host full convolutions of 24 and more take 5 % longer than their work predicts);
# "layers": by their layers; "identity": by the part's repr, for spaces in which a part's position matters; "place": by
# identity and the index in the architecture.
LEVELS = ("family", "inputs", "layers", "identity", "place")


def names_of(architecture: Sequence[Part], level: str) -> list[str]:
    """The name of each part at one of LEVELS."""
    if level == "place":
        return [f"{index}: {_name(part, 'identity')}" for index, part in enumerate(architecture)]
    return [_name(part, level) for part in architecture]


@lru_cache(maxsize=200_000)
def _name(part: Part, level: str) -> str:
    if level == "identity":
        return repr(part)
    layers = part.layers()
    if level == "layers":
        return _runs(f"{a.kind}-{a.c_in}x{a.h_in}x{a.w_in}-{a.c_out}k{a.kernel}s{a.stride}" for a in layers)
    growth = f" x{round(layers[0].c_out / layers[0].c_in, 2):g}" if layers else ""
    family = _runs(f"{a.kind}k{a.kernel}s{a.stride}" for a in layers) + growth
    return f"{family} of {layers[0].c_in}" if level == "inputs" and layers else family


def _runs(names: Iterable[str]) -> str:
    return " ".join(f"{count}*{name}" if count > 1 else name for name, count in Counter(names).items())


def vocabulary(architectures: Sequence[Sequence[Part]], level: str) -> Names:
    """All names that occur, in order of first occurrence."""
    return tuple(dict.fromkeys(name for parts in architectures for name in names_of(parts, level)))


def counts(architectures: Sequence[Sequence[Part]], level: str, names: Names) -> tuple[Array, Array]:
    """How often each of `names` occurs, shape (architectures, names), and how many other parts there are."""
    place = {name: index for index, name in enumerate(names)}
    table, others = np.zeros((len(architectures), len(names))), np.zeros(len(architectures))
    for row, parts in enumerate(architectures):
        for name in names_of(parts, level):
            if name in place:
                table[row, place[name]] += 1
            else:
                others[row] += 1
    return table, others


def strings(table: Mapping[str, Any], key: str, file: str) -> Names:
    """`table[key]`, a list of at most `MAX_NAMES` strings. Raises ProfileError naming `file` and `key`."""
    value = table.get(key)
    if not isinstance(value, list) or len(value) > MAX_NAMES or not all(isinstance(name, str) for name in value):
        raise damaged(file, key, table)
    return tuple(value)


def numbers(table: Mapping[str, Any], key: str, file: str, shape: tuple[int, ...]) -> Array:
    """`table[key]`, numbers of at most `MAX_NUMBER` in lists of that shape; -1 is any length.

    Raises ProfileError as `strings` does.
    """
    try:
        value = np.array(table.get(key), dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise damaged(file, key, table) from None
    fits = value.ndim == len(shape) and all(
        asked in (-1, found) for asked, found in zip(shape, value.shape, strict=True)
    )
    if not fits or not np.all(np.abs(value) <= MAX_NUMBER):  # which NaN is not, either
        raise damaged(file, key, table)
    return value
