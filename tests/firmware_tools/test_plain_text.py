# SPDX-License-Identifier: Apache-2.0
"""Text from others: what acts on a terminal or hides is made visible, all else stays."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_tools.foreign_text import telling
from firmware_tools.plain_text import begun, colourless, plain

# hypothesis leaves surrogates out by itself
_ANY = st.text(st.one_of(st.characters(), st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp"])))
_TAGS = [chr(number) for number in range(0xE0000, 0xE0080)]
_HONEST = st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"], exclude_characters=_TAGS)
_ZWJ = "\u200d"
_JOINED = f"\U0001f469{_ZWJ}\U0001f4bb \u2764\ufe0f{_ZWJ}\U0001f525 می\u200cخواهم"


def _acts(letter: str) -> bool:
    return unicodedata.category(letter) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and letter not in "\u200c\u200d"


@given(_ANY)
def test_nothing_that_acts_is_left_and_twice_is_once(text: str) -> None:
    shown = plain(text)
    assert not any(map(_acts, shown))
    assert plain(shown) == shown
    assert len(shown.splitlines()) <= 1
    shown.encode()
    assert not any(map(_acts, telling(text)))


@given(st.text(_HONEST))
def test_letters_of_all_scripts_stay_as_they_are(text: str) -> None:
    assert plain(text) == text


@given(_ANY, st.sampled_from(["\n", "\n\t", "\n\r\t"]))
def test_a_layout_of_our_own_is_kept(text: str, keep: str) -> None:
    shown = plain(text, keep)
    assert [shown.count(letter) for letter in keep] == [text.count(letter) for letter in keep]
    assert plain(shown) == plain(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b2J\x85\x7f\b\r\n\t\0", r"\x9b2J\x85\x7f\x08\r\n\t\x00"),
        ("a\u202etxt.exe\u2069\u200f\u061c", r"a\u202etxt.exe\u2069\u200f\u061c"),
        ("\u200b\ufeff\u2060\u00ad\u2028\u2029", r"\u200b\ufeff\u2060\xad\u2028\u2029"),
        ("\ud800\udcff", r"\ud800\udcff"),
        ("\U000e0001\U000e0041\U000e0002", r"\U000e0001\U000e0041\U000e0002"),
        (f"{_ZWJ}a{_ZWJ}b\u200c", r"\u200da\u200db\u200c"),
        (f"\u202e{_ZWJ}\u4e2d{_ZWJ}{_ZWJ}\u4e2d", "\\u202e\\u200d\u4e2d\\u200d\\u200d\u4e2d"),
        ("Grün, 数字, עברית, हिन्दी\u3000\u00a0C:\\x1b", "Grün, 数字, עברית, हिन्दी\u3000\u00a0C:\\x1b"),
        (_JOINED, _JOINED),
    ],
)  # fmt: skip
def test_what_is_shown(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_colours_of_programs_are_left_out_and_nothing_else() -> None:
    assert colourless("\x1b[1;32mok\x1b[0m \x1b[Kend\x1b(B") == "ok end"
    assert colourless("\x1b[2J\x1b]0;x\x07\x1b[?25l") == "\x1b[2J\x1b]0;x\x07\x1b[?25l"
    assert [begun(text) for text in ("", "a", "a\x1b", "\x1b[", "a\x1b[38;5", "\x1b[2J", "\x1b" * 3)] == [
        *(0, 0, 1, 2, 6, 0, 1),
    ]
    assert begun("\x1b[" + "1" * 1000) == 0  # nothing is held back for ever
