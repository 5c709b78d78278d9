"""Every measurement ever taken, append-only, in one SQLite file that several processes may write to at once."""

from __future__ import annotations

import errno
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from edgenas import resources
from edgenas.board import ProfileKey
from edgenas.errors import EdgenasError

_SCHEMA = 2
_BUSY_TIMEOUT_S = 30.0
_KEY = ("board", "runtime", "runtime_version", "precision", "threads", "statistic", "setting")
_COLUMNS = (
    *_KEY,
    *("architecture", "channels", "height", "width", "classes", "space"),
    *("latency_ms", "p10_ms", "p50_ms", "p95_ms", "n", "ci95_low_ms", "ci95_high_ms", "peak_ram_bytes"),
    *("model_sha256", "trained", "conditions", "session", "taken_utc"),
)
_CREATE = (
    """CREATE TABLE measurements (
        id INTEGER PRIMARY KEY,
        board TEXT NOT NULL, runtime TEXT NOT NULL, runtime_version TEXT NOT NULL, precision TEXT NOT NULL,
        threads INTEGER NOT NULL, statistic TEXT NOT NULL, setting TEXT NOT NULL,
        architecture TEXT NOT NULL, channels INTEGER NOT NULL, height INTEGER NOT NULL, width INTEGER NOT NULL,
        classes INTEGER NOT NULL, space TEXT NOT NULL,
        latency_ms REAL NOT NULL, p10_ms REAL NOT NULL, p50_ms REAL NOT NULL, p95_ms REAL NOT NULL, n INTEGER NOT NULL,
        ci95_low_ms REAL NOT NULL, ci95_high_ms REAL NOT NULL, peak_ram_bytes INTEGER,
        model_sha256 TEXT NOT NULL, trained INTEGER NOT NULL, conditions TEXT NOT NULL, session TEXT NOT NULL,
        taken_utc TEXT NOT NULL)""",
    f"CREATE INDEX by_key ON measurements ({', '.join(_KEY)})",
    "CREATE TRIGGER no_update BEFORE UPDATE ON measurements BEGIN SELECT RAISE(ABORT, 'append-only'); END",
    "CREATE TRIGGER no_delete BEFORE DELETE ON measurements BEGIN SELECT RAISE(ABORT, 'append-only'); END",
    f"PRAGMA user_version = {_SCHEMA}",
)
_FROM_1 = (  # which knew no power setting
    "ALTER TABLE measurements ADD COLUMN setting TEXT NOT NULL DEFAULT ''",
    "DROP INDEX by_key",
    f"CREATE INDEX by_key ON measurements ({', '.join(_KEY)})",
    f"PRAGMA user_version = {_SCHEMA}",
)
_STEPS = {0: _CREATE, 1: _FROM_1}  # from a file's version to this one


@dataclass(frozen=True)
class Measurement:
    """One network measured on one board.

    latency_ms: the key's statistic. n: timed inferences. ci95_ms: the 95 % confidence interval of `latency_ms`.
    architecture: as `str(Architecture)`. trained: False for random weights. conditions: governor, clock, temperature,
    load and whatever else the device reported. session: one profiling run or one deploy. taken_utc: ISO 8601.
    """

    key: ProfileKey
    architecture: str
    input_shape: tuple[int, int, int]
    classes: int
    space: str
    latency_ms: float
    p10_ms: float
    p50_ms: float
    p95_ms: float
    n: int
    ci95_ms: tuple[float, float]
    peak_ram_bytes: int | None
    model_sha256: str
    trained: bool
    session: str
    taken_utc: str
    conditions: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def identity(self) -> tuple[Any, ...]:
        """What is equal of one measurement that came by two ways."""
        network = (self.architecture, self.input_shape, self.classes, self.space, self.model_sha256)
        return (self.key, self.session, self.taken_utc, *network, self.latency_ms)

    @property
    def corrected_ms(self) -> float:
        """`latency_ms` as at the session's start, where a reference network told how much slower the board was then."""
        return self.latency_ms / (self.conditions.get("reference_ratio") or 1.0)

    @property
    def disturbed(self) -> bool:
        """Whether the device has marked it: throttled, or others were in its way, and so it stayed when repeated."""
        return bool(self.conditions.get("marked"))


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
        with self._opened() as connection, _writing(connection):
            _insert(connection, measurements)

    def append_new(self, measurements: Sequence[Measurement]) -> list[Measurement]:
        """Add those that are not there yet, all or none, each once; returns them."""
        with self._opened() as connection, _writing(connection):
            known = {m.identity for key in {m.key for m in measurements} for m in _select(connection, key)}
            new = list({m.identity: m for m in measurements if m.identity not in known}.values())
            _insert(connection, new)
        return new

    def keys(self, board: str) -> list[ProfileKey]:
        """Every key that something was measured under on a board, sorted."""
        if not self.path.exists():
            return []
        query = f"SELECT DISTINCT {', '.join(_KEY)} FROM measurements WHERE board = ?"
        with self._opened() as connection:
            return sorted(ProfileKey(*row) for row in connection.execute(query, [board]))

    def read(self, key: ProfileKey, *, space: str | None = None) -> list[Measurement]:
        """The measurements of a key in the order in which they were added, of one space if it is named."""
        if not self.path.exists():
            return []
        with self._opened() as connection:
            return [m for m in _select(connection, key) if space in (None, m.space)]

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
        if _version(connection) in _STEPS:
            _update(connection)
        version = _version(connection)
        if version != _SCHEMA:
            message = f"{path}: version {version}, this edgenas reads version {_SCHEMA}: update edgenas or move it away"
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


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _update(connection: sqlite3.Connection) -> None:
    with _writing(connection):
        # Asked again under the lock: another process may have created or changed it in the meantime.
        for statement in _STEPS.get(_version(connection), ()):
            connection.execute(statement)


def _insert(connection: sqlite3.Connection, measurements: Sequence[Measurement]) -> None:
    marks = ", ".join("?" * len(_COLUMNS))
    rows = [_row(measurement) for measurement in measurements]
    connection.executemany(f"INSERT INTO measurements ({', '.join(_COLUMNS)}) VALUES ({marks})", rows)


def _select(connection: sqlite3.Connection, key: ProfileKey) -> list[Measurement]:
    where = " AND ".join(f"{name} = ?" for name in _KEY)
    query = f"SELECT {', '.join(_COLUMNS)} FROM measurements WHERE {where} ORDER BY id"
    return [_measurement(row) for row in connection.execute(query, [getattr(key, name) for name in _KEY])]


@contextmanager
def _writing(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _row(m: Measurement) -> tuple[Any, ...]:
    return (
        *(getattr(m.key, name) for name in _KEY),
        *(m.architecture, *m.input_shape, m.classes, m.space),
        *(m.latency_ms, m.p10_ms, m.p50_ms, m.p95_ms, m.n, *m.ci95_ms, m.peak_ram_bytes),
        *(m.model_sha256, int(m.trained), json.dumps(m.conditions, sort_keys=True), m.session, m.taken_utc),
    )


def _measurement(row: Sequence[Any]) -> Measurement:
    v = dict(zip(_COLUMNS, row, strict=True))
    return Measurement(
        key=ProfileKey(**{name: v[name] for name in _KEY}),
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
    )
