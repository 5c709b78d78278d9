# SPDX-License-Identifier: Apache-2.0
"""Write the lists of packages with their versions and hashes: what edgenas installs by itself, and what CI tests.

    .venv/bin/python .ci/lock.py             the converter's list and the boards', or:  make locks
    .venv/bin/python .ci/lock.py constraints .ci/constraints.txt, of this environment's versions; needs the program uv

Versions of the converter are those in its list; change one there and run this. The boards get the newest version that
has a wheel for the machine, the Python and the oldest glibc of the row, but none newer than CI tests. Hashes come from
the package index that pip is set up to use.
"""

from __future__ import annotations

import json
import re
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import Request, urlopen

from packaging.requirements import Requirement
from packaging.tags import Tag, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

from firmware_tools.linux import runtimes

ROOT = Path(__file__).resolve().parents[1]
CONVERTER = ROOT / "edgenas/conversion/converter.lock"
CONSTRAINTS = ROOT / ".ci/constraints.txt"
CONVERTER_PYTHONS = tuple((3, minor) for minor in range(10, 15))
# What each runtime's package says that it needs, or does not say; on a machine without wheels of numpy the system's is
# used. A test compares it with the package.
LITERT_NEEDS = ("backports.strenum", "flatbuffers", "ml-dtypes", "numpy", "protobuf", "tqdm", "typing-extensions")
NEEDS = {"ai-edge-litert": LITERT_NEEDS, "tflite-runtime": ("numpy",)}
# The newest that runs with the oldest Python of a board. It loads wheels only: what later versions mended in its
# unpacking of source archives is not used.
PIP = "24.0"
# Packages that come with a torch of a distribution or of PyTorch's own index, in versions of their own: there the
# constraint is the newest, and an older one that is there stays.
WITH_TORCH = {"filelock", "fsspec", "jinja2", "markupsafe", "mpmath", "networkx", "numpy", "setuptools", "sympy"}
WITH_TORCH |= {"torch", "typing-extensions"}
EXTRAS = ("search", "mcu", "ssh", "heic", "dev")
TAGS = "# wheel "
HEADER = """\
# The versions that CI's tests ran with, for pip's option --constraint; made by .ci/lock.py, not by hand.
# Lines for a Python other than CI's (3.11) are what a resolver found for it: not tested by CI.
# <= : comes with a distribution's torch, too, in a version of its own. Torch itself pins its libraries for GPUs.
"""


class File(NamedTuple):
    """A wheel on the index; `tag` as in its file's name, `tags` all that this stands for."""

    version: Version
    tag: str
    tags: frozenset[Tag]
    requires_python: str
    sha256: str


def main() -> None:
    """Write what the command line asks for."""
    if sys.argv[1:] == ["constraints"]:
        CONSTRAINTS.write_text(HEADER + "".join(sorted(_constraints())), encoding="utf-8")
        return
    CONVERTER.write_text(_converter(CONVERTER.read_text(encoding="utf-8")), encoding="utf-8")
    folder = runtimes.PIP_LOCK.parent
    for old in folder.glob("*.lock"):
        old.unlink()
    runtimes.PIP_LOCK.write_text(_line(f"pip=={PIP}", _wheels("pip", PIP)), encoding="utf-8")
    for runtime in runtimes.RUNTIMES:
        for machine, python in runtime.rows():
            path = runtime.lock(machine, python)
            path.write_text("".join(_board(runtime, machine, python)), encoding="utf-8")
            print(path.relative_to(ROOT))


def _converter(before: str) -> str:
    """The list `before` with the hashes of all wheels of its versions, for whatever platform."""
    lines = []
    for line in before.splitlines():
        if line.startswith("#"):
            lines.extend([] if line.startswith(TAGS) else [f"{line}\n"])
        elif not line.startswith(" "):
            wanted = line.removesuffix("\\").strip()
            lines.append(_line(wanted, list(_converter_wheels(Requirement(wanted)))))
    return "".join(lines)


def _converter_wheels(wanted: Requirement) -> Iterator[File]:
    (version,) = (specifier.version for specifier in wanted.specifier)
    for file in _wheels(wanted.name, version):
        for python in CONVERTER_PYTHONS:
            marker = {"python_version": ".".join(map(str, python))}
            if (wanted.marker is None or wanted.marker.evaluate(marker)) and _for_python(file, python):
                yield file
                break


def _for_python(file: File, python: tuple[int, int]) -> bool:
    """Whether the wheel is one for that CPython, with or without its global lock, on any platform."""
    platforms = sorted({tag.platform for tag in file.tags})
    digits = "".join(map(str, python))
    known = {*cpython_tags(python, [f"cp{digits}", f"cp{digits}t"], platforms)}
    known |= {Tag(f"py{major}", "none", platform) for major in (2, 3) for platform in platforms}
    return bool(file.tags & known)


def _board(runtime: runtimes.Runtime, machine: str, python: tuple[int, int]) -> Iterator[str]:
    text = ".".join(map(str, python))
    yield f"# {runtime.package} {runtime.version} for {machine}, Python {text}; made by .ci/lock.py\n"
    tags = frozenset(_tags(machine, python, runtime.machines[machine]))
    every = frozenset(_tags(machine, python, (2, 99)))
    wanted = [f"{runtime.package}=={runtime.version}", *NEEDS[runtime.package]]
    for text in wanted:
        name = Requirement(text).name
        if name == "numpy" and machine in runtimes.WITHOUT_NUMPY_WHEELS:
            continue
        bound = runtime.numpy if name == "numpy" else str(Requirement(text).specifier)
        version = _newest(name, bound, tags, python)
        files = [file for file in _files(name) if file.version == version and file.tags & every]
        yield _line(f"{name}=={version}", files)


def _tags(machine: str, python: tuple[int, int], glibc: tuple[int, int]) -> Iterator[Tag]:
    """What pip takes on such a board."""
    digits = "".join(map(str, python))
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(5, glibc[1] + 1)]
    platforms += [f"manylinux{name}_{machine}" for name in ("1", "2010", "2014")] + [f"linux_{machine}"]
    yield from cpython_tags(python, [f"cp{digits}m" if python < (3, 8) else f"cp{digits}"], platforms)
    yield from (Tag(f"py{major}", "none", "any") for major in (2, 3))


def _newest(name: str, bound: str, tags: frozenset[Tag], python: tuple[int, int]) -> Version:
    allowed = Requirement(f"{name}{bound}").specifier
    tested = max((version for version in _tested().get(canonicalize_name(name), ())), default=None)
    fitting = {
        file.version
        for file in _files(name)
        if file.tags & tags
        and file.version in allowed
        and (tested is None or file.version <= tested)
        and not file.version.is_prerelease
        and Requirement(f"python{file.requires_python}").specifier.contains(f"{python[0]}.{python[1]}.99")
    }
    if not fitting:
        raise SystemExit(f"lock: no wheel of {name}{bound} for {sorted(map(str, tags))[0]}")
    return max(fitting)


@cache
def _tested() -> dict[str, list[Version]]:
    """The versions in .ci/constraints.txt, of each package."""
    found: dict[str, list[Version]] = {}
    for line in CONSTRAINTS.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            requirement = Requirement(line)
            versions = [Version(specifier.version) for specifier in requirement.specifier]
            found.setdefault(canonicalize_name(requirement.name), []).extend(versions)
    return found


def _wheels(name: str, version: str) -> list[File]:
    return [file for file in _files(name) if file.version == Version(version)]


def _line(wanted: str, files: list[File]) -> str:
    """The requirement with its hashes, below what each of them is for, in the same order."""
    if not files:
        raise SystemExit(f"lock: the index has no wheel of {wanted}")
    files = sorted(files, key=lambda file: file.tag)
    tags = "".join(f"{TAGS}{file.tag}\n" for file in files)
    return tags + " \\\n    ".join([wanted, *(f"--hash=sha256:{file.sha256}" for file in files)]) + "\n"


@cache
def _files(name: str) -> list[File]:
    address = f"{_index()}/{canonicalize_name(name)}/"
    request = Request(address, headers={"Accept": "application/vnd.pypi.simple.v1+json"})
    with urlopen(request, context=ssl.create_default_context(), timeout=60) as answer:
        page: dict[str, Any] = json.load(answer)
    found = []
    for file in page["files"]:
        try:
            _, version, _, tags = parse_wheel_filename(file["filename"])
        except ValueError:  # a source archive, or a name that pip does not take either
            continue
        if not file.get("yanked"):
            tag = "-".join(file["filename"].removesuffix(".whl").split("-")[-3:])
            found.append(File(version, tag, tags, file.get("requires-python") or "", file["hashes"]["sha256"]))
    return found


@cache
def _index() -> str:
    """The index that pip is set up to use; its help tells, the configuration and the environment included."""
    command = [sys.executable, "-m", "pip", "install", "--help"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"-i, --index-url .*?\(default\s+(.*?)\)", said, re.DOTALL)
    assert found is not None
    return "".join(found[1].split()).rstrip("/")


def _constraints() -> Iterator[str]:
    """The resolution for all Pythons, with the versions of this environment wherever they fit."""
    uv = shutil.which("uv")
    if uv is None:
        raise SystemExit("lock: the program uv resolves them: pip install uv, in an environment of its own")
    freeze = [sys.executable, "-m", "pip", "freeze", "--exclude-editable"]
    here = subprocess.run(freeze, check=True, capture_output=True, text=True).stdout
    torch = re.search(r"(?m)^version=(.*)$", (ROOT / ".ci/install-torch").read_text(encoding="utf-8"))
    assert torch is not None
    # This computer's build of torch (torch @ file:..., 2.13.0+cpu) is no version of the index.
    here = re.sub(r"(?m)^torch\b.*$", f"torch=={torch[1]}", here)
    preferred = CONSTRAINTS.with_suffix(".part")  # uv keeps to versions that its output file has
    preferred.write_text(here, encoding="utf-8")
    extras = [word for extra in EXTRAS for word in ("--extra", extra)]
    command = [uv, "pip", "compile", "--quiet", "--universal", "--python-version=3.10", "--no-annotate", "--no-header"]
    command += ["--default-index", _index(), *extras, f"--output-file={preferred}", str(ROOT / "pyproject.toml")]
    subprocess.run(command, check=True, cwd=ROOT)
    lines = preferred.read_text(encoding="utf-8").splitlines()
    preferred.unlink()
    for line in lines:
        name = canonicalize_name(Requirement(line).name)
        if not re.match(r"(triton$|nvidia-|cuda-)", name):
            yield f"{line.replace('==', '<=', 1) if name in WITH_TORCH else line}\n"


if __name__ == "__main__":
    main()
