# SPDX-License-Identifier: Apache-2.0
"""A board's measurements and profiles as one JSON file that people hand on to each other.

The object in the file (schema 1): `format`, `schema`, `edgenas` (version), `created_utc`, `by` (who; or null), `board`
(id, kind, unit, `facts_sha256`), `spaces` (the tables of the users' own search spaces), `keys` (each with `key`,
`profile`, or null, and `measurements`) and `sha256`, of the rest as JSON without blanks and with sorted keys.

What somebody else has written is not believed: every value is checked before any of it is used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgenas import latency, resources
from edgenas.boards.board import Board
from edgenas.checks import check_date, check_text, printable
from edgenas.errors import ProfileError, UsageError
from edgenas.profiles.measurement import Measurement
from edgenas.profiles.plausible import check_architecture, check_key, check_measurement, check_space
from edgenas.profiles.profile import BoardProfile, ProfileKey
from edgenas.spaces import catalogue
from edgenas.spaces.architecture import Architecture, Block
from edgenas.spaces.space import SearchSpace
from edgenas.version import __version__
from firmware_tools.reading import UnreadableError, parse_json, read_bytes

FORMAT = "edgenas board profile"
SCHEMA = 1
MAX_MEASUREMENTS = 10_000  # 17 MB with all that a Jetson reports; about six hours of measuring
_MAX_BYTES = 32 << 20
# What a text of so many bytes may become in memory is told by its values, and these by their separators: 10,000
# measurements have 440,000 entries and 70,000 lists and objects.
_MAX_SEPARATORS = {b":": 900_000, b",": 4_000_000, b"[": 150_000, b"{": 150_000}
_MAX_KEYS, _MAX_SPACES = 64, 64
_MAX_BLOCKS = 20_000  # different ones in a file; 10,000 networks of the tiny space have 3,000
_MAX_BY = 1000  # characters: merged files name everybody


@dataclass(frozen=True)
class Exchange:
    """What such a file holds.

    facts_sha256: of the board's facts where it was made. spaces: the tables of spaces that are not shipped, by name.
    measurements: of all keys. profiles: those that were fitted there. sha256: of the content, "" of what is not read.
    """

    board: str
    kind: str
    unit: str
    facts_sha256: str
    measurements: tuple[Measurement, ...]
    profiles: tuple[BoardProfile, ...] = ()
    spaces: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    by: str | None = None
    created_utc: str = ""
    sha256: str = ""

    @property
    def keys(self) -> tuple[ProfileKey, ...]:
        """Every key that is measured or profiled."""
        return tuple(sorted({m.key for m in self.measurements} | {profile.key for profile in self.profiles}))

    def of(self, key: ProfileKey) -> list[Measurement]:
        """The measurements of a key."""
        return [m for m in self.measurements if m.key == key]

    def profile(self, key: ProfileKey) -> BoardProfile | None:
        """The newest profile of a key, None if there is none."""
        mine = (profile for profile in self.profiles if profile.key == key)
        return max(mine, key=lambda profile: profile.refined_utc, default=None)

    def space(self, m: Measurement) -> SearchSpace | None:
        """The space of a measurement: the file's, else a shipped or remembered one; None if it is not known."""
        if m.space in self.spaces:
            return catalogue.bound(self.spaces[m.space], m.input_shape, m.classes)
        return catalogue.recall(m.space, m.input_shape, m.classes)

    def blocks(self, m: Measurement) -> tuple[Block, ...]:
        """The blocks of a measurement's architecture. Raises UsageError if its space is unknown, or it cannot be."""
        space, architecture = self.space(m), Architecture.parse(m.architecture)
        if space is None:
            raise UsageError(f"search space {m.space!r} is unknown")
        check_architecture(architecture, space)
        return space.blocks(architecture)

    def write(self, path: Path) -> None:
        """Write the file, as a whole or not at all. Raises EdgenasError if it cannot be written."""
        keys = [
            {
                "key": asdict(key),
                "profile": None if (profile := self.profile(key)) is None else profile.to_json(),
                "measurements": [_bare(m) for m in self.of(key)],
            }
            for key in self.keys
        ]
        content = {
            "format": FORMAT,
            "schema": SCHEMA,
            "edgenas": __version__,
            "created_utc": self.created_utc,
            "by": self.by,
            "board": {"id": self.board, "kind": self.kind, "unit": self.unit, "facts_sha256": self.facts_sha256},
            "spaces": dict(self.spaces),
            "keys": keys,
        }
        try:
            resources.write_text(path, json.dumps({**content, "sha256": digest(content)}, indent=1) + "\n")
        except OSError as error:
            raise resources.not_written(path, error) from error


def digest(content: Mapping[str, Any]) -> str:
    """The sha256 of a file's content, all but its own entry."""
    rest = {key: value for key, value in content.items() if key != "sha256"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def facts_sha256(board: Board) -> str:
    """What identifies the facts of a board's file, wherever that is."""
    return digest({"id": board.id, "kind": board.kind, "facts": json.loads(json.dumps(dict(board.facts), default=str))})


def merged(exchanges: Sequence[Exchange], files: Sequence[str]) -> tuple[Exchange, int]:
    """All measurements and profiles of files of one board, and how many of the oldest a file has no place for.

    Raises UsageError if boards, units or spaces differ.
    """
    first, named = exchanges[0], dict(exchanges[0].spaces)
    for other, file in zip(exchanges[1:], files[1:], strict=True):
        for what in ("board", "kind", "unit"):
            mine, theirs = getattr(first, what), getattr(other, what)
            if mine != theirs:
                raise UsageError(f"{file}: {what} {theirs}, {files[0]}: {mine}; merge files of one board", file=file)
        for name, table in other.spaces.items():
            if named.setdefault(name, table) != table:
                raise UsageError(
                    f"{file}: its search space {name!r} is another one than in the files before: rename one of them",
                    file=file,
                )
    by = ", ".join(dict.fromkeys(exchange.by for exchange in exchanges if exchange.by))[:_MAX_BY] or None
    measurements = {m.identity: m for exchange in exchanges for m in exchange.measurements}
    kept = newest(measurements.values())
    made = Exchange(
        board=first.board,
        kind=first.kind,
        unit=first.unit,
        facts_sha256=first.facts_sha256,
        measurements=kept,
        profiles=tuple(profile for exchange in exchanges for profile in exchange.profiles),
        spaces=named,
        by=by,
        created_utc=now_utc(),
    )
    return made, len(measurements) - len(kept)


def newest(measurements: Iterable[Measurement]) -> tuple[Measurement, ...]:
    """So many as a file may hold, those that were taken last, the oldest first."""
    return tuple(sorted(measurements, key=lambda m: m.taken_utc)[-MAX_MEASUREMENTS:])


def now_utc() -> str:
    """The time as measurements have it."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def read(path: Path) -> Exchange:
    """Read a file and check everything in it.

    Raises ProfileError naming the file and what is wrong with it: not JSON, of another program, of a newer schema,
    changed or cut since it was written, or with values that cannot be.
    """
    try:
        data = read_bytes(path, _MAX_BYTES)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", file=str(path)) from error
    except UnreadableError as error:
        raise _refused(path, f"{error}, which no export is") from error
    if any(data.count(separator) > most for separator, most in _MAX_SEPARATORS.items()):
        raise _refused(path, f"more values than {MAX_MEASUREMENTS} measurements have: ask for a file of fewer")
    try:
        table = parse_json(data)
    except UnreadableError as error:
        raise _refused(path, f"not JSON, or cut off: {error}; ask for the file again") from error
    if not isinstance(table, dict) or table.get("format") != FORMAT:
        raise _refused(path, "not a file of `edgenas profile export`")
    schema = table.get("schema")
    if not isinstance(schema, int) or schema != SCHEMA:
        step = "update edgenas" if isinstance(schema, int) and schema > SCHEMA else "ask for the file again"
        raise _refused(path, f"its schema is version {schema!r:.60}, this edgenas reads version {SCHEMA}: {step}")
    if table.get("sha256") != digest(table):
        raise _refused(path, "its sha256 is not that of its content, it was damaged or edited: ask for the file again")
    try:
        return _exchange(table)
    except (UsageError, KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        reason = (
            error.message if isinstance(error, UsageError) else f"{type(error).__name__}: {printable(str(error), 80)}"
        )
        raise _refused(path, reason) from error


def sha256_of(path: Path) -> str | None:
    """The sha256 of the content of a file that `read` might take; None for any other, or if there is none."""
    try:
        table = parse_json(read_bytes(path, _MAX_BYTES))
    except (OSError, UnreadableError):
        return None
    return digest(table) if isinstance(table, dict) else None


def _refused(path: Path, reason: str) -> ProfileError:
    return ProfileError(f"{path}: {printable(reason)}; nothing was changed", file=str(path))


def _exchange(table: Mapping[str, Any]) -> Exchange:
    board, named, entries = table["board"], table["spaces"], table["keys"]
    _check_counts(named, entries)
    for name in named:
        _check_space(name, named[name])
    measurements: list[Measurement] = []
    profiles = []
    for entry in entries:
        key = check_key(entry["key"], board["id"])
        measurements += [_measurement(m, key, f"measurement {i}") for i, m in enumerate(entry["measurements"], 1)]
        if entry["profile"] is not None:
            profiles.append(_profile(entry["profile"], key))
    by = table["by"]
    found = Exchange(
        board=check_text(board["id"], "board"),
        kind=check_text(board["kind"], "kind"),
        unit=check_text(board["unit"], "unit"),
        facts_sha256=check_text(board["facts_sha256"], "facts_sha256"),
        measurements=tuple(measurements),
        profiles=tuple(profiles),
        spaces=named,
        by=None if by is None else check_text(by, "by", _MAX_BY, empty=True),
        created_utc=check_date(table["created_utc"], "created_utc"),
        sha256=table["sha256"],
    )
    blocks: set[Block] = set()
    for m in found.measurements:
        blocks.update(found.blocks(m))
        if len(blocks) > _MAX_BLOCKS:
            raise UsageError(f"its networks have more than {_MAX_BLOCKS} different blocks")
    return found


def _check_counts(named: Any, entries: Any) -> None:
    if not isinstance(named, dict) or len(named) > _MAX_SPACES:
        raise UsageError(f"spaces are no object of at most {_MAX_SPACES}")
    if len(entries) > _MAX_KEYS:
        raise UsageError(f"{len(entries)} keys, at most {_MAX_KEYS} are taken")
    count = sum(len(entry["measurements"]) for entry in entries)
    if count > MAX_MEASUREMENTS:
        raise UsageError(f"{count} measurements, at most {MAX_MEASUREMENTS} are taken: ask for a file of fewer")


def _check_space(name: str, table: Mapping[str, Any]) -> None:
    space = catalogue.bound(table, (1, 8, 8), 2)
    check_space(space)
    if space.name != name or catalogue.is_shipped(name):
        raise UsageError(f"search space {name!r} has the name of another one")


def _profile(table: Mapping[str, Any], key: ProfileKey) -> BoardProfile:
    try:
        profile = BoardProfile.from_json(table, key)
        fitted = latency.load(profile.latency)
    except ProfileError as error:
        raise UsageError(f"the profile of {key}: key {error.fields['key']!r} is missing or wrong") from error
    check_date(profile.created_utc, "created_utc")
    check_date(profile.refined_utc, "refined_utc")
    return replace(profile, latency=fitted.to_json())  # that, and nothing else that is written there


def _bare(m: Measurement) -> dict[str, Any]:
    """A measurement without its key, which its list has. What was imported says so in its conditions."""
    table = {name: value for name, value in asdict(m).items() if name not in ("key", "origin")}
    if m.origin is not None:
        mark = {"file": m.origin.file, "by": m.origin.by, "imported_utc": m.origin.imported_utc}
        table["conditions"] = {"imported": mark, **m.conditions}
    return table


def exportable(m: Measurement) -> bool:
    """Whether `read` takes a measurement: a tool of the board may have said too much, or its space has a long name."""
    try:
        check_measurement(_bare(m), "it")
    except UsageError:
        return False
    return True


def _measurement(table: Mapping[str, Any], key: ProfileKey, what: str) -> Measurement:
    check_measurement(table, what)
    low, high = table["ci95_ms"]
    return Measurement(**{**table, "key": key, "input_shape": tuple(table["input_shape"]), "ci95_ms": (low, high)})
