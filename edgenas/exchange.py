"""A board's measurements and profiles as one JSON file that people hand on to each other.

The object in the file (schema 1): `format`, `schema`, `edgenas` (version), `created_utc`, `by` (who; or null), `board`
(id, kind, unit, `facts_sha256`), `spaces` (the tables of the users' own search spaces), `keys` (each with `key`,
`profile`, or null, and `measurements`) and `sha256`, of the rest as JSON without blanks and with sorted keys.

What somebody else has written is not believed: every value is checked before any of it is used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta, timezone
from math import isfinite
from pathlib import Path
from typing import Any

from edgenas import latency, resources, spaces
from edgenas.board import MAX_PROFILE_BYTES, PRECISIONS, STATISTICS, Board, BoardProfile, ProfileKey
from edgenas.errors import ProfileError, UsageError
from edgenas.space import Architecture, Block, SearchSpace
from edgenas.store import Measurement
from edgenas.version import __version__
from firmware_tools.reading import UnreadableError, read_json

FORMAT = "edgenas board profile"
SCHEMA = 1
_LATENCIES = ("latency_ms", "p10_ms", "p50_ms", "p95_ms")
_TEXTS = ("architecture", "space", "model_sha256", "session", "taken_utc")
_MOST_WIDTH, _MOST_GENE = 1 << 16, 1 << 8  # far beyond any network for a board
_MOST_PIXELS = 1 << 28  # of an input


@dataclass(frozen=True)
class Exchange:
    """What such a file holds.

    facts_sha256: of the board's facts where it was made. spaces: the tables of spaces that are not shipped, by name.
    measurements: of all keys. profiles: those that were fitted there.
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
            return spaces.bound(self.spaces[m.space], m.input_shape, m.classes)
        return spaces.recall(m.space, m.input_shape, m.classes)

    def blocks(self, m: Measurement) -> tuple[Block, ...]:
        """The blocks of a measurement's architecture. Raises UsageError if its space is unknown, or it cannot be.

        A stage may be none of the space's choices, which change from release to release.
        """
        space, architecture = self.space(m), Architecture.parse(m.architecture)
        if space is None:
            raise UsageError(f"search space {m.space!r} is unknown")
        if len(architecture.stages) != len(space.stages) or not _is_sane(architecture):
            raise UsageError(f"architecture {m.architecture!r} is none of the space {m.space!r}")
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


def merged(exchanges: Sequence[Exchange], files: Sequence[str]) -> Exchange:
    """All measurements and profiles of files of one board. Raises UsageError if boards, units or spaces differ."""
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
    by = ", ".join(dict.fromkeys(exchange.by for exchange in exchanges if exchange.by)) or None
    measurements = {m.identity: m for exchange in exchanges for m in exchange.measurements}
    return Exchange(
        board=first.board,
        kind=first.kind,
        unit=first.unit,
        facts_sha256=first.facts_sha256,
        measurements=tuple(sorted(measurements.values(), key=lambda m: m.taken_utc)),
        profiles=tuple(profile for exchange in exchanges for profile in exchange.profiles),
        spaces=named,
        by=by,
        created_utc=now_utc(),
    )


def now_utc() -> str:
    """The time as measurements have it."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def read(path: Path) -> Exchange:
    """Read a file and check everything in it.

    Raises ProfileError naming the file and what is wrong with it: not JSON, of another program, of a newer schema,
    changed or cut since it was written, or with values that cannot be.
    """
    try:
        table = read_json(path, MAX_PROFILE_BYTES)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", file=str(path)) from error
    except UnreadableError as error:
        raise _refused(path, f"not JSON, or cut off: {error}; ask for the file again") from error
    if not isinstance(table, dict) or table.get("format") != FORMAT:
        raise _refused(path, "not a file of `edgenas profile export`")
    schema = table.get("schema")
    if not isinstance(schema, int) or schema != SCHEMA:
        step = "update edgenas" if isinstance(schema, int) and schema > SCHEMA else "ask for the file again"
        raise _refused(path, f"its schema is version {schema!r}, this edgenas reads version {SCHEMA}: {step}")
    if table.get("sha256") != digest(table):
        raise _refused(path, "its sha256 is not that of its content, it was damaged or edited: ask for the file again")
    try:
        return _exchange(table)
    except (UsageError, KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        reason = error.message if isinstance(error, UsageError) else f"{type(error).__name__}: {error}"
        raise _refused(path, reason) from error


def _refused(path: Path, reason: str) -> ProfileError:
    return ProfileError(f"{path}: {reason}; nothing was changed", file=str(path))


def _exchange(table: Mapping[str, Any]) -> Exchange:
    board, named = table["board"], table["spaces"]
    if not isinstance(named, dict):
        raise UsageError(f"spaces is {named!r:.60}, not a table")
    for name in named:
        _check_space(name, named[name])
    measurements: list[Measurement] = []
    profiles = []
    for entry in table["keys"]:
        key = _key(entry["key"], str(board["id"]))
        measurements += [_measurement(m, key, f"measurement {i}") for i, m in enumerate(entry["measurements"], 1)]
        if entry["profile"] is not None:
            profiles.append(_profile(entry["profile"], key))
    by = table["by"]
    found = Exchange(
        board=str(board["id"]),
        kind=str(board["kind"]),
        unit=str(board["unit"]),
        facts_sha256=str(board["facts_sha256"]),
        measurements=tuple(measurements),
        profiles=tuple(profiles),
        spaces=named,
        by=None if by is None else str(by),
        created_utc=_date(table["created_utc"], "created_utc"),
    )
    for m in found.measurements:
        found.blocks(m)
    return found


def _check_space(name: str, table: Mapping[str, Any]) -> None:
    space = spaces.bound(table, (1, 8, 8), 2)
    if space.name != name or spaces.is_shipped(name):
        raise UsageError(f"search space {name!r} has the name of another one")


def _is_sane(architecture: Architecture) -> bool:
    genes = [architecture.stem_stride]
    for stage in architecture.stages:
        genes += [stage.blocks, stage.kernel, stage.expansion]
    widths = [architecture.stem_width, *(stage.width for stage in architecture.stages)]
    return all(0 < gene <= _MOST_GENE for gene in genes) and all(0 < width <= _MOST_WIDTH for width in widths)


def _key(table: Mapping[str, Any], board: str) -> ProfileKey:
    key = ProfileKey(**table)
    texts = (key.board, key.runtime, key.runtime_version, key.setting)
    known = key.precision in PRECISIONS and key.statistic in STATISTICS
    if key.board != board or not known or not all(isinstance(text, str) for text in texts) or not _whole(key.threads):
        raise UsageError(f"key {dict(table)} is no key of board {board}")
    return key


def _profile(table: Mapping[str, Any], key: ProfileKey) -> BoardProfile:
    try:
        profile = BoardProfile.from_json(table, key)
        latency.load(profile.latency)
    except ProfileError as error:
        raise UsageError(f"the profile of {key}: key {error.fields['key']!r} is missing or wrong") from error
    _date(profile.created_utc, "created_utc")
    _date(profile.refined_utc, "refined_utc")
    return profile


def _bare(m: Measurement) -> dict[str, Any]:
    """A measurement without its key, which its list has."""
    return {name: value for name, value in asdict(m).items() if name != "key"}


def _measurement(table: Mapping[str, Any], key: ProfileKey, what: str) -> Measurement:
    for name in _TEXTS:
        if not isinstance(table[name], str):
            raise UsageError(f"{what}: {name} is {table[name]!r}, not text")
    for name in _LATENCIES:
        if not _number(table[name]) or table[name] <= 0:
            raise UsageError(f"{what}: {name} is {table[name]!r}, not a latency")
    low, high = table["ci95_ms"]
    if not (_number(low) and _number(high) and 0 <= low <= high):
        raise UsageError(f"{what}: ci95_ms is {table['ci95_ms']!r}, not an interval")
    shape = tuple(table["input_shape"])
    if len(shape) != 3 or not all(map(_whole, shape)) or shape[0] * shape[1] * shape[2] > _MOST_PIXELS:
        raise UsageError(f"{what}: input_shape is {table['input_shape']!r}, not that of an image")
    ram = table["peak_ram_bytes"]
    if not (_whole(table["classes"]) and _whole(table["n"]) and (ram is None or (type(ram) is int and ram >= 0))):
        raise UsageError(f"{what}: classes, n or peak_ram_bytes is no such number")
    if not isinstance(table["trained"], bool) or not isinstance(table["conditions"], dict):
        raise UsageError(f"{what}: trained or conditions is of the wrong type")
    ratio = table["conditions"].get("reference_ratio")
    if ratio is not None and not (_number(ratio) and ratio > 0):
        raise UsageError(f"{what}: reference_ratio is {ratio!r}, not how much slower a reference was")
    _date(table["taken_utc"], f"{what}: taken_utc")
    return Measurement(**{**table, "key": key, "input_shape": shape, "ci95_ms": (low, high)})


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _whole(value: Any) -> bool:
    return type(value) is int and 0 < value < 1 << 31


def _date(text: Any, what: str) -> str:
    """`text`, an ISO 8601 time that is not to come: the newest measurements count most."""
    try:
        date = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except (AttributeError, ValueError):
        raise UsageError(f"{what} is {text!r}, not a time as 2026-01-31T12:00:00Z") from None
    if date.utcoffset() != timedelta(0):
        raise UsageError(f"{what} is {text!r}, not in UTC")
    if date > datetime.now(timezone.utc) + timedelta(days=1):
        raise UsageError(f"{what} is {text}, which is to come: check the clocks of both computers")
    return str(text)
