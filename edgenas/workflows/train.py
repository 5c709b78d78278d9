# SPDX-License-Identifier: Apache-2.0
"""`edgenas train`: one architecture with the full recipe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edgenas import resources
from edgenas.errors import UsageError
from edgenas.progress import Reporter, Silent
from edgenas.spaces.space import SearchSpace
from edgenas.tasks.arrays import save_arrays
from edgenas.tasks.recalls import Recalls, accuracies
from edgenas.training import Job, Outcome, Recipe
from edgenas.training.pool import Pool
from edgenas.workflows.data import load_data
from edgenas.workflows.pipeline import default_epochs


@dataclass(frozen=True)
class Trained:
    """A trained network: its checkpoint, what training said, and what it recognises of the test part.

    `validation` and `test` are in the order of `labels`, the classes' names. `notes` are what was decided about the
    data (see `Dataset`).
    """

    architecture: str
    checkpoint: str
    outcome: Outcome
    labels: tuple[str, ...]
    validation: Recalls
    test: Recalls
    notes: tuple[str, ...] = ()

    @property
    def test_accuracy(self) -> float:
        """The part of the test part that is recognised."""
        return self.test.accuracy

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "architecture": self.architecture,
            "checkpoint": self.checkpoint,
            "epochs": self.outcome.epoch,
            "train_loss": self.outcome.train_loss,
            **accuracies(self.labels, {"validation": self.validation, "test": self.test}),
            "seconds": round(self.outcome.seconds, 3),
            "notes": list(self.notes),
        }


def train(
    architecture: str,
    *,
    data: str,
    out: str | Path,
    space: str = "tiny",
    epochs: int | None = None,
    seed: int = 0,
    size: int | None = None,
    task: str | None = None,
    group_by: str | None = None,
    reporter: Reporter | None = None,
) -> Trained:
    """Train `architecture` (as `edgenas search` prints it) on `data` and write the checkpoint `out`.

    Raises UsageError if the architecture is not of the space or `out` exists, DataError for unusable data.
    """
    reporter = reporter or Silent()
    resources.require_new(out, "train")
    if epochs is not None and epochs < 1:
        raise UsageError(f"epochs is {epochs}, the least is 1", value=epochs, limit=1)
    dataset = load_data(data, task=task, seed=seed, size=size, group_by=group_by, reporter=reporter)
    bound = SearchSpace.load(space, dataset.input_shape, dataset.classes)
    genes = bound.parse(architecture)
    recipe = Recipe.of(dataset, epochs or default_epochs(dataset))
    reporter.stage("train")
    with TemporaryDirectory(prefix="edgenas-") as scratch:
        arrays = Path(scratch) / "data.npz"
        save_arrays(dataset, arrays)
        job = Job(str(genes), str(genes), recipe, recipe.epochs, seed, str(Path(out).absolute()))
        with Pool(space, arrays, workers=1) as pool:
            outcome = pool.run([job], lambda done, total: reporter.progress(done, total, "epochs"))[0]
    from edgenas.training.checkpoints import load_network
    from edgenas.training.fit import evaluate

    net = load_network(Path(out), bound, genes)
    validation, test = (evaluate(net, part, dataset)[1] for part in (dataset.validation, dataset.test))
    return Trained(str(genes), str(out), outcome, dataset.labels, validation, test, dataset.notes)
