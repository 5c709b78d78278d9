# SPDX-License-Identifier: Apache-2.0
"""The lists of what edgenas installs by itself: versions, hashes, and a wheel for every platform that is promised."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.tags import Tag, cpython_tags, parse_tag
from packaging.utils import canonicalize_name

from edgenas.conversion import environment
from firmware_tools.linux.runtimes import PIP_LOCK, RUNTIMES, WITHOUT_NUMPY_WHEELS, Runtime, Version

ROOT = Path(__file__).resolve().parents[2]
# Where the converter can be installed, all of its packages being there: the platforms of the runtime's wheels.
_PLATFORMS = {
    "Linux, x86-64": [f"manylinux_2_{minor}_x86_64" for minor in range(5, 29)] + ["manylinux2014_x86_64"],
    "Linux, ARM": [f"manylinux_2_{minor}_aarch64" for minor in range(17, 29)] + ["manylinux2014_aarch64"],
    "macOS": [
        f"macosx_{major}_{minor}_{kind}"
        for major in (10, 11, 12)
        for minor in range(17)
        for kind in ("arm64", "universal2")
    ],
    "Windows": ["win_amd64"],
}
_PYTHONS = [(3, minor) for minor in range(10, 15)]
_ENTRY = re.compile(
    r"(?P<wheels>(?:# wheel \S+\n)+)(?P<wanted>[^#\s][^\\\n]*?) *(?P<hashes>(?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n"
)
_ROWS = [(runtime, machine, python) for runtime in RUNTIMES for machine, python in runtime.rows()]


class Entry(NamedTuple):
    """One line of a list: the package, and what wheels its hashes are of."""

    wanted: Requirement
    tags: list[frozenset[Tag]]


def _entries(path: Path) -> list[Entry]:
    """All of a list, each pinned, with as many hashes as wheels, and nothing between them but comments."""
    text = path.read_text()
    rest = _ENTRY.sub("", text)
    assert not [line for line in rest.splitlines() if not line.startswith("#")], f"{path.name}: no hash, or no wheel"
    found = []
    for match in _ENTRY.finditer(text):
        wheels = [line.removeprefix("# wheel ") for line in match["wheels"].splitlines()]
        hashes = re.findall(r"[0-9a-f]{64}", match["hashes"])
        assert len(wheels) == len(hashes) == len(set(hashes)), match["wanted"]
        wanted = Requirement(match["wanted"])
        assert [specifier.operator for specifier in wanted.specifier] == ["=="], wanted
        found.append(Entry(wanted, [parse_tag(wheel) for wheel in wheels]))
    return found


def _takes(python: Version, platforms: list[str]) -> set[Tag]:
    """The tags that pip of such a computer takes."""
    digits = "".join(map(str, python))
    abi = f"cp{digits}m" if python < (3, 8) else f"cp{digits}"
    known = set(cpython_tags(python, [abi], platforms))
    return known | {Tag(f"py{major}", "none", "any") for major in (2, 3)}


@pytest.mark.parametrize("platform", _PLATFORMS)
@pytest.mark.parametrize("python", _PYTHONS)
def test_converters_list_has_a_wheel_of_every_package(python: Version, platform: str) -> None:
    known = _takes(python, _PLATFORMS[platform])
    marker = {"python_version": ".".join(map(str, python))}
    applying = [
        each for each in _entries(environment.LOCK) if not each.wanted.marker or each.wanted.marker.evaluate(marker)
    ]
    names = [each.wanted.name for each in applying]
    assert {"onnx2tf", "numpy"} <= set(names)
    assert len(names) == len(set(names))
    assert not [each.wanted for each in applying if not any(tags & known for tags in each.tags)]


@pytest.mark.parametrize(("runtime", "machine", "python"), _ROWS)
def test_every_board_has_a_list_whose_wheels_it_can_load(runtime: Runtime, machine: str, python: Version) -> None:
    entries = _entries(runtime.lock(machine, python))
    glibc = runtime.machines[machine][1]
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(5, glibc + 1)]
    known = _takes(python, [*platforms, *(f"manylinux{name}_{machine}" for name in ("1", "2010", "2014"))])
    assert str(entries[0].wanted) == f"{runtime.package}=={runtime.version}"
    assert not [each.wanted for each in entries if not any(tags & known for tags in each.tags)]
    names = [each.wanted.name for each in entries]
    assert ("numpy" in names) == (machine not in WITHOUT_NUMPY_WHEELS)
    bound = Requirement(f"numpy{runtime.numpy}").specifier
    for each in entries:
        if each.wanted.name == "numpy":
            assert [specifier for specifier in each.wanted.specifier if specifier.version in bound]


def test_boards_get_all_that_the_runtime_needs() -> None:
    try:
        declared = metadata.requires("ai-edge-litert") or []
    except metadata.PackageNotFoundError:
        pytest.skip("needs pip install ai-edge-litert")
    litert = RUNTIMES[0]
    assert metadata.version("ai-edge-litert") == litert.version
    needed = {canonicalize_name(Requirement(text).name) for text in declared if "extra ==" not in text}
    for machine, python in litert.rows():
        listed = {canonicalize_name(each.wanted.name) for each in _entries(litert.lock(machine, python))}
        assert listed == {"ai-edge-litert", *needed}


def test_lists_of_boards_are_those_of_the_table() -> None:
    wanted = {runtime.lock(machine, python) for runtime, machine, python in _ROWS}
    assert set(PIP_LOCK.parent.iterdir()) == {*wanted, PIP_LOCK}
    (pip,) = _entries(PIP_LOCK)
    assert pip.wanted.name == "pip"


def test_no_list_or_script_names_an_index() -> None:
    paths = [environment.LOCK, *PIP_LOCK.parent.iterdir(), *(ROOT / ".ci").iterdir()]
    assert not [path for path in paths if "://" in path.read_text()]


def test_pip_is_never_renewed_but_by_a_list() -> None:
    """Nothing installs the newest pip, or the newest of anything else, that there happens to be."""
    sources = [ROOT / "Makefile", *(ROOT / ".ci").iterdir(), *(ROOT / "edgenas").rglob("*.py")]
    sources += (ROOT / "firmware_tools").rglob("*.py")
    upgrades = re.compile(r"install[^#\n]*(--upgrade|-U)\b(?!.*PIP_LOCK)|--upgrade\b(?!.*(PIP_LOCK|--default-pip))")
    assert not [path for path in sources if upgrades.search(path.read_text())]
