# SPDX-License-Identifier: Apache-2.0
"""`edgenas train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgenas.cli import options


def train(
    architecture: Annotated[str, typer.Argument(metavar="ARCHITECTURE", help="As edgenas search prints it.")],
    data: options.Data,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The checkpoint to write; must not exist yet.")],
    space: options.Space = "tiny",
    epochs: options.Epochs = None,
    seed: options.Seed = 0,
    size: options.Size = None,
    task: options.Task = None,
    group_by: options.GroupBy = None,
    as_json: options.Json = False,
) -> None:
    """Train one architecture fully and write a checkpoint.

    Example: edgenas train stem-24s2/plain-24x2/plain-64x2/plain-128x2 --data mnist --out plain.pt
    """
    import edgenas
    from edgenas.cli import output

    with output.working() as reporter:
        trained = edgenas.train(
            architecture,
            data=data,
            out=out,
            space=space,
            epochs=epochs,
            seed=seed,
            size=size,
            task=task,
            group_by=group_by,
            reporter=reporter,
        )
    pairs = [
        ("architecture", trained.architecture),
        ("epochs", f"{trained.outcome.epoch} in {output.duration(trained.outcome.seconds)}"),
        ("validation", output.percent(trained.outcome.validation_accuracy)),
        ("test", output.percent(trained.test_accuracy)),
        output.by_class(trained.labels, trained.test),
        ("file", trained.checkpoint),
    ]
    output.show(trained.to_json(), as_json, lambda console: output.facts(console, pairs))
