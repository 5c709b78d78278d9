# SPDX-License-Identifier: Apache-2.0
"""What other programs say when they fail, made short enough for one line of ours."""

from __future__ import annotations

import re

from firmware_tools.plain_text import colourless, plain

MOST = 90  # characters; our own words before and after it, about as many, keep a message under 200
_ERROR = re.compile(r"\b(error|fatal)\b", re.IGNORECASE)
_SOURCE = re.compile(r"(?:[\w.+-]+/)+(?=[\w.+-]+\.(?:cc|cpp|c|h|py):\d)")  # the folders of a source file
_GLUED = re.compile(r"(?<=[a-z0-9)\]]\.)(?=[A-Z])")  # sentences without a space between them
_ALIKE = 20  # characters with which a complaint begins again for the next tensor, operator or file


def telling(text: str, most: int = MOST) -> str:
    """The line of `text` that says what went wrong, in at most `most` characters and a count of complaints left out.

    The last line that speaks of an error, else the last one; of complaints that are repeated in it, alike but for
    numbers, the first. "" if there is no text.
    """
    # Carriage returns are how a program overwrites its own progress.
    lines = [plain(" ".join(line.split())) for line in colourless(text).replace("\r", "\n").splitlines()]
    lines = [line for line in lines if line]
    if not lines:
        return ""
    line = next((line for line in reversed(lines) if _ERROR.search(line)), lines[-1])
    first, more = _first_of_alike(_SOURCE.sub("", line))
    short = _cut(_GLUED.sub(" ", first).rstrip(".:;, "), most)
    return f"{short} (and {more} more)" if more else short


def _first_of_alike(line: str) -> tuple[str, int]:
    alike = re.sub(r"\d", "0", line)
    start = alike[:_ALIKE]
    second = alike.find(start, _ALIKE)
    return (line, 0) if len(line) < _ALIKE or second < 0 else (line[:second], alike.count(start) - 1)


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    words = text[: most - 3].rpartition(" ")[0]
    return f"{words if len(words) > most // 2 else text[: most - 3]}..."
