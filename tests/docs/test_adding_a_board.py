# SPDX-License-Identifier: Apache-2.0
"""docs/adding-a-board.md, followed step by step: its file, then its commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.docs.pages import ROOT, Page
from helpers.docs.runs import run, variables_of

_PAGE = Page(ROOT / "docs" / "adding-a-board.md")


@pytest.mark.slow
def test_the_page_makes_a_board(tmp_path: Path) -> None:
    pytest.importorskip("unicorn", reason="the page's board is emulated by unicorn, which is not installed")
    variables, folder = variables_of(tmp_path), tmp_path / "folder"
    folder.mkdir()
    (file,) = (block.body for block in _PAGE.blocks() if block.language == "toml")
    (folder / "board.toml").write_text(file, encoding="utf-8")
    for block in _PAGE.blocks():
        for line in block.commands():
            run(["bash", "-euc", line], folder, variables)
    listed = {board["id"]: board for board in json.loads((folder / "boards.json").read_text())["boards"]}
    assert listed["lab-m7"]["limits"] == {"ram_bytes": 262_144, "flash_bytes": 524_288}
    assert listed["lab-m7"]["verified"] == "emulated only"
    (profile,) = (tmp_path / "home" / "profiles").glob("lab-m7+*.json")
    assert json.loads(profile.read_text())["measurements"] > 0
