# SPDX-License-Identifier: Apache-2.0
"""The tables of the store of measurements, and how a file that an older edgenas made becomes one of today."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from edgenas.profiles.measurement import Origin

SCHEMA = 3
KEY = ("board", "runtime", "runtime_version", "precision", "threads", "statistic", "setting")
COLUMNS = (
    *KEY,
    *("architecture", "channels", "height", "width", "classes", "space"),
    *("latency_ms", "p10_ms", "p50_ms", "p95_ms", "n", "ci95_low_ms", "ci95_high_ms", "peak_ram_bytes"),
    *("model_sha256", "trained", "conditions", "session", "taken_utc"),
)
_NO_UPDATE = "CREATE TRIGGER no_update BEFORE UPDATE ON measurements BEGIN SELECT RAISE(ABORT, 'append-only'); END"
_CREATE = (  # version 2, which the steps below bring up to date
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
    f"CREATE INDEX by_key ON measurements ({', '.join(KEY)})",
    _NO_UPDATE,
    "CREATE TRIGGER no_delete BEFORE DELETE ON measurements BEGIN SELECT RAISE(ABORT, 'append-only'); END",
)
_FROM_1 = (  # which knew no power setting
    "ALTER TABLE measurements ADD COLUMN setting TEXT NOT NULL DEFAULT ''",
    "DROP INDEX by_key",
    f"CREATE INDEX by_key ON measurements ({', '.join(KEY)})",
)
_FROM_2 = (  # which kept in the conditions what was imported, and forgot nothing
    """CREATE TABLE imports (
        id INTEGER PRIMARY KEY, sha256 TEXT NOT NULL, file TEXT NOT NULL, sender TEXT, imported_utc TEXT NOT NULL)""",
    "CREATE TABLE forgotten (measurement INTEGER PRIMARY KEY REFERENCES measurements(id), forgotten_utc TEXT NOT NULL)",
    "ALTER TABLE measurements ADD COLUMN import_id INTEGER REFERENCES imports(id)",
    "CREATE INDEX by_session ON measurements (session)",
    *(
        f"CREATE TRIGGER {table}_no_{verb} BEFORE {verb} ON {table} BEGIN SELECT RAISE(ABORT, 'append-only'); END"
        for table in ("imports", "forgotten")
        for verb in ("update", "delete")
    ),
)
STEPS = {0: (*_CREATE, *_FROM_2), 1: (*_FROM_1, *_FROM_2), 2: _FROM_2}  # from a file's version to this one


def version_of(connection: sqlite3.Connection) -> int:
    """The version of a file; 0 of one that was just made."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


@contextmanager
def writing(connection: sqlite3.Connection) -> Iterator[None]:
    """A transaction: what is done in it is done as a whole or not at all."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def update(connection: sqlite3.Connection) -> None:
    """Make the tables, or bring those of an older file up to date, as a whole or not at all."""
    with writing(connection):
        # Asked again under the lock: another process may have created or changed it in the meantime.
        version = version_of(connection)
        for statement in STEPS.get(version, ()):
            connection.execute(statement)
        if version in STEPS:
            _mark_imported(connection)
            connection.execute(f"PRAGMA user_version = {SCHEMA}")


def _mark_imported(connection: sqlite3.Connection) -> None:
    """Let what an older edgenas imported refer to its file: once, and the only change that rows ever see."""
    query = "SELECT id, conditions FROM measurements WHERE conditions LIKE '%\"imported\"%'"
    found = [(row, json.loads(conditions).get("imported")) for row, conditions in connection.execute(query)]
    marked = [(row, mark) for row, mark in found if isinstance(mark, dict)]
    if not marked:
        return
    connection.execute("DROP TRIGGER no_update")
    for row, mark in marked:
        by = mark.get("by")
        origin = Origin("", str(mark.get("file")), None if by is None else str(by), str(mark.get("imported_utc")))
        place = origin_id(connection, origin)
        connection.execute("UPDATE measurements SET import_id = ? WHERE id = ?", [place, row])
    connection.execute(_NO_UPDATE)


def origins_of(connection: sqlite3.Connection) -> dict[int, Origin]:
    """Every file that something was ever imported with, by its row."""
    query = "SELECT id, sha256, file, sender, imported_utc FROM imports ORDER BY id"
    return {row[0]: Origin(*row[1:]) for row in connection.execute(query)}


def origin_id(connection: sqlite3.Connection, origin: Origin) -> int:
    """The row of a file, which is added if it is not there."""
    for place, known in origins_of(connection).items():
        if known == origin:
            return place
    values = [origin.sha256, origin.file, origin.by, origin.imported_utc]
    added = connection.execute("INSERT INTO imports (sha256, file, sender, imported_utc) VALUES (?, ?, ?, ?)", values)
    assert added.lastrowid is not None
    return added.lastrowid
