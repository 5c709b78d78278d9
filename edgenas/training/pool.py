# SPDX-License-Identifier: Apache-2.0
"""Many training jobs on all cores: one process of one thread each.

Networks this small do not fill two threads: two processes train 1.2 to 1.6 times as many images a second (measured on 2
cores). Processes, not `multiprocessing`, so that a user's script needs no `if __name__ == "__main__"`.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType

from edgenas.errors import EdgenasError
from edgenas.resources import home
from edgenas.seals import Seals
from edgenas.training.recipe import Job, Outcome
from firmware_tools import children

Progress = Callable[[int, int], None]


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Pool:
    """Training processes, started when first needed and kept until `close`. With `seals` checkpoints carry them."""

    def __init__(self, space: str, data_file: Path, workers: int | None = None, seals: Seals | None = None) -> None:
        # Absolute, as the processes do not run in the working folder.
        path = str(Path(space).absolute()) if space.endswith(".toml") else space
        run, question = (None, None) if seals is None else (str(seals.folder.absolute()), seals.question)
        data = str(data_file.absolute())
        self._setup = {"space": path, "data": data, "threads": 1, "run": run, "question": question}
        self._count = workers or cores()
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        self._all: list[_Worker] = []

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all processes, also in mid-training."""
        for worker in self._all:
            worker.kill()
        self._all.clear()
        self._idle = SimpleQueue()

    def run(self, jobs: Sequence[Job], progress: Progress = lambda done, total: None) -> list[Outcome]:
        """Train all jobs; outcomes come in the jobs' order. `progress` gets epochs (done, of).

        Raises EdgenasError if a training process dies, with its last line; OSError if it cannot write a checkpoint.
        """
        total = sum(job.until for job in jobs)
        tally = _Tally(total, progress)
        while len(self._all) < min(self._count, len(jobs)):
            worker = _Worker(self._setup)
            self._all.append(worker)
            self._idle.put(worker)
        executor = ThreadPoolExecutor(self._count)
        try:
            # The longest first, so that no core waits at the end for one long job.
            order = sorted(range(len(jobs)), key=lambda i: -jobs[i].until)
            futures = {i: executor.submit(self._train, jobs[i], tally) for i in order}
            for future in as_completed(futures.values()):
                future.result()  # the first failure ends all, whichever job it is
            return [futures[i].result() for i in range(len(jobs))]
        except BaseException:
            self.close()  # ends the threads' reads, too
            executor.shutdown(wait=False, cancel_futures=True)
            raise
        finally:
            executor.shutdown(wait=False)

    def _train(self, job: Job, tally: _Tally) -> Outcome:
        idle = self._idle  # of this run: `close` begins another queue
        worker = idle.get()
        try:
            return worker.train(job, tally)
        finally:
            idle.put(worker)  # a dead one, too: who waits for it must hear of it


class _Tally:
    """Epochs done by all jobs together; called from the pool's threads."""

    def __init__(self, total: int, progress: Progress) -> None:
        self._total, self._progress, self._lock = total, progress, threading.Lock()
        self._done: dict[str, int] = {}

    def set(self, name: str, epoch: int) -> None:
        with self._lock:
            self._done[name] = epoch
            self._progress(sum(self._done.values()), self._total)


class _Worker:
    """One training process, spoken to in lines of JSON."""

    def __init__(self, setup: dict[str, object]) -> None:
        environment = {"OMP_NUM_THREADS": str(setup["threads"]), "PYTHONWARNINGS": "ignore"}
        if setup["run"] is not None:  # its seals' key is in the user's folder
            environment["EDGENAS_HOME"] = str(home())
        self._process = children.start(
            children.own_module("edgenas.training.worker"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self._send(setup)

    def _send(self, message: dict[str, object]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._died() from None

    def train(self, job: Job, tally: _Tally) -> Outcome:
        self._send({**job.to_json(), "checkpoint": str(Path(job.checkpoint).absolute())})
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = json.loads(line)
            if "outcome" in message:
                tally.set(job.name, job.until)
                return Outcome.from_json(message["outcome"])
            if "errno" in message:
                raise OSError(message["errno"], message["reason"], message["file"])
            tally.set(job.name, int(message["epoch"]))
        raise self._died()

    def _died(self) -> EdgenasError:
        self._process.kill()
        assert self._process.stderr is not None
        lines = [line for line in self._process.stderr.read().splitlines() if line.strip()]
        code = self._process.wait()
        last = lines[-1] if lines else f"exit code {code}"
        return EdgenasError(f"a training process ended early: {last}; run the same command again to go on")

    def kill(self) -> None:
        children.kill(self._process)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    continue
