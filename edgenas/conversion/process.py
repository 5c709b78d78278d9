# SPDX-License-Identifier: Apache-2.0
"""The host's end of the conversion worker: one process for many models, started when first needed."""

from __future__ import annotations

import json
import queue
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import IO

from edgenas.errors import ConversionError
from firmware_tools import children
from firmware_tools.foreign_text import telling

_WORKER = Path(__file__).with_name("worker.py")
_START_TIMEOUT_S = 60.0


class OnnxWorker:
    """Converts ONNX models to float32 TFLite in the converter's environment; one at a time, from any thread.

    The worker runs in a session of its own, so that a Ctrl-C in the terminal reaches only the host, and it ends by
    itself when the host does. `close` (or the end of the `with` block) stops it at once.
    """

    def __init__(self, python: Path, timeout_s: float = 120.0) -> None:
        self._python = python
        self._timeout_s = timeout_s
        self._turn = threading.Lock()
        self._closed = threading.Event()
        self._running: _Running | None = None
        self._count = 0

    def __enter__(self) -> OnnxWorker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The process id of the running worker, None before the first conversion."""
        running = self._running
        return running.process.pid if running else None

    def start(self) -> None:
        """Start the worker now, without waiting until its imports are done (about 0.6 s)."""
        with self._turn:
            self._ensure_running()

    def convert(self, onnx: bytes) -> bytes:
        """The float32 TFLite file of the ONNX model `onnx`; inputs NCHW become NHWC.

        A worker that died is restarted and the model is tried once more. Raises ConversionError (check "conversion") if
        the model is refused, kills the worker twice or takes more than `timeout_s`; ValueError after `close`.
        """
        with self._turn:
            try:
                try:
                    return self._exchange(onnx)
                except _DiedError:
                    return self._exchange(onnx)
            except _DiedError as died:
                raise ConversionError(f"the converter died on this model twice: {died}", check="conversion") from None

    def close(self) -> None:
        """Stop the worker and remove its files; a conversion that another thread waits for fails."""
        self._closed.set()
        self._stop()

    def _exchange(self, onnx: bytes) -> bytes:
        running = self._ensure_running()
        self._count += 1
        source, result = running.scratch / f"{self._count}.onnx", running.scratch / f"{self._count}.tflite"
        try:
            source.write_bytes(onnx)
            answer = running.ask({"id": self._count, "onnx": str(source), "tflite": str(result)}, self._timeout_s)
            if "error" in answer:
                raise ConversionError(
                    f"onnx2tf refuses this model: {telling(str(answer['error']))}", check="conversion"
                )
            return result.read_bytes()
        except ConversionError as error:
            if error.fields.get("timed_out"):
                self._stop()
            raise
        except BaseException:  # Ctrl-C or a dead worker: a late answer must not be taken for the next model's
            self._stop()
            raise
        finally:
            source.unlink(missing_ok=True)
            result.unlink(missing_ok=True)

    def _ensure_running(self) -> _Running:
        if self._closed.is_set():
            raise ValueError("this converter is closed")
        if self._running is None:
            self._running = running = _Running(self._python)
            if self._closed.is_set():  # by another thread, meanwhile
                self._stop()
            return running
        return self._running

    def _stop(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.stop()


class _DiedError(Exception):
    """The worker ended without an answer; the text is the line of what it printed that tells most."""


class _Running:
    """One worker process with its scratch folder and the thread that reads its answers."""

    def __init__(self, python: Path) -> None:
        self.scratch = Path(tempfile.mkdtemp(prefix="edgenas-convert-"))
        self._log = self.scratch / "log.txt"
        try:
            with self._log.open("wb") as log:
                self.process = children.start(
                    [str(python), "-I", str(_WORKER), str(self.scratch)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                )
        except OSError as error:
            shutil.rmtree(self.scratch, ignore_errors=True)
            message = f"the converter does not start: {error}; run `edgenas doctor`"
            raise ConversionError(message, check="environment") from error
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._requests: IO[bytes] = self.process.stdin
        self._answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._reader = threading.Thread(target=_pump, args=(self.process.stdout, self._answers), daemon=True)
        self._reader.start()
        self._ready = False

    def ask(self, request: dict[str, object], timeout_s: float) -> dict[str, object]:
        """The answer to `request`. Raises _DiedError, or ConversionError with the field timed_out."""
        if not self._ready:
            self._answer(_START_TIMEOUT_S, "start")
            self._ready = True
        try:
            self._requests.write(json.dumps(request).encode() + b"\n")
            self._requests.flush()
        except OSError as error:
            raise _DiedError(self._last_words()) from error
        return self._answer(timeout_s, "convert this model")

    def stop(self) -> None:
        """Kill the process, wait for it and remove its files."""
        children.kill(self.process)
        self._reader.join()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except OSError:  # a request was still buffered for the dead process
                continue
        shutil.rmtree(self.scratch, ignore_errors=True)

    def _answer(self, timeout_s: float, what: str) -> dict[str, object]:
        try:
            line = self._answers.get(timeout=timeout_s)
        except queue.Empty:
            message = f"the converter took more than {timeout_s:g} s to {what}; try a smaller model"
            raise ConversionError(message, check="conversion", timed_out=True) from None
        if not line:
            raise _DiedError(self._last_words())
        answer: dict[str, object] = json.loads(line)
        return answer

    def _last_words(self) -> str:
        try:
            return telling(self._log.read_text(encoding="utf-8", errors="replace")) or "it printed nothing"
        except OSError:
            return "it printed nothing"


def _pump(answers: IO[bytes], into: queue.SimpleQueue[bytes]) -> None:
    for line in answers:
        into.put(line)
    into.put(b"")
