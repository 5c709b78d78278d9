# SPDX-License-Identifier: Apache-2.0
"""What it buys that classes weigh alike in the loss where they are uneven: balanced accuracy with and without, by seed.

python benchmarks/uneven_classes.py [--json] [--data digits mnist] [--ratios 3 50] [--seeds 0 1 2]

The second half of the classes keep one training image of RATIO; the test part is as it was, with every class alike.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np
import torch
from report import publish

from edgenas import tasks
from edgenas.spaces.architecture import Architecture
from edgenas.spaces.space import SearchSpace
from edgenas.tasks.dataset import Dataset, Split
from edgenas.tasks.recalls import Recalls
from edgenas.training import Job, Recipe
from edgenas.training.checkpoints import load_network
from edgenas.training.fit import evaluate, fit
from edgenas.workflows.pipeline import default_epochs

ARCHITECTURE = "stem-16s2/plain-16x1/residual-32x1/plain-64x1"


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--data", nargs="+", default=["digits", "mnist"])
    parser.add_argument("--ratios", nargs="+", type=int, default=[3, 50])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    table: list[tuple[object, ...]] = [("data", "ratio", "loss", "balanced %, mean", "by seed", "worst class %, mean")]
    runs = []
    for name in arguments.data:
        for ratio in arguments.ratios:
            for weighted in (False, True):
                found = [trained(thinned(tasks.load(name, seed=s), ratio, s), s, weighted) for s in arguments.seeds]
                balanced = [100 * recalls.balanced for recalls in found]
                worst = [100 * min(r for r in recalls.by_class if r is not None) for recalls in found]
                loss = "classes alike" if weighted else "images alike"
                by_seed = " ".join(f"{value:.1f}" for value in balanced)
                mean = f"{statistics.mean(balanced):.1f}"
                table.append((name, ratio, loss, mean, by_seed, f"{statistics.mean(worst):.1f}"))
                runs.append({"data": name, "ratio": ratio, "weighted": weighted, "balanced": balanced, "worst": worst})
    publish("uneven_classes", {"architecture": ARCHITECTURE, "runs": runs}, table, as_json=arguments.json)


def thinned(data: Dataset, ratio: int, seed: int) -> Dataset:
    """The data with every `ratio`-th training image of the second half of the classes."""
    rng, y = np.random.default_rng(seed), data.train.y
    kept = []
    for label in range(data.classes):
        members = rng.permutation(np.flatnonzero(y == label))
        kept.append(members[: len(members) // ratio] if label >= data.classes // 2 else members)
    pick = np.sort(np.concatenate(kept))
    return replace(data, train=Split(data.train.x[pick], y[pick]))


def trained(data: Dataset, seed: int, weighted: bool) -> Recalls:
    """What the network recognises of the test part after the full recipe."""
    space, genes = SearchSpace.load("tiny", data.input_shape, data.classes), Architecture.parse(ARCHITECTURE)
    recipe = Recipe.of(data, default_epochs(data))
    with TemporaryDirectory() as scratch, patch("edgenas.training.fit.uneven", lambda data: weighted):
        checkpoint = Path(scratch) / "net.pt"
        fit(Job(ARCHITECTURE, ARCHITECTURE, recipe, recipe.epochs, seed, str(checkpoint)), space, data)
        return evaluate(load_network(checkpoint, space, genes), data.test, data)[1]


if __name__ == "__main__":
    main()
