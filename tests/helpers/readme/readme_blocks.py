"""The README's fenced blocks and the commands in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

README = Path(__file__).resolve().parents[3] / "README.md"
RUN = "<!-- run -->"
_FENCE = re.compile(r"^(?P<before>[^\n]*)\n```(?P<language>\w+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")


class Block(NamedTuple):
    """A fenced block; `run` says that the line before it asks for it to be executed."""

    language: str
    body: str
    run: bool

    def commands(self) -> list[str]:
        """What follows a prompt; the other lines are output."""
        return [line[2:] for line in self.body.splitlines() if line.startswith("$ ")]


def text() -> str:
    return README.read_text(encoding="utf-8")


def blocks() -> list[Block]:
    return [Block(m["language"], m["body"], m["before"].strip() == RUN) for m in _FENCE.finditer(text())]


def command_lines() -> Iterator[str]:
    """Every `edgenas ...` of a console block or between backticks, and what the comments beside the prompts call."""
    found = blocks()
    lines = [line for block in found if block.language == "console" for line in block.commands()]
    prose = _FENCE.sub("", text())
    for line in [*lines, *_SPAN.findall(prose)]:
        for part in line.split("#"):
            if part.strip().startswith("edgenas "):
                yield part.strip()
