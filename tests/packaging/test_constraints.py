# SPDX-License-Identifier: Apache-2.0
"""The versions that CI tests: every package that edgenas brings is among them, and for every Python."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
_CONSTRAINTS = [
    Requirement(line) for line in (ROOT / ".ci/constraints.txt").read_text().splitlines() if not line.startswith("#")
]
_EXTRAS = ("search", "mcu", "ssh", "heic", "dev")
_CI_PYTHON = (3, 11)


def _applying(constraints: list[Requirement], environment: dict[str, str]) -> dict[str, Version]:
    """The version of each package that is wanted in `environment`."""
    found = {}
    for each in constraints:
        if each.marker is None or each.marker.evaluate(environment):
            name = canonicalize_name(each.name)
            assert name not in found, f"two versions of {name}"
            (specifier,) = each.specifier
            found[name] = Version(specifier.version)
    return found


def _brought() -> dict[str, Version]:
    """What is installed here of all that edgenas with its extras needs, directly or not."""
    found: dict[str, Version] = {}
    left: list[tuple[str, frozenset[str]]] = [("edgenas", frozenset(_EXTRAS))]
    while left:
        name, extras = left.pop()
        for wanted in _wanted(name, extras):
            key = canonicalize_name(wanted.name)
            if key in found and not wanted.extras:
                continue
            try:
                found[key] = Version(metadata.version(key))
            except metadata.PackageNotFoundError:
                continue
            left.append((key, frozenset(wanted.extras)))
    return found


def _wanted(name: str, extras: frozenset[str]) -> Iterator[Requirement]:
    for text in metadata.requires(name) or []:
        wanted = Requirement(text)
        if wanted.marker is None or any(wanted.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield wanted


def _missing(constraints: list[Requirement]) -> list[str]:
    known = _applying(constraints, dict(default_environment()))
    gpu = ("nvidia-", "cuda-", "triton")  # torch itself pins them
    return [name for name in _brought() if name not in known and not name.startswith(gpu)]


def test_every_package_that_is_brought_is_in_the_file() -> None:
    assert len(_brought()) > 50
    assert not _missing(_CONSTRAINTS)


def test_one_that_is_not_in_the_file_is_found() -> None:
    without = [each for each in _CONSTRAINTS if each.name != "markupsafe"]
    assert _missing(without) == ["markupsafe"], "brought by torch, by way of jinja2"


def test_what_ci_runs_with_are_the_versions_in_the_file() -> None:
    if sys.version_info[:2] != _CI_PYTHON:
        pytest.skip("CI's Python is 3.11: for others the file says what a resolver found")
    here = _brought()
    applying = [each for each in _CONSTRAINTS if each.marker is None or each.marker.evaluate()]
    known = {canonicalize_name(each.name): each.specifier for each in applying}
    assert not {name: version for name, version in here.items() if name in known and version not in known[name]}


@pytest.mark.parametrize("minor", range(10, 15))
def test_lower_bounds_and_versions_go_together_on_every_python(minor: int) -> None:
    here = {"python_version": f"3.{minor}", "python_full_version": f"3.{minor}.5"}
    known = _applying(_CONSTRAINTS, {**dict(default_environment()), **here})
    for text in metadata.requires("edgenas") or []:
        wanted = Requirement(text)
        extras = [
            each for each in ("", *_EXTRAS) if wanted.marker is None or wanted.marker.evaluate({**here, "extra": each})
        ]
        if extras:
            assert known[canonicalize_name(wanted.name)] in wanted.specifier, text
