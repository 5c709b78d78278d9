"""A conversation with an agent over three byte streams, whoever carries them."""

from __future__ import annotations

import json
import queue
import threading
from collections import deque
from contextlib import suppress
from typing import IO, Any

from firmware_tools.device import Progress
from firmware_tools.errors import (
    DeviceBusyError,
    DeviceError,
    DeviceFullError,
    DeviceLostError,
    InferenceError,
    NothingStagedError,
    NothingToRollBackError,
    RuntimeMissingError,
    TransferError,
)
from firmware_tools.foreign_text import telling

ANSWER_TIMEOUT_S = 60.0
_CLOSE_TIMEOUT_S = 5.0
_TAIL_LINES = 3
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


class AgentSession:
    """Sends one request at a time and waits for its answer, never for ever. `name` stands in the messages."""

    def __init__(self, name: str, requests: IO[bytes], answers: IO[bytes], errors: IO[bytes]) -> None:
        self.name = name
        self._requests, self._answers, self._errors = requests, answers, errors
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._threads = [
            threading.Thread(target=self._read_answers, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        self._last_id = 0
        # False from a request's first byte until its answer: what an interrupt or a loss leaves cannot be talked to.
        self._in_step = True
        for thread in self._threads:
            thread.start()

    def request(
        self, do: str, *, timeout_s: float = ANSWER_TIMEOUT_S, progress: Progress | None = None, **fields: object
    ) -> dict[str, Any]:
        """The agent's answer to `do`; `timeout_s` bounds the silence before it and between progress reports.

        Raises DeviceLostError if the agent ends, is silent for too long or answers nonsense; else the DeviceError that
        the agent's refusal stands for, with the refusal's fields.
        """
        if not self._in_step:
            raise DeviceLostError(f"{self.name}: an earlier command was cut short, connect again before {do}", do=do)
        self._last_id += 1
        line = json.dumps({**fields, "id": self._last_id, "do": do}).encode() + b"\n"
        self._in_step = False
        try:
            self._requests.write(line)
            self._requests.flush()
        except (OSError, ValueError) as error:
            raise self._lost(do, "the agent ended") from error
        while True:
            answer = self._answer(do, timeout_s)
            if "progress" in answer:
                if progress is not None:
                    done, total = answer["progress"]
                    progress(done, total)
                continue
            self._in_step = True
            if "error" in answer:
                refusal = dict(answer["error"])
                raise self.refused(refusal.pop("kind"), refusal.pop("message"), refusal)
            result: dict[str, Any] = answer["ok"]
            return result

    def refused(self, kind: str, message: str, fields: dict[str, Any]) -> DeviceError:
        """The error that a refusal stands for; what a runtime said is shortened in it."""
        if said := fields.get("said"):
            message = message.replace(str(said), telling(str(said)))
        return _ERRORS.get(kind, DeviceError)(f"{self.name}: {message}", **fields, kind=kind)

    def close(self) -> None:
        """Take leave if the agent listens, and close its stdin, which ends it in any case."""
        if self._in_step:
            with suppress(DeviceError):
                self.request("bye", timeout_s=_CLOSE_TIMEOUT_S)
        self._in_step = False
        with suppress(OSError):  # bytes that a dead agent did not take
            self._requests.close()

    def abandon(self) -> None:
        """Talk no more, so that `close` takes no leave: what was put in part stays for a resume."""
        self._in_step = False

    def join(self) -> None:
        """Free the streams, once the agent's end is certain."""
        for thread in self._threads:
            thread.join(_CLOSE_TIMEOUT_S)
        self._answers.close()
        self._errors.close()

    def _answer(self, do: str, timeout_s: float) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=timeout_s)
        except queue.Empty:
            raise self._lost(do, f"no answer for {timeout_s:g} s") from None
        if line is None:
            raise self._lost(do, "the agent ended")
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or answer.get("id") != self._last_id:
            raise self._lost(do, f"not an answer: {line[:80]!r}")
        return answer

    def _lost(self, do: str, what: str) -> DeviceLostError:
        # The agent's last words may still be on their way when its end is seen.
        self._threads[1].join(1.0 if what == "the agent ended" else 0.0)
        tail = telling("\n".join(self._tail)) or "nothing on its stderr"
        kept = "either of two whole models is active" if do in _SWITCHES else "the active model is unchanged"
        message = f"{self.name}: {what} during {do} ({tail}): {kept}, run the command again"
        return DeviceLostError(message, do=do, stderr=list(self._tail))

    def _read_answers(self) -> None:
        with suppress(OSError, ValueError):
            for line in self._answers:
                self._lines.put(line)
        self._lines.put(None)

    def _read_errors(self) -> None:
        with suppress(OSError, ValueError):
            for line in self._errors:
                if text := line.decode("utf-8", "replace").strip():
                    self._tail.append(text)
