# SPDX-License-Identifier: Apache-2.0
"""Worker processes, from the agent's side."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
from typing import IO, Any, Iterator

from .lines import pump
from .processes import itself, start
from .refusal import Refusal
from .slots import Store


class Workers:
    """The worker process, one at a time; none runs once the host is gone."""

    def __init__(self) -> None:
        self.host_gone = threading.Event()
        self._worker: subprocess.Popen[bytes] | None = None

    def end(self) -> None:
        """The host is gone: end what runs for it. For any thread."""
        self.host_gone.set()
        worker = self._worker
        if worker is not None:
            worker.kill()

    def answers(self, store: Store, job: dict[str, Any], silence_s: float) -> Iterator[dict[str, Any]]:
        """What a fresh worker answers to `job`. Refuses if it crashes or is silent for `silence_s`."""
        job = dict(job, engines=os.path.join(store.root, "engines"))
        # Threads that numpy's linear algebra would start compete with the model, and it multiplies no matrices there.
        environment = dict(os.environ, OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", TF_CPP_MIN_LOG_LEVEL="2")
        with open(os.path.join(store.scratch, "worker.log"), "w+b") as log:
            worker = start(
                itself("--worker"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
            )
            with worker:
                self._worker = worker
                try:
                    if self.host_gone.is_set():  # it went between two workers
                        worker.kill()
                    yield from _answers(worker, job, silence_s)
                    return
                except EOFError:
                    raise _crash(worker.wait(), log) from None
                finally:
                    self._worker = None
                    worker.kill()


def _answers(worker: subprocess.Popen[bytes], job: dict[str, Any], silence_s: float) -> Iterator[dict[str, Any]]:
    """What `worker` answers to `job`; EOFError if it ends before it has said so."""
    lines: queue.Queue[bytes | None] = queue.Queue()
    threading.Thread(target=pump, args=(worker.stdout, lines, lambda: None), daemon=True).start()
    _tell(worker, job)
    while True:
        try:
            line = lines.get(timeout=silence_s)
        except queue.Empty:
            message = f"the process that runs the model was silent for {silence_s:g} s and was ended"
            raise Refusal("inference", message, reason="hung", silence_s=silence_s) from None
        if line is None:
            raise EOFError
        answer = json.loads(line.decode("utf-8"))
        if "error" in answer:
            raise Refusal(**answer["error"])
        if "end" in answer:
            return
        yield answer


def _tell(worker: subprocess.Popen[bytes], job: dict[str, Any]) -> None:
    assert worker.stdin is not None
    try:
        worker.stdin.write(json.dumps(job).encode() + b"\n")
        worker.stdin.flush()
    except BrokenPipeError:  # it died at once: the end of its answers says so
        pass


def _crash(code: int, log: IO[bytes]) -> Refusal:
    log.seek(0)
    tail = " | ".join(log.read()[-2000:].decode("utf-8", "replace").strip().splitlines()[-3:])
    how = f"of signal {-code}" if code < 0 else f"with status {code}"
    said = tail or "it printed nothing"
    message = f"the process that runs the model ended {how}: {said}: try another --runtime"
    return Refusal("inference", message, reason="crashed", code=code, said=said)
