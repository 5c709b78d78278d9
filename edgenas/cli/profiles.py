"""`edgenas profile export`, `import`, `merge` and `show`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgenas.cli import options, profile

if TYPE_CHECKING:
    from rich.console import Console

    from edgenas.review import Review
    from edgenas.units import Unit
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
    as_json: options.Json = False,
) -> None:
    """Add somebody's measurements of a board to yours.

    Example: edgenas profile import rpi-4b.json

    Everything in the file is checked first; what is known already is left out. Your own measurements count more.
    """
    import edgenas
    from edgenas.cli import output

    done = edgenas.import_profile(file)
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

    left_out = f"{done.left_out}, of search spaces that are not known any more" if done.left_out else None
    profiles = [("profile" if i == 0 else "", str(key)) for i, key in enumerate(done.keys)]
    pairs = [("board", done.board), *profiles, ("measurements", str(done.measurements)), ("left out", left_out)]
    facts(console, [*pairs, ("file", done.file)])


def _present_import(console: Console, done: Imported) -> None:
    from edgenas.cli.output import facts

    profiles = [("profile" if i == 0 else "", str(key)) for i, key in enumerate(done.keys)]
    count = f"{done.new} new, {done.known} known already"
    notes = [("note", note) for note in done.notes]
    facts(console, [("board", done.board), *profiles, ("measurements", count), *notes])


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
    pairs: list[tuple[str, str | None]] = [
        ("profile", str(each.key)),
        ("measurements", f"{each.measurements} in {sittings}"),
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
            s.started_utc[:16].replace("T", " "),
            f"{s.host or '-'}{', imported' if s.imported else ''}",
            str(s.measurements),
            str(s.contradicted),
            f"{s.drift:.3f}",
        )
        for s in each.sessions
    ]
    table(console, ("session", "device", "measurements", "contradicted", "drift"), sessions, left=2)
