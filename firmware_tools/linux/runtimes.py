# SPDX-License-Identifier: Apache-2.0
"""Which TFLite runtime fits which Linux board: a table of what the package index has wheels for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from firmware_tools.errors import RuntimeMissingError

Version = tuple[int, int]

_LOCKS = Path(__file__).with_name("locks")
PIP_LOCK = _LOCKS / "pip.lock"  # for boards whose Python brings one that is too old


@dataclass(frozen=True)
class Runtime:
    """One release of a runtime: `machines` with the oldest glibc for each, `pythons` the first and the last.

    `numpy` is the bound on numpy's version that it needs, declared by its package or not. For each machine and Python,
    called a row, a list says exactly what is installed.
    """

    name: str
    package: str
    version: str
    machines: Mapping[str, Version]
    pythons: tuple[Version, Version]
    numpy: str

    def rows(self) -> Iterator[tuple[str, Version]]:
        """Every machine and Python that there is a wheel for."""
        (major, oldest), (_, newest) = self.pythons
        for machine in self.machines:
            for minor in range(oldest, newest + 1):
                yield machine, (major, minor)

    def lock(self, machine: str, python: Version) -> Path:
        """What pip is to install there: this package and all that it needs, with the hashes of the wheels."""
        return _LOCKS / f"{self.package}-{self.version}-py{_text(python)}-{machine}.lock"

    @property
    def module(self) -> str:
        """What Python imports."""
        return self.package.replace("-", "_")

    def fits(self, machine: str, python: Version, glibc: Version | None) -> bool:
        """Whether there is a wheel that such a board can use; `glibc` None: its C library is another."""
        least = self.machines.get(machine)
        first, last = self.pythons
        return least is not None and glibc is not None and least <= glibc and first <= python <= last


# In order of preference: litert runs models two to four times as fast. Of tflite-runtime every release that has wheels
# for a Python or a glibc that the newer ones have none for.
RUNTIMES = (
    Runtime(
        "litert", "ai-edge-litert", "2.3.0", {"aarch64": (2, 27), "x86_64": (2, 27)}, ((3, 10), (3, 14)), ">=1.23.2"
    ),
    Runtime(
        "tflite",
        "tflite-runtime",
        "2.14.0",
        {"aarch64": (2, 34), "armv7l": (2, 34), "x86_64": (2, 17)},
        ((3, 8), (3, 11)),
        "<2",
    ),
    Runtime("tflite", "tflite-runtime", "2.13.0", {"aarch64": (2, 17), "armv7l": (2, 17)}, ((3, 8), (3, 10)), "<2"),
    Runtime(
        "tflite",
        "tflite-runtime",
        "2.11.0",
        {"aarch64": (2, 17), "armv7l": (2, 17), "x86_64": (2, 17)},
        ((3, 7), (3, 9)),
        "<2",
    ),
)
NAMES = tuple(dict.fromkeys(runtime.name for runtime in RUNTIMES))
# numpy has no wheels for these: there it must be the system's own, and pip would compile it for hours.
WITHOUT_NUMPY_WHEELS = ("armv7l",)


def choose(machine: str, python: Version, glibc: Version | None, wanted: str | None = None) -> Runtime:
    """The best runtime for a board; `wanted` is the name of the only one to consider.

    `machine` is that of the programs on the board: a 64-bit kernel may run 32-bit ones. Raises RuntimeMissingError,
    whose message says what there is for such a machine, and ValueError for an unknown `wanted`.
    """
    if wanted is not None and wanted not in NAMES:
        raise ValueError(f"runtime {wanted!r} is not one of {', '.join(NAMES)}")
    fitting = [runtime for runtime in RUNTIMES if runtime.fits(machine, python, glibc)]
    for runtime in fitting:
        if wanted in (None, runtime.name):
            return runtime
    c_library = f"glibc {_text(glibc)}" if glibc else "a C library that is not glibc"
    board = f"no runtime{f' {wanted}' if wanted else ''} for {machine} with Python {_text(python)} and {c_library}"
    raise RuntimeMissingError(
        f"{board}: {_remedy(machine, fitting)}", machine=machine, python=_text(python), runtime=wanted
    )


def _remedy(machine: str, fitting: list[Runtime]) -> str:
    if fitting:
        return f"take --runtime {fitting[0].name}"
    known = [runtime for runtime in RUNTIMES if machine in runtime.machines]
    if not known:
        machines = sorted({machine for runtime in RUNTIMES for machine in runtime.machines})
        return f"there are some for {', '.join(machines)} only: install such a system if the processor can run it"
    each = ", ".join(
        f"{runtime.package} {runtime.version} needs Python {_text(runtime.pythons[0])} to {_text(runtime.pythons[1])} "
        f"and glibc {_text(runtime.machines[machine])}"
        for runtime in known
    )
    return f"{each}: install a Python or a system that fits, and name the Python by ?python=PATH"


def _text(version: Version) -> str:
    return ".".join(map(str, version))
