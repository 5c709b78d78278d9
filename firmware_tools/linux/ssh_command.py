# SPDX-License-Identifier: Apache-2.0
"""What the account's login shell is given to run: the same in every shell, whatever its start-up files do.

The login shell (sh, bash, busybox, csh, fish, zsh, ...) only starts `/bin/sh` in its own place, with words that all of
them read alike: quotes, line ends and `!` are octal numbers in them. `/bin/sh` then prints a mark on stderr and one on
stdout, so that what start-up files print before them can be told apart. Nothing is sent before the mark: a start-up
file that reads would take it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

# No start-up file prints a NUL, not even one that shows every command. Two marks, for one that joins both streams.
MARK = b"\0edgenas\0"
ERROR_MARK = b"\0edgenas-errors\0"
# After the PATH that is there: many servers and start-up files leave out where Python or coreutils are.
_PATH = "PATH=${PATH:+$PATH:}/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin; export PATH"
_UMASK = "umask go-w"  # small systems set none, and everybody could change what is uploaded
_SAY = r"printf '\0edgenas-errors\0' >&2; printf '\0edgenas\0'"
_DECODE = """exec /bin/sh -c 'eval "$(printf %b "$@")"' sh"""
_UNSAFE = re.compile(rb"[^ -~]|[\\'!]")
_WORD_BYTES = 120  # each takes up to eight characters, and csh no word of more than 1 KiB
_BACKSLASH = r"'\\'"  # outside of the quotes: fish reads one in them, other shells do not


def command_line(argv: Sequence[str], in_its_place: bool = False) -> str:
    """The line for the login shell that runs `argv` after the mark; `in_its_place`: so that signals reach it."""
    script = "; ".join((_PATH, _UMASK, _SAY, ("exec " if in_its_place else "") + shlex.join(argv)))
    data = script.encode("utf-8", "surrogateescape")
    words = [_word(data[start : start + _WORD_BYTES]) for start in range(0, len(data), _WORD_BYTES)]
    return " ".join((_DECODE, *words))


def _word(data: bytes) -> str:
    """`data` as one word that `printf %b` turns into it again."""
    octal = _UNSAFE.sub(lambda found: f"\\0{found[0][0]:03o}".encode(), data).decode("ascii")
    return "'" + octal.replace("\\", _BACKSLASH) + "'"
