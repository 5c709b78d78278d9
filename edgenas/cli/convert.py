# SPDX-License-Identifier: Apache-2.0
"""`edgenas convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgenas.cli import options


def convert(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="As edgenas train writes it.")],
    data: options.Data,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where model.tflite and manifest.json are written.")],
    space: options.Space = "tiny",
    precision: Annotated[str, typer.Option(metavar="NAME", help="int8 or float32.")] = "int8",
    seed: options.Seed = 0,
    size: options.Size = None,
    task: options.Task = None,
    group_by: options.GroupBy = None,
    as_json: options.Json = False,
) -> None:
    """Convert a checkpoint to a TFLite model and judge it.

    Example: edgenas convert plain.pt --data mnist --out plain

    Give the data, seed and size that it was trained with: they calibrate the model and judge it. Exit code 3: it is no
    better than guessing.
    """
    import edgenas
    from edgenas.cli import output

    with output.working() as reporter:
        built = edgenas.convert(
            checkpoint,
            data=data,
            out=out,
            space=space,
            precision=precision,
            seed=seed,
            size=size,
            task=task,
            group_by=group_by,
            reporter=reporter,
        )
    manifest = built.artifact.manifest
    pairs = [
        ("model", f"{manifest['name']}, {manifest['precision']}, {output.size(manifest['bytes'])}"),
        ("gate", built.verdict),
        ("validation", output.percent(built.validation)),
        ("test", f"float {output.percent(built.accuracy_float)}, int8 {output.percent(built.accuracy_int8)}"),
        output.by_class(built.labels, built.tested),
        ("folder", str(out)),
    ]
    output.show(built.to_json(out), as_json, lambda console: output.facts(console, pairs))
