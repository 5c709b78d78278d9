# SPDX-License-Identifier: Apache-2.0
"""A conversation with a board over a pipe: requests that are repeated until answered, but never for ever."""

from __future__ import annotations

import hashlib
import time
from collections import Counter, deque
from collections.abc import Callable, Container
from types import TracebackType
from typing import TypeVar

from firmware_tools.device import Progress
from firmware_tools.errors import DeviceError, DeviceLostError, NothingStagedError, ProtocolError
from firmware_tools.link import messages
from firmware_tools.link.diagnosis import LineDiagnosis, versions_apart
from firmware_tools.link.frames import Frame, Receiver, encode, line_bytes
from firmware_tools.link.messages import HelloAnswer
from firmware_tools.link.pipes import Pipe
from firmware_tools.link.status_errors import Code, refusal
from firmware_tools.link.transfer import TransferStats, transfer
from firmware_tools.link.wire import ANSWER, FIRST_MAX_PAYLOAD, TEXT, Request, name_of

_THINKING_S = 0.3  # what host, board and adapter may take beyond the line itself before a request is repeated
_LONGEST_WAIT_S = 8.0  # between repeats; a busy board has to read them all afterwards
_FEWEST_TRIES = 3  # however slow the line
_RESUMES = 5
_BITS_PER_BYTE = 10
_INPUT_OFFSET_BYTES = 4
_PROFILE_COUNT_BYTES = 2
_STATUS_BYTES = 1

A = TypeVar("A")


class Link:
    """Speaks with one board; `name` stands in the messages, `text` gets the lines that firmware prints for humans.

    Say `hello` first. An interrupt (Ctrl-C) or a DeviceLostError at any point leaves a Link that can be used again if
    its pipe can. Every method may raise DeviceLostError, with what was going on, and ProtocolError.
    """

    def __init__(self, pipe: Pipe, name: str, text: Callable[[str], None] | None = None) -> None:
        self.name = name
        self.board: HelloAnswer | None = None
        self._pipe, self._text = pipe, text
        self._receiver = Receiver()
        self._frames: deque[Frame] = deque()
        self._max_payload = FIRST_MAX_PAYLOAD
        self._sequence = 0
        # A frame that was perhaps cut short, or what another program left on the line: a 0 ends it.
        self._line_open = True
        self._heard = LineDiagnosis()

    def __enter__(self) -> Link:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def dropped(self) -> Counter[str]:
        """What came and was no frame, by reason."""
        return Counter({str(reason): count for reason, count in self._receiver.dropped.items()})

    @property
    def max_payload(self) -> int:
        """Bytes of a payload that the board takes."""
        return self._max_payload

    def hello(self, patience_s: float = 3.0) -> HelloAnswer:
        """What the board is; opens the conversation, and again after its reset.

        Raises DeviceLostError if the line is silent, ProtocolError if something else speaks on it or the board speaks
        other versions of the protocol; the message says what it looks like and what to do.
        """
        self.board, self._max_payload, self._heard = None, FIRST_MAX_PAYLOAD, LineDiagnosis()
        hello = messages.Hello()
        try:
            body = self.request(hello.kind, hello.pack(), patience_s=patience_s)
        except DeviceLostError as error:
            if "tries" not in error.fields:  # the pipe itself is gone
                raise
            raise self._heard.explain(self.name, self._pipe.baud, self.dropped) from error
        self._named(lambda: versions_apart(body))
        self.board = self._named(lambda: hello.parse(body))
        self._max_payload = self.board.max_payload
        return self.board

    def ask(self, request: Request[A], patience_s: float | None = None) -> A:
        """The board's answer; `patience_s` bounds the silence, by default as long as a healthy board may take.

        Raises the DeviceError that a refusal stands for (link.status_errors).
        """
        patience_s = request.patience_s if patience_s is None else patience_s
        body = self.request(request.kind, request.pack(), patience_s=patience_s)
        return self._named(lambda: request.parse(body))

    def request(self, kind: int, payload: bytes = b"", *, patience_s: float) -> bytes:
        """The OK answer's payload behind its status; the request is repeated, under the same sequence, until it comes.

        Raises ValueError for a payload longer than `max_payload`.
        """
        sequence, wire = self._encoded(kind, payload)
        wait_s = self.answer_time_s(len(wire))
        started, tries = time.monotonic(), 0
        while tries < _FEWEST_TRIES or time.monotonic() - started < patience_s:
            self._write(wire)
            tries += 1
            answer = self.wait(kind, (sequence,), wait_s)
            if answer is not None:
                code, body = answer.payload[0], answer.payload[1:]
                if code != Code.OK:
                    raise self.refused(kind, code, body)
                return body
            self._line_open = True
            wait_s = max(wait_s, min(2 * wait_s, _LONGEST_WAIT_S))
        raise self.silent(name_of(kind), time.monotonic() - started, tries)

    def send(self, data: bytes, progress: Progress | None = None) -> TransferStats:
        """Bring `data`, a plan, into the spare slot, going on where an earlier transfer of the same bytes broke off.

        Say VERIFY next. `progress` is called with the bytes that the board has and their total. Raises DeviceFullError,
        before anything is erased, if the slot is too small; TransferError if the flash fails; ValueError for no bytes.
        """
        if not data:
            raise ValueError("no bytes to send")
        if self.board is None:
            raise ValueError("say hello before send")
        begin = messages.Begin(len(data), hashlib.sha256(data).digest())
        for _ in range(_RESUMES):
            offset = self.ask(begin)
            if offset > len(data):
                raise ProtocolError(f"{self.name}: BEGIN goes on from {offset} of {len(data)} bytes: report this bug")
            try:
                return transfer(self, self.board.window, data, offset, progress)
            except NothingStagedError:  # the board restarted under the transfer: BEGIN knows how far it came
                self._line_open = True
        message = f"{self.name}: the board restarted {_RESUMES} times during a transfer: check its power and cable"
        raise DeviceLostError(f"{message}; the active model is unchanged", restarts=_RESUMES)

    def set_input(self, data: bytes) -> None:
        """The selected model's whole input, in as many INPUT as it takes."""
        piece = self._max_payload - _INPUT_OFFSET_BYTES
        for offset in range(0, len(data), piece):
            self.ask(messages.Input(offset, data[offset : offset + piece]))

    def get_output(self, size: int) -> bytes:
        """The `size` bytes of the last inference's output."""
        piece = self._max_payload - _STATUS_BYTES
        return b"".join(self.ask(messages.Output(at, min(piece, size - at))) for at in range(0, size, piece))

    def profile(self, operators: int, patience_s: float | None = None) -> tuple[int, ...]:
        """Ticks of each of the selected model's operators, one inference for each frame that they fill."""
        ticks: list[int] = []
        while len(ticks) < operators:
            more = self.ask(messages.Profile(len(ticks)), patience_s)
            if not more:
                message = f"{self.name}: PROFILE ends after {len(ticks)} of {operators} operators: report this bug"
                raise ProtocolError(message, operators=operators)
            ticks += more
        return tuple(ticks[:operators])

    def close(self) -> None:
        """Let go of the pipe. Closing twice is harmless."""
        self._pipe.close()

    # What a windowed transfer needs besides.

    def post(self, kind: int, payload: bytes) -> int:
        """Send a request without waiting; its sequence."""
        sequence, wire = self._encoded(kind, payload)
        self._write(wire)
        return sequence

    def wait(self, kind: int, sequences: Container[int], timeout_s: float) -> Frame | None:
        """The next answer to any of `sequences`, or None. Others are left over from before and mean nothing now."""
        deadline = time.monotonic() + timeout_s
        while True:
            while self._frames:
                frame = self._frames.popleft()
                if frame.kind == kind | ANSWER and frame.sequence in sequences and frame.payload:
                    return frame
                if frame.kind == TEXT and self._text is not None:
                    self._text(frame.payload.decode("utf-8", "replace"))
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            data = self._pipe.read(left)
            found = self._receiver.feed(data)
            if self.board is None:
                self._heard.add(data, found)
            self._frames.extend(found)

    def answer_time_s(self, sent_bytes: int) -> float:
        """How long an answer to the last of `sent_bytes` may take on this line, if nothing gets lost."""
        baud = self._pipe.baud
        on_line = sent_bytes + line_bytes(self._max_payload)
        return _THINKING_S + (on_line * _BITS_PER_BYTE / baud if baud else 0.0)

    def reopen_line(self) -> None:
        """Something got lost: end with a 0 whatever the board holds of it."""
        self._line_open = True

    def refused(self, kind: int, code: int, body: bytes) -> DeviceError:
        """The exception for an answer's status."""
        return self._with_name(refusal(kind, code, body))

    def silent(self, doing: str, seconds: float, tries: int) -> DeviceLostError:
        """The exception for a board that answers no more."""
        message = f"{self.name}: no answer to {doing} for {seconds:.1f} s ({tries} tries): check cable and power, then"
        message += " run the command again; the active model is unchanged"
        return DeviceLostError(message, doing=doing, seconds=seconds, tries=tries)

    def _encoded(self, kind: int, payload: bytes) -> tuple[int, bytes]:
        if len(payload) > self._max_payload:
            raise ValueError(f"a payload of {len(payload)} bytes, the board takes {self._max_payload}")
        self._sequence = (self._sequence + 1) % 256
        return self._sequence, encode(kind, self._sequence, payload)

    def _write(self, wire: bytes) -> None:
        if self._line_open:
            wire = b"\0" + wire
        self._line_open = True  # until all of it is written: an interrupt may cut it short
        self._pipe.write(wire)
        self._line_open = False

    def _named(self, parse: Callable[[], A]) -> A:
        try:
            return parse()
        except ProtocolError as error:
            raise self._with_name(error) from None

    def _with_name(self, error: DeviceError) -> DeviceError:
        return type(error)(f"{self.name}: {error.message}", **error.fields)
