# SPDX-License-Identifier: Apache-2.0
"""The options that several commands share, so that they read alike everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgenas.cli import streams
from edgenas.errors import EdgenasError, UsageError
from edgenas.nas import STRATEGIES

Data = Annotated[
    str,
    typer.Option(
        metavar="DATA",
        help="Labelled images: a folder of class folders (with train/ and test/ or without), an .npz with x and y, "
        "or a built-in set: mnist, digits. Or keywords: a folder of class folders of .wav files.",
    ),
]
Latency = Annotated[
    str,
    typer.Option(
        metavar="BUDGET",
        help="Latency budget with a unit (350us, 2.5ms, 1s), or a percentage of the way from the space's fastest to "
        "its slowest architecture on the board (40%).",
    ),
]
Board = Annotated[
    str, typer.Option(metavar="NAME", help="Board by name (see edgenas boards) or by the path of its board.toml.")
]
BoardOfDevice = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Board by name (see edgenas boards) or by the path of its board.toml; else the one that devices.toml "
        "names for the device, or host.",
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|URL",
        help="Where the board is: a name of your devices.toml (see edgenas devices) or a URL, "
        "e.g. local:?python=PATH; else as the board's file says.",
    ),
]
AcceptNewHostKey = Annotated[
    bool,
    typer.Option("--accept-new-host-key", help="Believe and keep the SSH key of a board that was never met before."),
]
Strategy = Annotated[str, typer.Option(metavar="NAME", help=f"How to search: {' or '.join(STRATEGIES)}.")]
Space = Annotated[str, typer.Option(metavar="NAME", help="Search space by name, or by the path of its .toml.")]
Precision = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="int8 or float32; else as the board's file says. TensorRT computes float32 models in half precision, "
        "and without this option takes those.",
    ),
]
Statistic = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Which latency is held against the budget: min, p10, p50, p95 or max; else as the board's file says.",
    ),
]
SetGovernor = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Frequency governor of the board while models are timed, e.g. performance; put back afterwards, "
        "whatever happens. Needs the right to set it. Without it no setting of the board's power is changed.",
    ),
]
Runtime = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="What runs models on the board: litert, tflite, tensorflow, tensorrt or onnxruntime; else the board's "
        "first.",
    ),
]
RuntimeOrFastest = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="What runs models on the board: litert, tflite, tensorflow, tensorrt or onnxruntime; else the fastest of "
        "those that it has, by one network timed on each; onnxruntime only by name.",
    ),
]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, metavar="N", help="Seed of everything random.")]
Epochs = Annotated[
    int | None, typer.Option(metavar="N", help="Epochs of the full training; else by the size of the data.")
]
Size = Annotated[
    int | None, typer.Option(metavar="N", help="Scale images to N x N pixels; else by the size of the images.")
]
Task = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="What the data are: images or audio; else recognised from the files."),
]
GroupBy = Annotated[
    str | None,
    typer.Option(
        metavar="REGEX",
        help="Files that belong together, as all of a speaker, go to one part: the expression's first group in a "
        "file's path names them. Recordings named 0_theo_12.wav or 0a7c2a8d_nohash_0.wav go without it.",
    ),
]
Runs = Annotated[Path, typer.Option(metavar="FOLDER", help="Where the folder of this run is made.")]


def _require_stdout(as_json: bool) -> bool:
    if as_json and streams.stdout_is_closed():  # before minutes of work whose result nobody could read
        raise EdgenasError("--json prints on stdout, which is closed: send it to a file (>FILE), or leave --json out")
    return as_json


Json = Annotated[
    bool,
    typer.Option("--json", callback=_require_stdout, help="Print one JSON object on stdout; all else goes to stderr."),
]


def refuse_before_subcommand(context: typer.Context) -> None:
    """Raise UsageError for options of a command that were given before the name of its subcommand."""
    for name in context.params:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            line = f"{context.command_path} {context.invoked_subcommand}"
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} before {context.invoked_subcommand}: write it behind, {line} {option} ...")
