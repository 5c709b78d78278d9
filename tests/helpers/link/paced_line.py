# SPDX-License-Identifier: Apache-2.0
"""A serial line as a pty: bytes take 10 bits each at a baud rate, and some get lost by a seed. POSIX only."""

from __future__ import annotations

import os
import random
import select
import socket
import threading
import time
import tty
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

_BITS_PER_BYTE = 10
_PIECES_PER_S = 1000  # finer than the latencies of a USB adapter


class PacedLine:
    """`path` is the host's end; the board reads what comes from it at `board_in` and writes to it at `board_out`.

    `lose_one_in` n bytes on average, each way; 0 loses none. The board's two files stay its owner's.
    """

    def __init__(self, board_in: int, board_out: int, baud: int, lose_one_in: int = 0, seed: int = 0) -> None:
        self._host, self._kept = os.openpty()  # the host's end stays open so that a host may come and go
        tty.setraw(self._kept)
        self.path = os.ttyname(self._kept)
        self._byte_s, self._piece = _BITS_PER_BYTE / baud, max(1, baud // _BITS_PER_BYTE // _PIECES_PER_S)
        self._loss = 1 / lose_one_in if lose_one_in else 0.0
        self._stop_read, self._stop_write = os.pipe()
        self.lost = 0
        self._threads = [
            threading.Thread(target=self._carry, args=(self._host, board_in, seed), daemon=True),
            threading.Thread(target=self._carry, args=(board_out, self._host, seed + 1), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> PacedLine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._stop_write)
        for thread in self._threads:
            thread.join(5)
        for file in (self._stop_read, self._host, self._kept):
            os.close(file)

    def _carry(self, source: int, sink: int, seed: int) -> None:
        chance, due = random.Random(seed).random, time.perf_counter()
        with suppress(OSError):
            while True:
                if not select.select([source], [], [], 0)[0]:  # the line is idle: time begins when something comes
                    if self._stop_read in select.select([source, self._stop_read], [], [])[0]:
                        return
                    due = time.perf_counter()
                data = os.read(source, self._piece)
                if not data:
                    return
                due += len(data) * self._byte_s
                time.sleep(max(0.0, due - time.perf_counter()))
                kept = bytes(byte for byte in data if chance() >= self._loss) if self._loss else data
                self.lost += len(data) - len(kept)
                os.write(sink, kept)


class Served:
    """A board in a thread: `feed` gets what comes and returns what to say. `file` is its end of the line."""

    def __init__(self, feed: Callable[[bytes], bytes]) -> None:
        self._near, self._far = socket.socketpair()
        self.file = self._far.fileno()
        self._thread = threading.Thread(target=self._serve, args=(feed,), daemon=True)
        self._thread.start()

    def __enter__(self) -> Served:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._far.close()
        self._thread.join(5)
        self._near.close()

    def _serve(self, feed: Callable[[bytes], bytes]) -> None:
        with suppress(OSError):
            while data := self._near.recv(65536):
                self._near.sendall(feed(data))
