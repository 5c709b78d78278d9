"""A training process: one JSON job a line on stdin, JSON progress and outcomes on stdout, until stdin ends."""

from __future__ import annotations

import json
import sys
from typing import Any

import torch

from edgenas.space import SearchSpace
from edgenas.tasks.arrays import load_arrays
from edgenas.training.fit import fit
from edgenas.training.recipe import Job


def main() -> None:
    """Serve jobs; the first line names the space, the data file and the number of threads."""
    setup = json.loads(sys.stdin.readline())
    torch.set_num_threads(setup["threads"])
    data = load_arrays(setup["data"])
    space = SearchSpace.load(setup["space"], data.input_shape, data.classes)
    for line in sys.stdin:
        job = Job.from_json(json.loads(line))
        try:
            outcome = fit(job, space, data, lambda epoch: _say({"epoch": epoch}))
        except OSError as error:  # the disk's: the host says it, this process is as good as before
            _say({"errno": error.errno, "reason": error.strerror, "file": job.checkpoint})
        else:
            _say({"outcome": outcome.to_json()})


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main()
