# SPDX-License-Identifier: Apache-2.0
"""A package index, as a folder, whose wheels have the names and versions that a list wants, and other contents."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable
from pathlib import Path

_IN_LIST = re.compile(r"^([\w.-]+)==([\w.]+)", re.MULTILINE)


def foreign_index(folder: Path, lists: Iterable[Path], ran: Path) -> dict[str, str]:
    """Variables for pip to look there and nowhere else. What is imported of these packages creates the file `ran`."""
    for path in lists:
        for name, version in _IN_LIST.findall(path.read_text()):
            _wheel(folder / re.sub(r"[-_.]+", "-", name).lower(), name, version, ran)
    return {
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_FIND_LINKS": "",
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_INDEX_URL": folder.as_uri(),
    }


def _wheel(folder: Path, name: str, version: str, ran: Path) -> None:
    module = re.sub(r"[-.]+", "_", name)
    info = f"{module}-{version}.dist-info"
    files = {
        f"{module}/__init__.py": f"open({str(ran)!r}, 'w').close()\n",
        f"{module}/interpreter.py": "class Interpreter:\n    def __init__(self, **_): pass\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as opened:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            opened.writestr(path, text)
    links = "".join(f'<a href="{path.name}">{path.name}</a>\n' for path in sorted(folder.glob("*.whl")))
    (folder / "index.html").write_text(links)
