# SPDX-License-Identifier: Apache-2.0
"""Lines from a stream, and the fields of the requests in them."""

from __future__ import annotations

import queue
from typing import IO, Any, Callable

from .refusal import Refusal

MAX_LINE = 8 << 20  # a request; put's chunks are far below


def pump(
    stream: IO[bytes],
    lines: queue.Queue[bytes | None],
    at_end: Callable[[], None],
    at_line: Callable[[], None] = lambda: None,
) -> None:
    """Put each line of `stream` into `lines`, b"" for one above MAX_LINE; at its end call `at_end`, then put None.

    Empty lines only say that somebody is there: `at_line` is called as for all others, and they are dropped.
    """
    while True:
        line = stream.readline(MAX_LINE)
        at_line()
        if line == b"\n":
            continue
        if len(line) == MAX_LINE and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = stream.readline(MAX_LINE)
            lines.put(b"")
        elif line.endswith(b"\n"):
            lines.put(line)
        else:  # the end, or a line that was cut by it
            break
    at_end()
    lines.put(None)


def field(request: dict[str, Any], name: str, kind: type | tuple[type, ...]) -> Any:
    """`request[name]` if it is a `kind`; JSON's true and false are no numbers."""
    value = request.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise Refusal("request", f"{request.get('do')} needs a field {name}, got {value!r}")
    return value
