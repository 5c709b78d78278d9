# SPDX-License-Identifier: Apache-2.0
"""Passwords that somebody wrote into a URL, or what was meant as one: others may read them, so none is repeated."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePath
from urllib.parse import unquote

# What may stand before user:password@host; ports and machines of the other schemes are no addresses.
_LEAD = re.compile(r"(?:(?:ssh\b:?|[A-Za-z][A-Za-z0-9+.-]*:(?=//)))?/*", re.IGNORECASE)
_NO_ADDRESS = re.compile(r"(?:local|qemu|serial|unicorn):(?://(?=/)|(?!//))", re.IGNORECASE)
_IPV6 = re.compile(r"\[[0-9A-Za-z:.%]*\]")
_PASSWORD = re.compile(r"[^/?@:\s]*(:[^@]*(?:@[^@/?]*)*)@", re.DOTALL)
_PORT = re.compile(r":\d{1,5}/?\?[a-z]+=.*", re.DOTALL)


def holds_password(text: str) -> bool:
    """Whether `text` is like user:password@host, with a scheme or without, percent-encoded or not."""
    return any(_password(each) for each in (text, unquote(text)))


def without_passwords(line: str, arguments: Iterable[str]) -> str:
    """`line` without those of `arguments`, or of the values in them (--device=VALUE), that hold a password."""
    for argument in arguments:
        for text in (argument, argument.partition("=")[2]):
            if text and holds_password(text):
                for form in (text, repr(text)[1:-1], unquote(text), str(PurePath(text))):
                    line = line.replace(form, "(a password)")
    return line


def _password(text: str) -> bool:
    if _NO_ADDRESS.match(text):
        return False
    found = _PASSWORD.match(_IPV6.sub("", text[_end_of_lead(text) :]))
    return found is not None and _PORT.fullmatch(found[1]) is None


def _end_of_lead(text: str) -> int:
    found = _LEAD.match(text)
    return found.end() if found else 0
