# SPDX-License-Identifier: Apache-2.0
"""The agent: requests from the host, one after the other."""

from __future__ import annotations

import base64
import errno
import json
import os
import queue
import shutil
import sys
import threading
import time
from typing import IO, Any, Callable

from .files import own_file, require_own
from .governor import GOVERNOR, put_back
from .hello import PROTOCOL, hello
from .lines import MAX_LINE, field, pump
from .locks import lock
from .refusal import Refusal
from .runtimes.registry import choose_runtime, kind_of
from .slots import Store
from .system import utc
from .timings import Timings
from .workers import Workers

LOG_BYTES = 256 << 10  # the log is started anew above this
NO_SPACE = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG)


class Agent:
    """Answers requests one after the other until stdin ends or `bye`."""

    def __init__(self, root: str, answers: IO[bytes], silence_s: float) -> None:
        self.root = root
        self.answers = answers
        self.silence_s = silence_s
        self.heard = time.monotonic()
        self.id: object = None
        self.workers = Workers()
        self.timings = Timings(self.workers, lambda done, total: self._send(progress=[done, total]))
        self.commands: dict[str, Callable[[Store, dict[str, Any]], dict[str, Any]]] = {
            "hello": lambda store, request: hello(store),
            "put": self._put,
            "time": lambda store, request: self.timings.time(
                store, request, [store.stored(str(sha)) for sha in field(request, "models", list)]
            ),
            "stage": lambda store, request: store.stage(
                field(request, "sha256", str), field(request, "manifest", dict), request.get("onnx")
            ),
            "time_operators": self._time_operators,
            "time_staged": lambda store, request: self.timings.time(store, request, [store.model(store.staged())]),
            "infer_staged": self._infer,
            "activate": lambda store, request: store.activate(),
            "confirm": lambda store, request: store.confirm(field(request, "sha256", str)),
            "discard": lambda store, request: store.discard(),
            "rollback": lambda store, request: store.rollback(),
            "status": lambda store, request: store.status(),
            "bye": lambda store, request: store.clear_scratch(keep_parts=False),
        }

    def serve(self) -> int:
        """Answer until the end; the exit status is 1 if the device could not be taken."""
        lines: queue.Queue[bytes | None] = queue.Queue()
        threading.Thread(target=pump, args=(sys.stdin.buffer, lines, self._on_end, self._on_line), daemon=True).start()
        if self.silence_s > 0:
            threading.Thread(target=self._watch, args=(lines,), daemon=True).start()
        store, held = None, None
        try:
            for line in iter(lines.get, None):
                request = self._parse(line)
                if request is None:
                    continue
                try:
                    if store is None:
                        require_own(self.root, self.root)
                        os.makedirs(self.root, exist_ok=True)
                        held = lock(os.path.join(self.root, "lock"))
                        put_back(os.path.join(self.root, GOVERNOR))
                        store = Store(self.root, self._log)
                    self._send(ok=self._do(store, request))
                except BrokenPipeError:
                    raise
                except Exception as error:  # noqa: BLE001  a fault of one command must not take the device away
                    self._send(error=self._failure(error))
                if held is None:
                    return 1
                if request.get("do") == "bye":
                    return 0
        except BrokenPipeError:  # the host is gone: stdin ends as well
            pass
        if store is not None:
            store.clear_scratch(keep_parts=True)
        return 0

    def _on_line(self) -> None:
        self.heard = time.monotonic()

    def _watch(self, lines: queue.Queue[bytes | None]) -> None:
        # A network that goes away closes nothing: the server of the connection would wait for hours.
        while time.monotonic() < self.heard + self.silence_s:
            time.sleep(max(0.0, self.heard + self.silence_s - time.monotonic()))
        self._on_end()
        lines.put(None)

    def _on_end(self) -> None:
        # From the reading thread: the host closed stdin or died.
        self.workers.end()

    def _send(self, **answer: object) -> None:
        self.answers.write(json.dumps(dict(answer, id=self.id)).encode() + b"\n")
        self.answers.flush()

    def _parse(self, line: bytes) -> dict[str, Any] | None:
        self.id = None
        try:
            request: dict[str, Any] = json.loads(line.decode("utf-8"))
            self.id = request["id"]
        except (ValueError, TypeError, KeyError, RecursionError):
            message = f"a request is one JSON object with an id, on a line of at most {MAX_LINE} bytes"
            self._send(error={"kind": "request", "message": message, "line": line[:80].decode("utf-8", "replace")})
            return None
        return request

    def _failure(self, error: Exception) -> dict[str, Any]:
        if isinstance(error, Refusal):
            return error.answer
        if isinstance(error, OSError) and error.errno in NO_SPACE:
            free = shutil.disk_usage(self.root).free
            message = f"no space on the device: {error.strerror}, {free} bytes free at {self.root}; free some and retry"
            return {"kind": "full", "message": message, "root": self.root, "reason": error.strerror, "free_bytes": free}
        if isinstance(error, OSError) and self._in_folder(error.filename):
            message = f"{error.filename}: {error.strerror}: the folder {self.root} cannot be used, mend it"
            return {"kind": "folder", "message": message, "root": self.root, "reason": error.strerror}
        return {"kind": "device", "message": f"the device failed: {type(error).__name__}: {error}"}

    def _in_folder(self, path: object) -> bool:
        # Or on the way to it.
        return isinstance(path, str) and (path.startswith(self.root) or self.root.startswith(path.rstrip("/") + "/"))

    def _do(self, store: Store, request: dict[str, Any]) -> dict[str, Any]:
        name = field(request, "do", str)
        if name not in self.commands:
            raise Refusal("request", f"unknown request {name!r}: protocol {PROTOCOL} has {', '.join(self.commands)}")
        if name != "put":  # one model is many of them
            self._log(name)
        return self.commands[name](store, request)

    def _log(self, text: str) -> None:
        path = os.path.join(self.root, "log")
        try:
            mode = "w" if os.path.exists(path) and os.path.getsize(path) > LOG_BYTES else "a"
            with open(path, mode, encoding="utf-8", opener=own_file) as file:
                file.write(f"{utc()} {os.getpid()} {text}\n")
        except OSError:  # a log that cannot be written must not stop a rollback on a full disk
            pass

    def _put(self, store: Store, request: dict[str, Any]) -> dict[str, Any]:
        sha256, size = field(request, "sha256", str), field(request, "bytes", int)
        if size < 1:
            raise Refusal("request", f"put of bytes {size}: at least 1 is needed")
        if "data" not in request:
            return {"have": store.announce(sha256, size)}
        try:
            data = base64.b64decode(field(request, "data", str), validate=True)
        except ValueError:
            raise Refusal("request", "put needs data in base64") from None
        return {"have": store.put(sha256, size, field(request, "offset", int), data)}

    def _infer(self, store: Store, request: dict[str, Any]) -> dict[str, Any]:
        job = {name: field(request, name, kind) for name, kind in (("dtype", str), ("shape", list))}
        job["inputs"] = store.stored(field(request, "inputs", str))
        job.update(do="infer", runtime=choose_runtime(request.get("runtime"))[0], model=store.model(store.staged()))
        return next(self.workers.answers(store, job, field(request, "silence_s", (int, float))))

    def _time_operators(self, store: Store, request: dict[str, Any]) -> dict[str, Any]:
        runtime, _ = choose_runtime(request.get("runtime"))
        if not kind_of(runtime).times_operators:
            raise Refusal("request", f"runtime {runtime} does not tell what its operators take: time them one by one")
        job = {"do": "operators", "runtime": runtime, "model": store.stored(field(request, "model", str))}
        return next(self.workers.answers(store, job, field(request, "silence_s", (int, float))))
