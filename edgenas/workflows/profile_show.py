# SPDX-License-Identifier: Apache-2.0
"""`edgenas profile show`: what the profiles of a board are worth, and a picture of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgenas import resources
from edgenas.boards.board import Board
from edgenas.errors import UsageError
from edgenas.profiles.measurement import blocks_of
from edgenas.profiles.review import Review, review
from edgenas.profiles.store import Store
from edgenas.runtimes.registry import of_kind
from edgenas.units import Unit
from firmware_tools.plain_text import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PICTURES = (".svg", ".png", ".pdf")


@dataclass(frozen=True)
class Shown:
    """The reviews of all keys of a board, the one measured last first; `picture` is the file that was drawn."""

    board: str
    unit: Unit
    reviews: tuple[Review, ...]
    picture: str | None

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        table = {"board": self.board, "profiles": [asdict(each) for each in self.reviews], "picture": self.picture}
        return self.unit.label(table)


def show_profile(board: str = "host", *, picture: str | Path | None = None) -> Shown:
    """Review all that was measured on a board; draw it into the file `picture` (.svg, .png or .pdf), if one is named.

    Raises UsageError for an unknown board, one that nothing was measured on, or another kind of file.
    """
    described = Board.load(board)
    if picture is not None and Path(picture).suffix.lower() not in PICTURES:
        raise UsageError(f"picture {picture}: name a file that ends in {', '.join(PICTURES)}", file=str(picture))
    model = of_kind(described.kind).latency_model
    found = []
    with Store() as store:
        for key in store.keys(described.id):
            measured = store.read(key)
            blocks = {m.network: known for m in measured if (known := blocks_of(m)) is not None}
            priced = [m for m in measured if m.network in blocks]
            if priced:
                last = max(m.taken_utc for m in priced)
                found.append((last, review(key, priced, blocks, model)))
    if not found:
        raise UsageError(
            f"nothing was measured on board {described.id} yet: run edgenas profile --board {described.id}",
            board=described.id,
        )
    reviews = tuple(each for _, each in sorted(found, key=lambda pair: pair[0], reverse=True))
    if picture is not None:
        _draw(reviews, described.unit, Path(picture))
    return Shown(described.id, described.unit, reviews, None if picture is None else str(picture))


def _draw(reviews: tuple[Review, ...], unit: Unit, path: Path) -> None:
    """One row for each key: predicted against measured, error by operator, drift by session."""
    from matplotlib import style
    from matplotlib.figure import Figure

    # A matplotlibrc of the working folder would have its say, and may start LaTeX; names from a file are no formulas.
    with style.context(["default", {"text.parse_math": False}]):
        figure = Figure(figsize=(13, 4 * len(reviews)), layout="constrained")
        rows = figure.subplots(len(reviews), 3, squeeze=False)
        for row, each in zip(rows, reviews, strict=True):
            _scatter(row[0], each, unit)
            _operators(row[1], each)
            _sessions(row[2], each)
        try:
            with resources.writing(path) as part:
                figure.savefig(part, format=path.suffix[1:].lower())
        except OSError as error:
            raise resources.not_written(path, error) from error


def _scatter(axes: Axes, each: Review, unit: Unit) -> None:
    axes.set_title(plain(str(each.key)), fontsize=8)
    axes.set_xlabel(f"measured [{unit.name}]")
    axes.set_ylabel(f"predicted without it, 90 % interval [{unit.name}]")
    if not each.networks:
        return
    measured = [network.measured_ms for network in each.networks]
    predicted = [network.predicted_ms for network in each.networks]
    margins = [min(1.645 * network.std_ms, 0.999 * network.predicted_ms) for network in each.networks]
    axes.errorbar(measured, predicted, yerr=margins, fmt="o", markersize=3, elinewidth=0.7)
    ends = [min(measured), max(measured)]
    axes.plot(ends, ends, linewidth=0.7, color="black")
    axes.set_xscale("log")
    axes.set_yscale("log")


def _operators(axes: Axes, each: Review) -> None:
    names = [f"{plain(operator.operator)} ({operator.networks})" for operator in reversed(each.operators)]
    axes.barh(names, [100 * operator.mape for operator in reversed(each.operators)])
    axes.plot([100 * operator.bias for operator in reversed(each.operators)], names, "k|", markersize=12)
    axes.set_xlabel("error by operator [%]: mean (bar), signed (mark)")


def _sessions(axes: Axes, each: Review) -> None:
    axes.plot([session.drift for session in each.sessions], "o-", markersize=3)
    days = [plain(session.started_utc[:10]) for session in each.sessions]
    axes.set_xticks(range(len(days)), days, rotation=45)
    axes.set_ylabel("the latest session's latency, of each one's")
