# SPDX-License-Identifier: Apache-2.0
"""`edgenas doctor`: what is installed, what is missing, and the command that mends it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

from edgenas.conversion import environment
from edgenas.errors import UsageError
from edgenas.progress import Reporter, Silent
from edgenas.resources import home, shipped
from edgenas.version import __version__

_SEARCH_PACKAGES = (
    "torch",
    "onnx",
    "ai-edge-quantizer",
    "ai-edge-litert",
    "scipy",
    "pillow",
    "mlxtend",
    "scikit-learn",
)
_ELSEWHERE = "set EDGENAS_HOME to a folder of yours"
_LEAST_FREE_BYTES = 1 << 30  # the converter's environment takes 0.4 GB, a run's checkpoints some 10 MB


@dataclass(frozen=True)
class Check:
    """One thing that edgenas needs; `mend` is the command that gets it, "" if nothing is to be done."""

    name: str
    ok: bool
    found: str
    mend: str = ""


def doctor(*, mend: bool = False, reporter: Reporter | None = None) -> list[Check]:
    """Check everything; with `mend`, build the converter's environment first if it is missing or damaged.

    Raises ConversionError (check "environment") if it cannot be built.
    """
    if mend:
        (reporter or Silent()).stage("converter")
        environment.ensure((reporter or Silent()).say)
    return [_python(), *_packages(), _converter(), _folder(), _data()]


def _python() -> Check:
    found = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
    return Check(
        "python", sys.version_info >= (3, 10), f"{found}, edgenas {__version__}", "install Python 3.10 or newer"
    )


def _packages() -> Iterator[Check]:
    for name in _SEARCH_PACKAGES:
        try:
            yield Check(name, True, metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Check(name, False, "not installed", "pip install 'edgenas[search]'")


def _converter() -> Check:
    try:
        wrong = environment.check()
    except UsageError:  # of $EDGENAS_HOME
        return Check("converter", False, "its folder cannot be used, see below", "edgenas doctor --mend")
    return Check(
        "converter", wrong is None, wrong or str(environment.folder()), "edgenas doctor --mend" if wrong else ""
    )


def _folder() -> Check:
    try:
        folder = home()
    except UsageError as error:
        return Check("folder", False, error.message, _ELSEWHERE)
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    found = f"{folder}, {free / 1e9:.1f} GB free"
    if not os.access(existing, os.W_OK):
        return Check("folder", False, f"{folder} cannot be written", _ELSEWHERE)
    return Check("folder", free >= _LEAST_FREE_BYTES, found, "free some disk space, or set EDGENAS_HOME elsewhere")


def _data() -> Check:
    names = ", ".join(sorted(path.name for path in shipped("boards").iterdir() if path.is_dir()))
    return Check("boards", True, names)
