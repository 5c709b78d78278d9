# SPDX-License-Identifier: Apache-2.0
"""What a worker process does: one job, then it ends."""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from typing import IO, Any, NoReturn

from .refusal import Refusal, refused
from .runtimes.registry import kind_of


def work(answers: IO[bytes]) -> NoReturn:
    """Do the job on stdin's first line, then end; end at once if stdin does, which is how a dead agent shows."""
    job = json.loads(sys.stdin.buffer.readline().decode("utf-8"))
    if job.get("cores"):  # before the runtime starts its threads, which inherit it
        os.sched_setaffinity(0, job["cores"])

    def watch() -> None:
        while os.read(0, 1):
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()

    def send(answer: dict[str, Any]) -> None:
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()

    try:
        for answer in kind_of(job["runtime"]).answers(job):
            send(answer)
        send({"end": True})
    except Refusal as refusal:
        send({"error": refusal.answer})
    except (ValueError, RuntimeError) as error:  # of `invoke`: what a runtime raises there has no class of its own
        traceback.print_exc()
        send({"error": refused("fails on the model", error).answer})
    os._exit(0)  # as in main
