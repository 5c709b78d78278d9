# SPDX-License-Identifier: Apache-2.0
"""Files, and what is packed in them, are read through what is bounded; what else reads is named here, with a reason."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted(path for folder in ("edgenas", "firmware_tools") for path in (ROOT / folder).rglob("*.py"))
READERS = {"read_text", "read_bytes"}
PARSERS = {("json", "load"), ("tomllib", "load"), ("tomllib", "loads"), ("tomli", "loads"), ("pickle", "load")}
UNPACKERS = {("np", "load"), ("np", "loadtxt"), ("np", "fromfile"), ("Image", "open"), ("gzip", "open")}
# File: what it may read as it does.
ALLOWED = {
    "firmware_tools/reading.py": "bounded: this is where files are read",
    "firmware_tools/agent/parts/runtimes/in_python.py": "runs on boards: what the agent has just received",
    "firmware_tools/agent/parts/runtimes/tensorrt.py": "runs on boards: what TensorRT has just written",
    "edgenas/archives.py": "bounded: this is where archives are read",
    "edgenas/tasks/images/npz.py": "checked by archives.py",
    "edgenas/tasks/arrays.py": "what this user's own process has just written into the home",
    "edgenas/tasks/images/built_in.py": "files of installed packages",
    "edgenas/tasks/images/decode.py": "images: their size is read first",
    "edgenas/artifacts/artifact.py": "golden vectors, checked by archives.py",
    "edgenas/conversion/process.py": "what the converter has just written into a folder of ours",
    "edgenas/conversion/environment.py": "the lock file of this package",
    "firmware_tools/linux/agent_file.py": "sources of this package",
    "firmware_tools/linux/known_hosts.py": "the user's own, which may be /dev/null",
    "firmware_tools/linux/wheels.py": "what pip has just written into a folder of ours",
    "firmware_tools/bootloader/uf2.py": "the kernel's list of mounts",
    "firmware_tools/mcu/unicorn_board.py": "an image that images.py has checked",
    "firmware_tools/mcu/unicorn_firmware.py": "an image that images.py has checked",
    "firmware_tools/plan/simulate.py": "sources of this package, and what the simulation has just written",
    "firmware_tools/firmware/size.py": "built from this package's sources, in a checkout",
    "firmware_tools/firmware/make_images.py": "built from this package's sources, in a checkout",
}


def _unbounded(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        of = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
        pair = (of, node.func.attr)
        if (node.func.attr in READERS and of != "reading") or pair in PARSERS | UNPACKERS:
            yield f"line {node.lineno}: {of}.{node.func.attr}"


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])
def test_files_are_read_where_that_is_bounded(path: Path) -> None:
    found, allowed = list(_unbounded(path)), str(path.relative_to(ROOT)) in ALLOWED
    assert allowed or found == [], f"{path}: {found}: read it by firmware_tools.reading or edgenas.archives"


def test_what_is_allowed_is_there_and_reads() -> None:
    bounded = {name for name, why in ALLOWED.items() if why.startswith("bounded")}
    assert {name for name in ALLOWED if list(_unbounded(ROOT / name))} >= ALLOWED.keys() - bounded
