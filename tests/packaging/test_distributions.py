# SPDX-License-Identifier: Apache-2.0
"""What the sdist and the wheel hold, and that every import is a declared dependency."""

from __future__ import annotations

import ast
import re
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

import edgenas
from edgenas import resources
from firmware_tools.linux.runtimes import PIP_LOCK

if TYPE_CHECKING:
    from helpers.packaging.installed import Distributions

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("edgenas", "firmware_tools")
# Imported only where they happen to be: the converter's own environment and the runtimes of a board.
ELSEWHERE = {"onnx2tf", "tensorflow", "tflite_runtime"}
LIGHT = {"numpy", "pyserial", "rich", "tomli", "typer"}


@pytest.fixture(scope="module")
def sdist(distributions: Distributions) -> set[str]:
    with tarfile.open(distributions.sdist) as file:
        return {member.name.partition("/")[2] for member in file.getmembers() if member.isfile()}


@pytest.fixture(scope="module")
def wheel(distributions: Distributions) -> set[str]:
    with zipfile.ZipFile(distributions.wheel) as file:
        return set(file.namelist())


@pytest.fixture(scope="module")
def described(distributions: Distributions) -> Message:
    with zipfile.ZipFile(distributions.wheel) as file:
        (name,) = (name for name in file.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_bytes(file.read(name))


def test_sdist_holds_what_a_build_and_the_tests_need(sdist: set[str]) -> None:
    wanted = ["LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml", "Makefile", ".ci/run", ".ci/choose-python"]
    wanted += ["CONTRIBUTING.md", "docs/architecture.md", ".pre-commit-config.yaml", ".ci/constraints.txt"]
    wanted += ["edgenas/conversion/converter.lock", "firmware_tools/linux/locks/pip.lock"]
    assert not [name for name in wanted if name not in sdist]
    assert _sources(PACKAGES) | _firmware() <= sdist
    assert {"boards/host/board.toml", "models/tiny.toml", "tests/packaging/test_distributions.py"} <= sdist


def test_sdist_holds_nothing_that_only_this_computer_has(sdist: set[str]) -> None:
    allowed = {"edgenas", "firmware_tools", "boards", "models", "tests", "benchmarks", "docs", ".ci"}
    folders = {PurePosixPath(name).parts[0] for name in sdist if "/" in name}
    assert folders <= allowed
    assert not [name for name in sdist if "__pycache__" in name or name.startswith((".venv", "runs/"))]


def test_wheel_holds_the_packages_and_their_data(wheel: set[str]) -> None:
    assert _sources(PACKAGES) | _firmware() <= wheel
    data = ["converter.lock", "py.typed", "_data/boards/host/board.toml", "_data/models/tiny.toml"]
    assert not [name for name in data if not any(path.startswith("edgenas/") and path.endswith(name) for path in wheel)]
    assert {"firmware_tools/py.typed", "firmware_tools/agent/parts/main.py"} <= wheel
    assert {path.relative_to(ROOT).as_posix() for path in PIP_LOCK.parent.iterdir()} <= wheel


def test_wheel_holds_every_shipped_board_and_space(wheel: set[str]) -> None:
    shipped = {path.relative_to(ROOT).as_posix() for name in ("boards", "models") for path in _files(ROOT / name)}
    assert shipped
    assert {f"edgenas/_data/{name}" for name in shipped} <= wheel


def test_wheel_holds_nothing_else(wheel: set[str]) -> None:
    tops = {PurePosixPath(name).parts[0] for name in wheel}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)


def test_metadata(described: Message) -> None:
    assert described["Name"] == "edgenas"
    assert described["Version"] == edgenas.__version__
    assert described["License-Expression"] == "Apache-2.0"
    assert described["License-File"] == "LICENSE"


def test_plain_install_is_light(described: Message) -> None:
    required = [text for text in described.get_all("Requires-Dist", []) if "extra ==" not in text]
    assert {_name(text) for text in required} == LIGHT


def test_every_import_is_a_declared_dependency(described: Message) -> None:
    extras = tuple(f"extra == {quote}{name}{quote}" for name in ("search", "mcu", "ssh", "heic") for quote in "'\"")
    required = described.get_all("Requires-Dist", [])
    declared = {_name(text) for text in required if "extra ==" not in text or text.endswith(extras)}
    distributions = metadata.packages_distributions()
    missing = {
        f"{path.relative_to(ROOT)} imports {module}"
        for path, module in _third_party()
        if not {_normal(name) for name in distributions.get(module, [])} & declared
    }
    assert not missing


def test_editable_install_takes_the_checkouts_data() -> None:
    if not Path(edgenas.__file__).is_relative_to(ROOT):
        pytest.skip("edgenas is not installed editable here")
    # The editable install leaves a copy of the data beside it, as old as the install: it must not be what is read.
    assert resources.shipped("boards") == ROOT / "boards"
    assert resources.shipped("models") == ROOT / "models"


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def _sources(folders: tuple[str, ...]) -> set[str]:
    return {path.relative_to(ROOT).as_posix() for name in folders for path in (ROOT / name).rglob("*.py")}


def _firmware() -> set[str]:
    """The images, what they were made of, and the pages about them."""
    folder = ROOT / "firmware_tools"
    found = {*folder.rglob("*.md"), *(path for path in _files(folder / "firmware") if "build" not in path.parts)}
    assert folder / "firmware" / "images" / "manifest.json" in found
    return {path.relative_to(ROOT).as_posix() for path in found}


def _third_party() -> Iterator[tuple[Path, str]]:
    for name in PACKAGES:
        for path in sorted((ROOT / name).rglob("*.py")):
            for node in _run(ast.parse(path.read_text(encoding="utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    names = [node.module]
                for module in {name.partition(".")[0] for name in names} - ELSEWHERE - {*PACKAGES}:
                    if module not in sys.stdlib_module_names and module != "tomli":
                        yield path, module


def _run(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but those below `if TYPE_CHECKING`, which only mypy reads."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        yield from _run(node)


def _name(requirement: str) -> str:
    return _normal(re.split(r"[^\w.-]", requirement, maxsplit=1)[0])


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
