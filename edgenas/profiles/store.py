# SPDX-License-Identifier: Apache-2.0
"""Every measurement ever taken, append-only, in one SQLite file that several processes may write to at once.

What was imported refers to the file that it came with. What is forgotten stays where it is, and a row of its own says
so: whatever happens in between, a measurement counts or does not, and nothing that was measured is ever lost.
"""

from __future__ import annotations

import errno
import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any

from edgenas import resources
from edgenas.errors import EdgenasError
from edgenas.profiles.measurement import Measurement, Origin
from edgenas.profiles.profile import ProfileKey
from edgenas.profiles.store_schema import (
    COLUMNS,
    KEY,
    SCHEMA,
    STEPS,
    origin_id,
    origins_of,
    update,
    version_of,
    writing,
)

_BUSY_TIMEOUT_S = 30.0
_COUNTS = "id NOT IN (SELECT measurement FROM forgotten)"


Source = Origin | str  # where measurements are from: a file that was imported, or a session of one's own


class Store:
    """The measurements at `path`, by default `$EDGENAS_HOME/measurements.sqlite`. Opened with the first use.

    Use it as a context manager, or call `close`. Every method raises EdgenasError naming the file and the next step if
    it is damaged, cannot be opened, or stays locked.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = resources.home() / "measurements.sqlite" if path is None else path
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def append(self, measurements: Sequence[Measurement]) -> None:
        """Add measurements, all or none."""
        with self._opened() as connection, writing(connection):
            _insert(connection, measurements)

    def append_new(self, measurements: Sequence[Measurement]) -> list[Measurement]:
        """Add those that do not count yet, all or none, each once; returns them."""
        with self._opened() as connection, writing(connection):
            known = {m.identity for key in {m.key for m in measurements} for m in _select(connection, key)}
            new = list({m.identity: m for m in measurements if m.identity not in known}.values())
            _insert(connection, new)
        return new

    def keys(self, board: str) -> list[ProfileKey]:
        """Every key that something was measured under on a board, sorted."""
        if not self.path.exists():
            return []
        query = f"SELECT DISTINCT {', '.join(KEY)} FROM measurements WHERE board = ? AND {_COUNTS}"
        with self._opened() as connection:
            return sorted(ProfileKey(*row) for row in connection.execute(query, [board]))

    def read(self, key: ProfileKey, *, space: str | None = None) -> list[Measurement]:
        """The measurements of a key in the order in which they were added, of one space if it is named."""
        if not self.path.exists():
            return []
        with self._opened() as connection:
            return [m for m in _select(connection, key) if space in (None, m.space)]

    def origins(self) -> list[Origin]:
        """Every file of which measurements count, the one that was imported last at the end."""
        if not self.path.exists():
            return []
        query = f"SELECT DISTINCT import_id FROM measurements WHERE import_id IS NOT NULL AND {_COUNTS}"
        with self._opened() as connection:
            used = {row[0] for row in connection.execute(query)}
            return [origin for place, origin in origins_of(connection).items() if place in used]

    def read_from(self, source: Source) -> list[Measurement]:
        """The measurements of a source that count, of all boards and keys, in the order in which they were added."""
        if not self.path.exists():
            return []
        with self._opened() as connection:
            return _rows(connection, *_of_source(connection, source))

    def forgotten(self, source: Source) -> int:
        """How many measurements of a source have been forgotten."""
        if not self.path.exists():
            return 0
        with self._opened() as connection:
            where, values = _of_source(connection, source)
            query = f"SELECT COUNT(*) FROM measurements WHERE {where} AND NOT {_COUNTS}"
            return int(connection.execute(query, values).fetchone()[0])

    def forget(self, source: Source) -> int:
        """Let the measurements of a source count no more, all or none; returns how many these were.

        They stay in the file. What is added of the source later counts.
        """
        with self._opened() as connection, writing(connection):
            where, values = _of_source(connection, source)
            query = f"INSERT INTO forgotten SELECT id, ? FROM measurements WHERE {where} AND {_COUNTS}"
            return connection.execute(query, [_now_utc(), *values]).rowcount

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """The connection; what SQLite raises is translated here and nowhere else."""
        try:
            if self._connection is None:
                resources.make_folder(self.path.parent)
                self.path.touch()  # with the rights that the umask leaves, which SQLite's own files then have, too
                self._connection = _open(self.path)
            yield self._connection
        except (sqlite3.ProgrammingError, sqlite3.IntegrityError):
            raise  # a caller's bug: another thread's connection, a missing figure
        except (sqlite3.Error, OSError, ValueError) as error:
            self.close()
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> EdgenasError:
        reason = resources.reason(error) if isinstance(error, OSError) else str(error)
        if isinstance(error, sqlite3.OperationalError) and "locked" in reason:
            step = "another process holds it: run the command again when that one has finished"
        elif isinstance(error, (sqlite3.OperationalError, OSError)):
            step = resources.way_out(self.path, error if isinstance(error, OSError) else _disk_error(reason))
        else:
            step = "the file is damaged: move it away and run `edgenas profile` to measure again"
        return EdgenasError(f"{self.path}: {reason}; {step}", file=str(self.path), reason=reason)


def _disk_error(reason: str) -> OSError:
    """What the system told SQLite, as far as SQLite passes it on."""
    return OSError(errno.ENOSPC if "full" in reason else errno.EACCES, reason)


def _open(path: Path) -> sqlite3.Connection:
    # isolation_level=None: transactions are begun where they are written, not by the driver.
    connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
    try:
        _use_wal(connection)
        if version_of(connection) in STEPS:
            update(connection)
        version = version_of(connection)
        if version != SCHEMA:
            message = f"{path}: version {version}, this edgenas reads version {SCHEMA}: update edgenas or move it away"
            raise EdgenasError(message, file=str(path), version=version)
    except BaseException:
        connection.close()
        raise
    return connection


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to the write-ahead log, once per file. SQLite does not wait for a lock here, so this does."""
    give_up = time.monotonic() + _BUSY_TIMEOUT_S
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > give_up:
                raise
            time.sleep(0.01)


def _insert(connection: sqlite3.Connection, measurements: Sequence[Measurement]) -> None:
    columns = (*COLUMNS, "import_id")
    marks = ", ".join("?" * len(columns))
    places = {m.origin: None if m.origin is None else origin_id(connection, m.origin) for m in measurements}
    rows = [(*_row(m), places[m.origin]) for m in measurements]
    connection.executemany(f"INSERT INTO measurements ({', '.join(columns)}) VALUES ({marks})", rows)


def _of_source(connection: sqlite3.Connection, source: Source) -> tuple[str, list[Any]]:
    """The condition that the rows of a source meet, and its values."""
    if isinstance(source, str):
        return "session = ? AND import_id IS NULL", [source]
    places = [place for place, origin in origins_of(connection).items() if origin.id == source.id]
    return f"import_id IN ({', '.join('?' * len(places))})", places


def _select(connection: sqlite3.Connection, key: ProfileKey) -> list[Measurement]:
    return _rows(connection, " AND ".join(f"{name} = ?" for name in KEY), [getattr(key, name) for name in KEY])


def _rows(connection: sqlite3.Connection, where: str, values: Sequence[Any]) -> list[Measurement]:
    """The measurements that count and meet a condition."""
    origins = origins_of(connection)
    query = f"SELECT {', '.join(COLUMNS)}, import_id FROM measurements WHERE {where} AND {_COUNTS} ORDER BY id"
    return [_measurement(row[:-1], origins.get(row[-1])) for row in connection.execute(query, values)]


def _row(m: Measurement) -> tuple[Any, ...]:
    return (
        *(getattr(m.key, name) for name in KEY),
        *(m.architecture, *m.input_shape, m.classes, m.space),
        *(m.latency_ms, m.p10_ms, m.p50_ms, m.p95_ms, m.n, *m.ci95_ms, m.peak_ram_bytes),
        *(m.model_sha256, int(m.trained), json.dumps(m.conditions, sort_keys=True), m.session, m.taken_utc),
    )


def _measurement(row: Sequence[Any], origin: Origin | None) -> Measurement:
    v = dict(zip(COLUMNS, row, strict=True))
    return Measurement(
        key=ProfileKey(**{name: v[name] for name in KEY}),
        architecture=v["architecture"],
        input_shape=(v["channels"], v["height"], v["width"]),
        classes=v["classes"],
        space=v["space"],
        latency_ms=v["latency_ms"],
        p10_ms=v["p10_ms"],
        p50_ms=v["p50_ms"],
        p95_ms=v["p95_ms"],
        n=v["n"],
        ci95_ms=(v["ci95_low_ms"], v["ci95_high_ms"]),
        peak_ram_bytes=v["peak_ram_bytes"],
        model_sha256=v["model_sha256"],
        trained=bool(v["trained"]),
        session=v["session"],
        taken_utc=v["taken_utc"],
        conditions=json.loads(v["conditions"]),
        origin=origin,
    )


def _now_utc() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
