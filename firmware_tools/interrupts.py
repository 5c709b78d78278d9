# SPDX-License-Identifier: Apache-2.0
"""Signals that end a program, kept out of what is to be done as a whole or not at all."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextmanager
def held(heard: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Signals that come within the block are handled at its end, by the handlers that they had before.

    `heard` is called at once when one comes, in the block's thread; it must not raise. Python runs handlers in the main
    thread alone: in another thread the block needs no protection and gets none. Signals that Python does not handle
    (SIGTERM without a handler of its own) act as before.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        heard()

    handlers = {number: handler for number in SIGNALS if callable(handler := signal.getsignal(number))}
    try:
        for number in handlers:
            signal.signal(number, note)
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in came[:1]:
            signal.raise_signal(number)
