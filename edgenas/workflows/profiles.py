# SPDX-License-Identifier: Apache-2.0
"""`edgenas profile export`, `import` and `merge`: what was measured on a board, as a file that people hand on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edgenas import resources
from edgenas.boards.board import Board
from edgenas.checks import check_text, printable
from edgenas.errors import ProfileError, UsageError
from edgenas.profiles import exchange
from edgenas.profiles.disagreement import FACTOR, Disagreement, disagreements
from edgenas.profiles.exchange import Exchange
from edgenas.profiles.measurement import Measurement, Origin
from edgenas.profiles.profile import BoardProfile, ProfileKey
from edgenas.profiles.refine import refine, refreshed
from edgenas.profiles.store import Store
from edgenas.progress import Reporter, Silent
from edgenas.runtimes.registry import of_kind
from edgenas.spaces import catalogue
from edgenas.units import Unit

SHOWN = 5  # of what disagrees


@dataclass(frozen=True)
class Exported:
    """A file that was written.

    left_out: measurements of search spaces that are not known any more, with names or conditions that are too long, or
    beyond the newest 10,000, which is what a file may hold.
    """

    file: str
    board: str
    keys: tuple[ProfileKey, ...]
    measurements: int
    left_out: int = 0

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return asdict(self)


@dataclass(frozen=True)
class Imported:
    """What a file brought: measurements that were new, and that were known; notes say what to think of.

    disagreements: what differs by more than three times from what was known. layers: what the profile of each `key`
    makes of the file, as `edgenas.profiles.evidence.Layer` has it.
    """

    file: str
    board: str
    keys: tuple[ProfileKey, ...]
    new: int
    known: int
    notes: tuple[str, ...]
    disagreements: tuple[Disagreement, ...]
    layers: tuple[Mapping[str, Any], ...]
    unit: Unit

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        table = {name: value for name, value in asdict(self).items() if name != "unit"}
        return self.unit.label(table)


def export_profile(board: str = "host", *, out: str | Path | None = None, by: str | None = None) -> Exported:
    """Write all measurements on `board`, of every runtime, precision and setting, and its profiles into one file.

    out: the file, by default BOARD-profile.json in the working folder. by: who measured, for those who get it.

    Raises UsageError for an unknown board, one that nothing was measured on or a file that exists, EdgenasError if a
    file cannot be read or written.
    """
    described = Board.load(board)
    if by is not None:
        check_text(by, "--by", empty=True)
    file = Path(out) if out is not None else Path(f"{described.id}-profile.json")
    resources.require_new(file, "export")
    with Store() as store:
        keys = store.keys(described.id)
        measurements = [m for key in keys for m in store.read(key)]
    profiles = [profile for key in keys if (profile := BoardProfile.load(key)) is not None]
    made = Exchange(
        board=described.id,
        kind=described.kind,
        unit=described.unit.name,
        facts_sha256=exchange.facts_sha256(described),
        measurements=(),
        profiles=tuple(profiles),
        spaces=_tables(measurements),
        by=by,
        created_utc=exchange.now_utc(),
    )
    priced = exchange.newest(m for m in measurements if _is_priced(made, m) and exchange.exportable(m))
    if not priced:
        raise UsageError(
            f"nothing was measured on board {described.id} yet: run edgenas profile --board {described.id}",
            board=described.id,
        )
    made = replace(made, measurements=priced)
    made.write(file)
    return Exported(str(file), described.id, made.keys, len(priced), len(measurements) - len(priced))


def import_profile(file: str | Path, *, accept: bool = False, reporter: Reporter | None = None) -> Imported:
    """Add a file's measurements to one's own and refine the profiles of the board by them; twice is once.

    Imported measurements are a layer of their own: another board of the same kind may be faster or slower, so they are
    brought to one's own by a factor, and count less. What disagrees by more than three times is told to `reporter` and
    refused, unless `accept` is True. `forget_profile` takes a file back.

    Raises ProfileError naming what is wrong with the file, UsageError for one of a board that is unknown here or is
    another one, or for what disagrees; nothing was changed then.
    """
    resources.require_package("scipy")  # before anything is changed
    path = Path(file)
    brought = exchange.read(path)
    board = _board_of(brought, path)
    _check_spaces(brought, path)
    notes = []
    if brought.facts_sha256 != exchange.facts_sha256(board):
        notes.append(f"the facts of board {board.id} are others there than in {board.file}: is it the same board?")
    origin = Origin(brought.sha256, printable(path.name), brought.by, exchange.now_utc())
    imported = [replace(m, origin=origin) for m in brought.measurements]
    with Store() as store:
        # Everything that may fail comes before anything is changed.
        before = {key: store.read(key) for key in brought.keys}
        known = {m.identity for found in before.values() for m in found}
        new = [m for m in imported if m.identity not in known]
        try:
            apart = _disagreements(board, before, new, brought)
            if not accept:
                _refuse(apart, board, path, reporter or Silent())
            fitted = [_refined(board, key, [*before[key], *new], brought, origin) for key in brought.keys]
        except (ValueError, RuntimeError, ArithmeticError) as error:  # numbers that no model can be fitted on
            reason = f"its measurements cannot be learnt from ({printable(str(error), 60)}); nothing was changed"
            raise ProfileError(f"{path}: {reason}", file=str(path)) from error
        if forgotten := store.forgotten(origin):
            notes.append(f"{forgotten} of its measurements had been forgotten: what is imported counts again")
        for table in brought.spaces.values():
            catalogue.remember(catalogue.bound(table, (1, 8, 8), 2))
        added = store.append_new(imported)
    for profile in fitted:
        profile.save()
    layers = [(profile.key, layer) for profile in fitted for layer in profile.provenance.get("layers", ())]
    mine = tuple({"key": asdict(key), **layer} for key, layer in layers if layer["sha256"] == origin.sha256)
    count = len(imported) - len(added)
    return Imported(str(path), board.id, brought.keys, len(added), count, tuple(notes), tuple(apart), mine, board.unit)


def merge_profiles(files: Sequence[str | Path], out: str | Path) -> Exported:
    """Write what several files of one board hold into one, each measurement once, its profiles fitted on all of them.

    Raises ProfileError naming the file that is damaged, UsageError if they are of different boards or `out` exists.
    """
    resources.require_new(Path(out), "merge")
    paths = [Path(file) for file in files]
    together, left_out = exchange.merged([exchange.read(path) for path in paths], [str(path) for path in paths])
    runtime = of_kind(together.kind)
    anybody = Origin("", "", None, "")  # none of it is one's own: see what is fitted of imported measurements
    profiles = [
        refine(together.profile(key), key, found, together.blocks, model=runtime.latency_model, exact=runtime.exact)
        for key in together.keys
        if (found := [replace(m, origin=anybody) for m in together.of(key)])
    ]
    made = replace(together, profiles=tuple(profiles))
    made.write(Path(out))
    return Exported(str(out), made.board, made.keys, len(made.measurements), left_out)


def _tables(measurements: Sequence[Measurement]) -> Mapping[str, Mapping[str, Any]]:
    """The tables of the users' own spaces that measurements were taken in, by name."""
    found = {m.space: catalogue.recall(m.space, m.input_shape, m.classes) for m in measurements}
    own = {name: space for name, space in found.items() if space is not None and not catalogue.is_shipped(name)}
    return {name: catalogue.to_table(space) for name, space in own.items()}


def _is_priced(made: Exchange, m: Measurement) -> bool:
    try:
        made.blocks(m)
    except UsageError:
        return False
    return True


def _board_of(brought: Exchange, path: Path) -> Board:
    """The board of a file as it is known here. Raises UsageError if it is unknown or another one."""
    try:
        board = Board.load(brought.board)
    except UsageError as error:
        step = f"put its board.toml into $EDGENAS_HOME/boards/{brought.board} first"
        raise UsageError(f"{path} is of board {brought.board!r}, unknown here: {step}", file=str(path)) from error
    for what, theirs, mine in (("kind", brought.kind, board.kind), ("unit", brought.unit, board.unit.name)):
        if theirs != mine:
            raise UsageError(
                f"{path}: the {what} of board {board.id} is {theirs} there and {mine} in {board.file}: "
                "it is another board, nothing was changed",
                file=str(path),
            )
    return board


def _check_spaces(brought: Exchange, path: Path) -> None:
    for name, table in brought.spaces.items():
        mine = catalogue.recall(name, (1, 8, 8), 2)
        if mine is not None and catalogue.to_table(mine) != catalogue.to_table(catalogue.bound(table, (1, 8, 8), 2)):
            raise UsageError(
                f"{path}: its search space {name!r} is not yours of that name, in {catalogue.path(name)}: move yours "
                "away to take theirs; nothing was changed",
                file=str(path),
            )


def _disagreements(
    board: Board, before: Mapping[ProfileKey, Sequence[Measurement]], new: Sequence[Measurement], brought: Exchange
) -> list[Disagreement]:
    """What is new in a file and disagrees with what was known before, of all keys, the worst first."""
    found = []
    for key, measured in before.items():
        mine = [m for m in measured if _is_priced(brought, m)]
        theirs = [m for m in new if m.key == key]
        if theirs:
            found += disagreements(board, key, mine, theirs, brought.blocks)
    return sorted(found, key=lambda one: -one.size)


def _refuse(apart: Sequence[Disagreement], board: Board, path: Path, reporter: Reporter) -> None:
    """Raise UsageError if anything disagrees, after it was shown."""
    if not apart:
        return
    for one in apart[:SHOWN]:
        reporter.say(told(one, board.unit))
    if len(apart) > SHOWN:
        reporter.say(f"and {len(apart) - SHOWN} more")
    worst = f"the worst by {apart[0].size:.3g} times"
    what = "its latencies as a whole" if len(apart) == 1 and apart[0].architecture is None else f"{len(apart)} of them"
    raise UsageError(
        f"{path}: {what} disagree with {apart[0].against} by more than {FACTOR:g} times, {worst}: "
        "say --yes to take the file all the same; nothing was changed",
        file=str(path),
        disagreements=tuple(apart),
    )


def told(one: Disagreement, unit: Unit) -> str:
    """A line for people on what disagrees."""
    imported, expected = unit.format(one.imported_ms), unit.format(one.expected_ms)
    if one.architecture is None:
        return f"all of it: {imported} in the middle, {expected} by {one.against}, {one.ratio:.3g} times as long"
    scale = "" if one.scale == 1 else f" x {one.scale:.3g}"
    return f"{one.architecture}: {imported}{scale}, {expected} by {one.against}, {one.ratio:.3g} times as long"


def _refined(
    board: Board, key: ProfileKey, measurements: Sequence[Measurement], brought: Exchange, origin: Origin
) -> BoardProfile:
    """The profile of `key` fitted on all that is known of it here and there; without a measurement one's own, else
    theirs.
    """
    known = {m.identity: m for m in reversed(measurements) if m.key == key and _is_priced(brought, m)}
    theirs = brought.profile(key)
    if not known:
        assert theirs is not None  # a file's key has one or the other
        mark = {"imported": asdict(origin)}
        return BoardProfile.load(key) or replace(theirs, provenance={**theirs.provenance, **mark})
    return refreshed(board, key, list(known.values())[::-1], brought.blocks, before=theirs)
