# SPDX-License-Identifier: Apache-2.0
"""Text from others (boards, files, servers, programs) made safe to print.

A terminal obeys control characters: they move the cursor, erase what stands there, set its title, reverse the order of
letters or hide them. `plain` makes them visible; whatever prints, logs, draws or asks calls it.
"""

from __future__ import annotations

import re
import unicodedata

_ACTING = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # controls, format characters, lone surrogates, line and paragraph separators
_JOINERS = "\u200c\u200d"  # shape emoji and the letters of some scripts; anywhere else they hide
_JOINED = "LMS"  # letters, marks and symbols
_TAGS = range(0xE0000, 0xE0080)  # invisible copies of ASCII; some are in no category
_COLOURS = re.compile(r"\x1b\[[0-9;:]*m|\x1b\[[0-2]?K|\x1b\(B")  # colours, and the rest of a line erased
_BEGUN = re.compile(r"\x1b(\[[0-9;:]{0,24}|\()?\Z")


def plain(text: str, keep: str = "") -> str:
    r"""`text` with every character that acts or hides as a visible escape (`\x1b`, `\u202e`), on one line.

    Letters, symbols and spaces of all scripts stay as they are, also joined emoji. `keep` are control characters that
    our own layout needs, "\n" for a text of several lines. Applied again it changes nothing.
    """
    if text.isprintable():
        return text
    shown = (
        letter if letter.isprintable() or letter in keep or not _acts(text, at) else _escape(letter)
        for at, letter in enumerate(text)
    )
    return "".join(shown)


def colourless(text: str) -> str:
    """`text` without the sequences by which programs colour what they print; all others stay."""
    return _COLOURS.sub("", text)


def begun(text: str) -> int:
    """How many characters at the end of `text` may begin a sequence that `colourless` removes."""
    found = _BEGUN.search(text)
    return len(text) - found.start() if found else 0


def _acts(text: str, at: int) -> bool:
    letter = text[at]
    if letter in _JOINERS:
        return not (0 < at < len(text) - 1 and _is_joined(text[at - 1]) and _is_joined(text[at + 1]))
    return unicodedata.category(letter) in _ACTING or ord(letter) in _TAGS


def _is_joined(letter: str) -> bool:
    return not letter.isascii() and unicodedata.category(letter)[0] in _JOINED


def _escape(letter: str) -> str:
    return ascii(letter)[1:-1]
