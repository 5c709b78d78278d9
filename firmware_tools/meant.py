# SPDX-License-Identifier: Apache-2.0
"""What somebody probably meant who wrote something else than the URL of a device."""

from __future__ import annotations

import re
from urllib.parse import quote

_SCHEMES = ("local", "qemu", "serial", "ssh", "unicorn")
_WHOLE = {scheme: f"{scheme}:" for scheme in ("local", "qemu", "unicorn")}
_WHOLE |= {"serial": "serial:///dev/ttyACM0", "ssh": "ssh://USER@HOST"}
_WHOLE |= dict.fromkeys(("host", "localhost", "127.0.0.1", "::1"), "local:")
_WINDOWS_PORT = re.compile(r"(?:\\\\\.\\)?(COM\d+)", re.IGNORECASE)
_TTY = re.compile(r"(?:tty|cu\.)[A-Za-z][\w.-]*")
_HOST = r"(?:[A-Za-z0-9_][\w-]*(?:\.[A-Za-z0-9_][\w-]*)*)"
_PORT = r"(?::\d{1,5})?"
_WITH_USER = re.compile(rf"(?:ssh:/?)?([A-Za-z_][\w.-]*@{_HOST}{_PORT})(?:[:/].*)?")
_DOTTED = re.compile(rf"(?:ssh:/?)?({_HOST}\.[A-Za-z0-9]+{_PORT})")
_ADDRESS4 = re.compile(r"\d+(?:\.\d+){3}(?::\d+)?")
_ADDRESS6 = re.compile(r"[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}")


def meant(text: str) -> str | None:
    """A URL for a port, an address, a login or a bare scheme; None if `text` is none of these."""
    if (whole := _WHOLE.get(text, _WHOLE.get(text.rstrip(":/")))) is not None:
        return whole
    if text.startswith("/dev/") and len(text) > len("/dev/"):
        return f"serial://{quote(text)}"
    if port := _WINDOWS_PORT.fullmatch(text):
        return f"serial:{port[1].upper()}"
    if _TTY.fullmatch(text):
        return f"serial:///dev/{text}"
    if login := _WITH_USER.fullmatch(text):
        return f"ssh://{login[1]}"
    if address := _DOTTED.fullmatch(text):
        return f"ssh://USER@{address[1]}"
    return f"ssh://USER@[{text}]" if _ADDRESS6.fullmatch(text) else None


def as_device(text: str) -> str | None:
    """The device's URL that `text` is or means beyond doubt; None for what may be a board's name or file."""
    if text.partition(":")[0] in _SCHEMES and ":" in text:
        return text
    sure = text.endswith(".local") or "@" in text or not _DOTTED.fullmatch(text) or _ADDRESS4.fullmatch(text)
    return meant(text) if sure else None
