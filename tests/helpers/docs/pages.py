# SPDX-License-Identifier: Apache-2.0
"""The pages that people read: their fenced blocks, the commands in these, and their links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[3]
RUN = "<!-- run -->"
_FENCE = re.compile(r"^(?P<before>[^\n]*)\n```(?P<language>\w+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)


class Block(NamedTuple):
    """A fenced block; `run` says that the line before it asks for it to be executed."""

    language: str
    body: str
    run: bool

    def commands(self) -> list[str]:
        """What follows a prompt; the other lines are output."""
        return [line[2:] for line in self.body.splitlines() if line.startswith("$ ")]


@dataclass(frozen=True)
class Page:
    """One Markdown file of the checkout."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def prose(self) -> str:
        """The text without its fenced blocks."""
        return _FENCE.sub("", self.text)

    def blocks(self) -> list[Block]:
        return [Block(m["language"], m["body"], m["before"].strip() == RUN) for m in _FENCE.finditer(self.text)]

    def command_lines(self) -> Iterator[str]:
        """Every `edgenas ...` of a console block or between backticks, and those in comments beside the prompts."""
        lines = [line for block in self.blocks() if block.language == "console" for line in block.commands()]
        for line in [*lines, *_SPAN.findall(self.prose)]:
            for part in line.split("#"):
                if part.strip().startswith("edgenas "):
                    yield part.strip()

    def links(self) -> list[str]:
        """The targets of its links, in order."""
        return _LINK.findall(_SPAN.sub("", self.prose))

    def anchors(self) -> set[str]:
        """What a link may name behind `#`: the headings, as code hosts spell them."""
        kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(self.prose))
        return {heading.replace(" ", "-") for heading in kept}


README = Page(ROOT / "README.md")


def guides() -> list[Page]:
    """README and docs/, which are checked line by line and run where they say so; in the order of their names."""
    return [README, *(Page(path) for path in sorted((ROOT / "docs").glob("*.md")))]


def everything() -> list[Page]:
    """The guides and the pages beside the code that they describe."""
    beside = [path for folder in ("firmware_tools", "edgenas") for path in sorted((ROOT / folder).rglob("*.md"))]
    own = [ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")]
    return [*guides(), *(Page(path) for path in [*own, *beside])]
