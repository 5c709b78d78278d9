# SPDX-License-Identifier: Apache-2.0
"""A training process: one JSON job a line on stdin, JSON progress and outcomes on stdout, until stdin ends.

The end of its stdin means that the host has gone: it ends at once, also in mid-epoch.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import torch

from edgenas.seals import Seals
from edgenas.spaces.space import SearchSpace
from edgenas.tasks.arrays import load_arrays
from edgenas.training.fit import fit
from edgenas.training.recipe import Job


def main() -> None:
    """Serve jobs; the first line names the space, the data file, the number of threads and what seals checkpoints."""
    lines: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    setup = json.loads(lines.get())
    torch.set_num_threads(setup["threads"])
    data = load_arrays(setup["data"])
    space = SearchSpace.load(setup["space"], data.input_shape, data.classes)
    seals = None if setup["run"] is None else Seals(Path(setup["run"]), setup["question"])
    while True:
        job = Job.from_json(json.loads(lines.get()))
        try:
            outcome = fit(job, space, data, lambda epoch: _say({"epoch": epoch}), seals)
        except OSError as error:  # the disk's: the host says it, this process is as good as before
            _say({"errno": error.errno, "reason": error.strerror, "file": job.checkpoint})
        else:
            _say({"outcome": outcome.to_json()})


def _listen(lines: SimpleQueue[str]) -> None:
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main()
