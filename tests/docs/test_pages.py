# SPDX-License-Identifier: Apache-2.0
"""README and docs/: links, fences, every command known to the program, and the marked blocks executed in order."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from helpers.docs import pages
from helpers.docs.pages import Page
from helpers.docs.runs import PROGRAM, run, variables_of

import edgenas

_LANGUAGES = {"console", "python", "toml", "text", "mermaid", "c"}
_MOST_README_LINES = 120
_LINES = sorted({(page.name, line) for page in pages.guides() for line in page.command_lines()})


def test_readme_is_short_and_leads_to_every_guide() -> None:
    assert len(pages.README.text.splitlines()) <= _MOST_README_LINES
    assert {page.name for page in pages.guides()[1:]} <= set(pages.README.links())


@pytest.mark.parametrize("page", pages.everything(), ids=lambda page: page.name)
def test_links_lead_somewhere(page: Page) -> None:
    assert [link for link in page.links() if not _leads_somewhere(page, link)] == []


def _leads_somewhere(page: Page, link: str) -> bool:
    if re.match(r"https?:|mailto:", link):
        return True  # the network is none of the tests' business
    target, _, anchor = link.partition("#")
    path = (page.path.parent / target).resolve() if target else page.path
    return path.exists() and (not anchor or anchor in Page(path).anchors())


@pytest.mark.parametrize("page", pages.guides(), ids=lambda page: page.name)
def test_every_fence_is_closed_and_of_a_known_language(page: Page) -> None:
    fences = re.findall(r"^ *```(.*)$", page.text, re.MULTILINE)
    assert len(fences) == 2 * len(page.blocks())
    assert {block.language for block in page.blocks()} <= _LANGUAGES
    assert sum(block.run for block in page.blocks()) == page.text.count(pages.RUN)


@pytest.mark.parametrize(("page", "line"), _LINES)
def test_the_program_knows_the_command(page: str, line: str) -> None:
    words = [word for word in shlex.split(line, comments=True) if word not in (">", "...")]
    if words[1].startswith("-"):
        assert _options() >= {words[1]}
        return
    nested = words[1] in ("board", "profile") and words[2:] and not words[2].startswith("-")  # as edgenas board prepare
    command = words[1 : 3 if nested else 2]
    known = _options(*command)
    for word in words[2:]:
        if word.startswith("--"):
            assert word.partition("=")[0] in known, (
                f"edgenas {' '.join(command)} has no option {word}, which {page} names"
            )


def test_make_targets_exist() -> None:
    rules = re.findall(r"^([\w-]+):", (pages.ROOT / "Makefile").read_text(), re.MULTILINE)
    named = re.findall(r"(?:^\$ |`|/python )make ([\w-]+)", _everything(), re.MULTILINE)
    assert {"demo", "setup", "test"} <= set(named) <= set(rules)


def test_named_functions_exist() -> None:
    named = set(re.findall(r"\bedgenas\.(\w+)\(", _everything()))
    assert {"deploy", "measure"} <= named <= set(edgenas.__all__)


def _everything() -> str:
    return "\n".join(page.text for page in pages.guides())


@pytest.mark.slow
def test_the_marked_blocks_run_in_order(tmp_path: Path) -> None:
    variables = variables_of(tmp_path)
    folder = tmp_path / "folder"
    folder.mkdir()
    # What a reader's first deploy does in a minute; here as short as it can be.
    run(["edgenas", "profile", "--minutes", "0.02", "--input-shape", "1x8x8"], folder, variables)
    for block in [block for page in pages.guides() for block in page.blocks() if block.run]:
        if block.language == "python":
            script = folder / "snippet.py"
            script.write_text(block.body, encoding="utf-8")
            run([sys.executable, "-W", "error", str(script)], folder, variables)
        for line in block.commands():
            run(["bash", "-euc", line], folder, variables)
    assert (folder / "measured.json").stat().st_size > 0


@cache
def _options(*command: str) -> frozenset[str]:
    """The long options that `edgenas COMMAND --help` lists."""
    done = subprocess.run([str(PROGRAM), *command, "--help"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"edgenas has no command {' '.join(command)}"
    return frozenset(re.findall(r"^\s+(?:-\w, )?(--[\w-]+)", done.stdout, re.MULTILINE))
