# SPDX-License-Identifier: Apache-2.0
"""A conversation with an agent over three byte streams, whoever carries them."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any, TypeVar

from firmware_tools.answers.shapes import Check, ShapeError, parse
from firmware_tools.answers.streams import MAX_LINE_BYTES, Deadline, Mailbox, Tail, read_all, read_lines, write_all
from firmware_tools.device import Progress
from firmware_tools.errors import (
    DeviceBusyError,
    DeviceError,
    DeviceFullError,
    DeviceLostError,
    InferenceError,
    NothingStagedError,
    NothingToRollBackError,
    ProtocolError,
    RuntimeMissingError,
    TransferError,
)
from firmware_tools.foreign_text import telling
from firmware_tools.linux import agent_answers

ANSWER_TIMEOUT_S = 60.0
_CLOSE_TIMEOUT_S = 5.0
_TAIL_LINES = 3
_TAIL_BYTES = 8 << 10
_MESSAGE_CHARACTERS = 400  # of the agent's in one of ours
_LINES_AHEAD = 2  # of answers: each may be long
_SWITCHES = ("activate", "confirm", "rollback")
_ERRORS: dict[str, type[DeviceError]] = {
    "busy": DeviceBusyError,
    "full": DeviceFullError,
    "inference": InferenceError,
    "nothing_staged": NothingStagedError,
    "nothing_to_roll_back": NothingToRollBackError,
    "runtime": RuntimeMissingError,
    "transfer": TransferError,
}

T = TypeVar("T")


class AgentSession:
    """Sends one request at a time and waits for its answer, never for ever. `name` stands in the messages."""

    def __init__(self, name: str, requests: IO[bytes], answers: IO[bytes], errors: IO[bytes]) -> None:
        self.name = name
        self._answers, self._errors = answers, errors
        self._requests: Mailbox[bytes] = Mailbox(1)
        self._lines: Mailbox[bytes | None] = Mailbox(_LINES_AHEAD)
        self._tail = Tail(_TAIL_BYTES)
        self._threads = [
            threading.Thread(target=read_lines, args=(answers, self._lines), daemon=True),
            threading.Thread(target=read_all, args=(errors, self._tail), daemon=True),
            # An agent that does not read would else hold this program in a write, for ever.
            threading.Thread(target=write_all, args=(requests, self._requests, self._deaf), daemon=True),
        ]
        self._last_id = 0
        # False from a request's first byte until its answer: what an interrupt or a loss leaves cannot be talked to.
        self._in_step = True
        for thread in self._threads:
            thread.start()

    def request(
        self,
        do: str,
        *,
        answer: Check[T],
        timeout_s: float = ANSWER_TIMEOUT_S,
        progress: Progress | None = None,
        steps: int = 0,
        **fields: object,
    ) -> T:
        """What the agent's answer to `do` stands for by the check `answer`.

        `timeout_s` bounds the silence before it, and between the reports of progress in `steps`; what an agent reports
        besides, and one report twice, gives it no more time. Raises DeviceLostError if the agent ends, is silent for
        too long or answers nonsense; ProtocolError if the answer does not pass; else the DeviceError that the
        agent's refusal stands for, with the refusal's fields.
        """
        self._send(do, fields, timeout_s)
        whole, done = Deadline((steps + 1) * timeout_s), 0
        silence = Deadline(timeout_s)
        while left_s := min(silence.left_s, whole.left_s):
            said = self._answer(do, left_s)
            if said is None:
                break
            if "progress" not in said:
                return self._result(do, answer, said)
            if steps:
                done, total = self.believed(do, agent_answers.progress(done, steps), said["progress"])
                silence = Deadline(timeout_s)
                if progress is not None:
                    progress(done, total)
        raise self._lost(do, f"no answer for {timeout_s:g} s")

    def believed(self, do: str, shape: Check[T], answer: object) -> T:
        """What `answer` to `do` stands for. Raises ProtocolError if it is not of the `shape`."""
        try:
            return shape(answer)
        except ShapeError as error:
            message = f"{self.name}: the agent's answer to {do} cannot be: {error}"
            raise ProtocolError(f"{message}: connect again, then distrust this board", do=do) from None

    def _send(self, do: str, fields: Mapping[str, object], timeout_s: float) -> None:
        if not self._in_step:
            raise DeviceLostError(f"{self.name}: an earlier command was cut short, connect again before {do}", do=do)
        self._last_id += 1
        line = json.dumps({**fields, "id": self._last_id, "do": do}).encode() + b"\n"
        self._in_step = False
        if not self._requests.put(line, timeout_s):
            raise self._lost(do, f"no request was read for {timeout_s:g} s")

    def _deaf(self) -> None:
        self._lines.put(None)

    def _result(self, do: str, shape: Check[T], answer: Mapping[str, Any]) -> T:
        self._in_step = True
        if "error" in answer:
            raise self.refused(*self.believed(do, agent_answers.refusal, answer["error"]))
        return self.believed(do, shape, answer.get("ok"))

    def refused(self, kind: str, message: str, fields: dict[str, Any]) -> DeviceError:
        """The error that a refusal stands for; what a runtime said is shortened in it, and what is long at all."""
        if said := fields.get("said"):
            message = message.replace(str(said), telling(str(said)))
        if len(message) > _MESSAGE_CHARACTERS:
            message = f"{message[:_MESSAGE_CHARACTERS]}..."
        return _ERRORS.get(kind, DeviceError)(f"{self.name}: {message}", **fields, kind=kind)

    def close(self) -> None:
        """Take leave if the agent listens, and close its stdin, which ends it in any case."""
        if self._in_step:
            with suppress(DeviceError):
                self.request("bye", answer=agent_answers.DONE, timeout_s=_CLOSE_TIMEOUT_S)
        self._in_step = False
        self._requests.close()
        self._lines.close()  # what still comes is dropped, so that the agent can end

    def abandon(self) -> None:
        """Talk no more, so that `close` takes no leave: what was put in part stays for a resume."""
        self._in_step = False

    def join(self) -> None:
        """Free the streams, once the agent's end is certain; one that a child of the agent's still holds stays open."""
        for thread, stream in zip(self._threads, (self._answers, self._errors), strict=False):
            thread.join(_CLOSE_TIMEOUT_S)
            if not thread.is_alive():
                stream.close()

    def _answer(self, do: str, timeout_s: float) -> dict[str, Any] | None:
        """The agent's next answer or report; None if nothing comes in time."""
        try:
            line = self._lines.get(timeout_s)
        except queue.Empty:
            return None
        if line is None:
            raise self._lost(do, "the agent ended")
        if len(line) >= MAX_LINE_BYTES:
            raise self._lost(do, f"a line of more than {MAX_LINE_BYTES >> 20} MiB")
        try:
            answer = parse(line)
        except ShapeError:
            answer = {}
        if answer.get("id") != self._last_id:
            raise self._lost(do, f"not an answer: {line[:80]!r}")
        return answer

    def _lost(self, do: str, what: str) -> DeviceLostError:
        # The agent's last words may still be on their way when its end is seen.
        self._threads[1].join(1.0 if what == "the agent ended" else 0.0)
        said = self._tail.lines(_TAIL_LINES)
        tail = telling("\n".join(said)) or "nothing on its stderr"
        kept = "either of two whole models is active" if do in _SWITCHES else "the active model is unchanged"
        message = f"{self.name}: {what} during {do} ({tail}): {kept}, run the command again"
        return DeviceLostError(message, do=do, stderr=said)
