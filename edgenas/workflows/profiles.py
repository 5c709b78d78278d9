"""`edgenas profile export`, `import` and `merge`: what was measured on a board, as a file that people hand on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edgenas import exchange, latency, resources, spaces
from edgenas.board import Board, BoardProfile, ProfileKey
from edgenas.errors import UsageError
from edgenas.exchange import Exchange
from edgenas.refine import refine, refreshed
from edgenas.store import Measurement, Store


@dataclass(frozen=True)
class Exported:
    """A file that was written. left_out: measurements of search spaces that are not known any more."""

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
    """What a file brought: measurements that were new, and that were known; notes say what to think of."""

    file: str
    board: str
    keys: tuple[ProfileKey, ...]
    new: int
    known: int
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return asdict(self)


def export_profile(board: str = "host", *, out: str | Path | None = None, by: str | None = None) -> Exported:
    """Write all measurements on `board`, of every runtime, precision and setting, and its profiles into one file.

    out: the file, by default BOARD-profile.json in the working folder. by: who measured, for those who get it.

    Raises UsageError for an unknown board, one that nothing was measured on or a file that exists, EdgenasError if a
    file cannot be read or written.
    """
    described = Board.load(board)
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
    priced = tuple(m for m in measurements if _is_priced(made, m))
    if not priced:
        raise UsageError(
            f"nothing was measured on board {described.id} yet: run edgenas profile --board {described.id}",
            board=described.id,
        )
    made = replace(made, measurements=priced)
    made.write(file)
    return Exported(str(file), described.id, made.keys, len(priced), len(measurements) - len(priced))


def import_profile(file: str | Path) -> Imported:
    """Add a file's measurements to one's own and refine the profiles of the board by them; twice is once.

    Imported measurements count as older than one's own: another board of the same kind may differ a little.

    Raises ProfileError naming what is wrong with the file, UsageError for one of a board that is unknown here or is
    another one; nothing was changed then.
    """
    resources.require_package("scipy")  # before anything is changed
    path = Path(file)
    brought = exchange.read(path)
    board = _board_of(brought, path)
    _check_spaces(brought, path)
    notes = []
    if brought.facts_sha256 != exchange.facts_sha256(board):
        notes.append(f"the facts of board {board.id} are others there than in {board.file}: is it the same board?")
    origin = {"file": path.name, "by": brought.by, "imported_utc": exchange.now_utc()}
    marked = [m if "imported" in m.conditions else _marked(m, origin) for m in brought.measurements]
    with Store() as store:
        # Everything that may fail comes before anything is changed.
        fitted = [_refined(board, key, [*store.read(key), *marked], brought, origin) for key in brought.keys]
        for table in brought.spaces.values():
            spaces.remember(spaces.bound(table, (1, 8, 8), 2))
        new = store.append_new(marked)
    for profile in fitted:
        profile.save()
    return Imported(str(path), board.id, brought.keys, len(new), len(marked) - len(new), tuple(notes))


def merge_profiles(files: Sequence[str | Path], out: str | Path) -> Exported:
    """Write what several files of one board hold into one, each measurement once, its profiles fitted on all of them.

    Raises ProfileError naming the file that is damaged, UsageError if they are of different boards or `out` exists.
    """
    resources.require_new(Path(out), "merge")
    paths = [Path(file) for file in files]
    together = exchange.merged([exchange.read(path) for path in paths], [str(path) for path in paths])
    exact = together.kind == "mcu"
    model = "engine" if exact else latency.DEFAULT
    profiles = [
        refine(together.profile(key), key, found, together.blocks, model=model, exact=exact)
        for key in together.keys
        if (found := together.of(key))
    ]
    made = replace(together, profiles=tuple(profiles))
    made.write(Path(out))
    return Exported(str(out), made.board, made.keys, len(made.measurements))


def _tables(measurements: Sequence[Measurement]) -> Mapping[str, Mapping[str, Any]]:
    """The tables of the users' own spaces that measurements were taken in, by name."""
    found = {m.space: spaces.recall(m.space, m.input_shape, m.classes) for m in measurements}
    own = {name: space for name, space in found.items() if space is not None and not spaces.is_shipped(name)}
    return {name: spaces.to_table(space) for name, space in own.items()}


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
        mine = spaces.recall(name, (1, 8, 8), 2)
        if mine is not None and spaces.to_table(mine) != spaces.to_table(spaces.bound(table, (1, 8, 8), 2)):
            raise UsageError(
                f"{path}: its search space {name!r} is not yours of that name, in {spaces.path(name)}: move yours "
                "away to take theirs; nothing was changed",
                file=str(path),
            )


def _marked(m: Measurement, origin: Mapping[str, Any]) -> Measurement:
    return replace(m, conditions={**m.conditions, "imported": dict(origin)})


def _refined(
    board: Board, key: ProfileKey, measurements: Sequence[Measurement], brought: Exchange, origin: Mapping[str, Any]
) -> BoardProfile:
    """The profile of `key` fitted on all that is known of it here and there; without a measurement, theirs."""
    theirs = brought.profile(key)
    if theirs is not None:
        theirs = replace(theirs, provenance={**theirs.provenance, "imported": dict(origin)})
    known = {m.identity: m for m in reversed(measurements) if m.key == key and _is_priced(brought, m)}
    if not known:
        assert theirs is not None  # a file's key has one or the other
        return BoardProfile.load(key) or theirs
    return refreshed(board, key, list(known.values())[::-1], brought.blocks, before=theirs)
