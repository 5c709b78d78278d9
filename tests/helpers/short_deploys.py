# SPDX-License-Identifier: Apache-2.0
"""What makes a deploy short whose search and figures are not what is tested: homes and a space of the tests' own."""

from __future__ import annotations

import re
from pathlib import Path

from edgenas import resources

SMALL = str(Path(__file__).with_name("small.toml"))  # a search space of eight architectures: the search soon ends
_BOARDS = ("host", "linux-x86_64", "linux-aarch64")
_CONVERTER = resources.home() / "converter"  # the user's own, asked for before a test gives itself another home


def make_home(path: Path) -> Path:
    """An empty user's folder, but for the converter, which takes a minute to install, and boards of the user's own.

    They are the shipped ones, timed in two fresh processes: in five of them a deploy spends half of its time.
    """
    path.mkdir()
    _CONVERTER.mkdir(parents=True, exist_ok=True)
    (path / "converter").symlink_to(_CONVERTER)
    for name in _BOARDS:
        shipped = (resources.shipped("boards") / name / "board.toml").read_text(encoding="utf-8")
        board = path / "boards" / name / "board.toml"
        board.parent.mkdir(parents=True)
        board.write_text(re.sub(r"(?m)^processes = 5$", "processes = 2", shipped), encoding="utf-8")
    return path
