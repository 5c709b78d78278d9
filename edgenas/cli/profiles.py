# SPDX-License-Identifier: Apache-2.0
"""`edgenas profile export`, `import`, `merge`, `forget` and `show`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgenas.cli import options, profile

if TYPE_CHECKING:
    from rich.console import Console

    from edgenas.profiles.review import Review
    from edgenas.units import Unit
    from edgenas.workflows.profile_forget import Forgotten, KeyForgotten
    from edgenas.workflows.profile_show import Shown
    from edgenas.workflows.profiles import Exported, Imported

app = typer.Typer()
app.callback(invoke_without_command=True)(profile.profile)


@app.command("export")
def export_profile(
    board: options.Board = "host",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="A new file; else BOARD-profile.json in this folder."),
    ] = None,
    by: Annotated[str | None, typer.Option(metavar="NAME", help="Who measured, for those who get the file.")] = None,
    as_json: options.Json = False,
) -> None:
    """Write a board's measurements and profiles into one file.

    Example: edgenas profile export --board rpi-4b -o rpi-4b.json

    All runtimes, precisions and power settings; conditions hold the board's host name. import reads it.
    """
    import edgenas
    from edgenas.cli import output

    done = edgenas.export_profile(board, out=out, by=by)
    output.show(done.to_json(), as_json, lambda console: _present_file(console, done))


@app.command("import")
def import_profile(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What profile export wrote.")],
    yes: Annotated[
        bool, typer.Option("--yes", help="Take the file although it disagrees by more than three times.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Add somebody's measurements of a board to yours.

    Example: edgenas profile import rpi-4b.json

    Everything in the file is checked first; what is known already is left out. Your own measurements count more, and
    tell by which factor the other board is slower. What disagrees by more than three times is shown and wants --yes.
    forget takes a file back.
    """
    import edgenas
    from edgenas.cli import output

    with output.working(quiet=True) as reporter:
        done = edgenas.import_profile(file, accept=yes, reporter=reporter)
    output.show(done.to_json(), as_json, lambda console: _present_import(console, done))


@app.command("merge")
def merge_profiles(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files of profile export, of one board.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The new file.")],
    as_json: options.Json = False,
) -> None:
    """Make one file of several of one board.

    Example: edgenas profile merge mine.json theirs.json -o both.json
    """
    import edgenas
    from edgenas.cli import output

    done = edgenas.merge_profiles(files, out)
    output.show(done.to_json(), as_json, lambda console: _present_file(console, done))


@app.command("forget")
def forget_profile(
    what: Annotated[
        str,
        typer.Argument(
            metavar="FILE|SESSION",
            help="An imported file, its name or its sha256; or a session as profile show names it.",
        ),
    ],
    as_json: options.Json = False,
) -> None:
    """Take back what an imported file, or a session of your own, has taught the profiles.

    Example: edgenas profile forget rpi-4b.json

    Its measurements count no more, the profiles are fitted anew on the others; where there are none they are removed.
    Importing the file again brings it back.
    """
    import edgenas
    from edgenas.cli import output

    done = edgenas.forget_profile(what)
    output.show(done.to_json(), as_json, lambda console: _present_forgotten(console, done))


@app.command("show")
def show_profile(
    board: options.Board = "host",
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw it, too, into a .svg, .png or .pdf file.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Compare what a board's profiles predict with what was measured.

    Example: edgenas profile show --board host --plot profile.svg

    Predictions are cross-validated: each network's is of a model that was fitted without it. Drift is how much slower
    the latest session was than an earlier one.
    """
    import edgenas
    from edgenas.cli import output

    shown = edgenas.show_profile(board, picture=plot)
    output.show(shown.to_json(), as_json, lambda console: _present_shown(console, shown))


def _present_file(console: Console, done: Exported) -> None:
    from edgenas.cli.output import facts

    why = "of unknown search spaces, with names or conditions that are too long, or too old for a file"
    left_out = f"{done.left_out}, {why}" if done.left_out else None
    profiles = [("profile" if i == 0 else "", str(key)) for i, key in enumerate(done.keys)]
    pairs = [("board", done.board), *profiles, ("measurements", str(done.measurements)), ("left out", left_out)]
    facts(console, [*pairs, ("file", done.file)])


def _present_import(console: Console, done: Imported) -> None:
    from edgenas.cli.output import facts
    from edgenas.workflows.profiles import SHOWN, told

    profiles = [("profile" if i == 0 else "", str(key)) for i, key in enumerate(done.keys)]
    count = f"{done.new} new, {done.known} known already"
    notes = [("note", note) for note in done.notes]
    layers = [("scale", _scale(layer)) for layer in done.layers]
    apart = [("disagrees", told(one, done.unit)) for one in done.disagreements[:SHOWN]]
    if len(done.disagreements) > SHOWN:
        apart.append(("", f"and {len(done.disagreements) - SHOWN} more"))
    facts(console, [("board", done.board), *profiles, ("measurements", count), *layers, *apart, *notes])


def _scale(layer: Mapping[str, Any]) -> str:
    """How the latencies of an imported file are brought to the board's."""
    if layer["by"] == "nothing":
        return "as they are: there is nothing of your own to compare with"
    whose = "networks that both measured" if layer["by"] == "networks" else "networks, by a model of your own"
    return f"x {layer['scale']:.3g} (+- {100 * layer['scale_std']:.1f} %), by {layer['compared']} {whose}"


def _present_forgotten(console: Console, done: Forgotten) -> None:
    from edgenas.cli.output import facts

    what = ("session", done.session) if done.session is not None else ("file", done.file)
    keys = [("profile" if i == 0 else "", _left(each)) for i, each in enumerate(done.keys)]
    facts(console, [what, ("measurements", f"{done.measurements} forgotten"), *keys])


def _left(each: KeyForgotten) -> str:
    if not each.left:
        return f"{each.key}: {each.forgotten} forgotten; nothing is left, the profile is removed"
    return f"{each.key}: {each.forgotten} forgotten; fitted anew on {each.left} measurements"


def _present_shown(console: Console, shown: Shown) -> None:
    from edgenas.cli.output import lines

    for each in shown.reviews:
        _present_review(console, each, shown.unit)
        console.print()
    if shown.picture is not None:
        lines(console, [f"drawn in {shown.picture}"])


def _present_review(console: Console, each: Review, unit: Unit) -> None:
    from edgenas.cli.output import facts, latency, percent, table

    shown = partial(latency, unit)
    sittings = "1 session" if len(each.sessions) == 1 else f"{len(each.sessions)} sessions"
    layers = [("imported", f"{layer['file']}: {layer['measurements']}, {_scale(layer)}") for layer in each.layers]
    pairs: list[tuple[str, str | None]] = [
        ("profile", str(each.key)),
        ("measurements", f"{each.measurements} in {sittings}"),
        *layers,
        ("error", None if each.mape is None else f"{percent(each.mape)} on networks that were left out"),
        ("certainty", None if each.within90 is None else f"{percent(each.within90)} inside the 90 % interval"),
    ]
    facts(console, pairs)
    if each.networks:
        worst = sorted(each.networks, key=lambda network: -abs(network.error))[:5]
        rows = [(n.architecture, shown(n.measured_ms), shown(n.predicted_ms), percent(n.error)) for n in worst]
        table(console, ("worst predicted", "measured", "predicted", "error"), rows)
        operators = [(o.operator, str(o.networks), percent(o.mape), percent(o.bias)) for o in each.operators]
        table(console, ("operator", "networks", "error", "signed"), operators)
    sessions = [
        (
            s.session,
            s.started_utc[:16].replace("T", " "),
            f"{s.host or '-'}{f', imported with {s.file}' if s.imported else ''}",
            str(s.measurements),
            str(s.contradicted),
            f"{s.drift:.3f}",
        )
        for s in each.sessions
    ]
    table(console, ("session", "began", "device", "measurements", "contradicted", "drift"), sessions, left=3)
