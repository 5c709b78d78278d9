# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edgenas.errors import EdgenasError, UsageError
from edgenas.profiles.measurement import Measurement
from edgenas.profiles.profile import ProfileKey
from edgenas.profiles.store import Store

KEY = ProfileKey("host", "ai-edge-litert", "2.3.0", "int8", 1, "p10")
ONE = Measurement(
    key=KEY,
    architecture="stem-16s2/plain-16x1/plain-32x1/plain-64x1",
    input_shape=(1, 28, 28),
    classes=10,
    space="tiny",
    latency_ms=0.1,
    p10_ms=0.1,
    p50_ms=0.11,
    p95_ms=0.2,
    n=1000,
    ci95_ms=(0.099, 0.102),
    peak_ram_bytes=None,
    model_sha256="ab" * 32,
    trained=False,
    session="s1",
    taken_utc="2026-01-01T00:00:00Z",
    conditions={"governor": "performance", "load": 0.5},
)
# As the first release made its file.
VERSION_1 = """
    CREATE TABLE measurements (
        id INTEGER PRIMARY KEY,
        board TEXT NOT NULL, runtime TEXT NOT NULL, runtime_version TEXT NOT NULL, precision TEXT NOT NULL,
        threads INTEGER NOT NULL, statistic TEXT NOT NULL,
        architecture TEXT NOT NULL, channels INTEGER NOT NULL, height INTEGER NOT NULL, width INTEGER NOT NULL,
        classes INTEGER NOT NULL, space TEXT NOT NULL,
        latency_ms REAL NOT NULL, p10_ms REAL NOT NULL, p50_ms REAL NOT NULL, p95_ms REAL NOT NULL, n INTEGER NOT NULL,
        ci95_low_ms REAL NOT NULL, ci95_high_ms REAL NOT NULL, peak_ram_bytes INTEGER,
        model_sha256 TEXT NOT NULL, trained INTEGER NOT NULL, conditions TEXT NOT NULL, session TEXT NOT NULL,
        taken_utc TEXT NOT NULL);
    CREATE INDEX by_key ON measurements (board, runtime, runtime_version, precision, threads, statistic);
    CREATE TRIGGER no_update BEFORE UPDATE ON measurements BEGIN SELECT RAISE(ABORT, 'append-only'); END;
    CREATE TRIGGER no_delete BEFORE DELETE ON measurements BEGIN SELECT RAISE(ABORT, 'append-only'); END;
    INSERT INTO measurements VALUES (1, 'host', 'ai-edge-litert', '2.3.0', 'int8', 1, 'p10',
        'stem-16s2/plain-16x1/plain-32x1/plain-64x1', 1, 28, 28, 10, 'tiny', 0.1, 0.1, 0.11, 0.2, 1000, 0.099, 0.102,
        NULL, 'abababababababababababababababababababababababababababababababab', 0,
        '{"governor": "performance", "load": 0.5}', 's1', '2026-01-01T00:00:00Z');
    PRAGMA journal_mode = WAL;
    PRAGMA user_version = 1;
"""

APPEND = """
import sys
from dataclasses import replace
sys.path.insert(0, {tests!r})
from test_store import ONE
from edgenas.profiles.store import Store
sys.stdin.read(1)  # all start at once
for i in range(25):
    with Store() as store:
        store.append([replace(ONE, session=sys.argv[1], n=i), replace(ONE, session=sys.argv[1], n=i)])
"""


KILLED = """
import sys
from dataclasses import replace
sys.path.insert(0, {tests!r})
from test_store import ONE
from edgenas.profiles.store import Store
many = [replace(ONE, session=sys.argv[1], n=i) for i in range(1000)]
with Store() as store:
    while True:
        store.append(many)
        print("appended", flush=True)
"""


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("EDGENAS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_what_is_appended_is_read_back_in_order(home: Path) -> None:
    two = replace(ONE, peak_ram_bytes=4096, trained=True, space="other", input_shape=(3, 32, 48))
    with Store() as store:
        store.append([ONE])
        store.append([two])
        assert store.read(KEY) == [ONE, two]
    with Store() as store:
        assert store.read(KEY, space="other") == [two]
        assert store.read(replace(KEY, precision="float32")) == []
    assert (home / "measurements.sqlite").exists()


def test_reading_creates_nothing(home: Path) -> None:
    with Store() as store:
        assert store.read(KEY) == []
    assert not home.exists()


def test_an_append_is_all_or_nothing() -> None:
    with Store() as store:
        store.append([ONE])
        with pytest.raises(sqlite3.IntegrityError):
            store.append([ONE, replace(ONE, latency_ms=float("nan"))])
        assert store.read(KEY) == [ONE]


def test_nothing_is_changed_or_deleted(home: Path) -> None:
    with Store() as store:
        store.append([ONE])
    connection = sqlite3.connect(home / "measurements.sqlite")
    try:
        for statement in ("UPDATE measurements SET latency_ms = 0", "DELETE FROM measurements"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(statement)
    finally:
        connection.close()


def test_processes_that_append_at_once_all_succeed() -> None:
    appended_at_once()


def test_processes_that_find_an_older_file_bring_it_up_to_date_once(home: Path) -> None:
    home.mkdir()
    connection = sqlite3.connect(home / "measurements.sqlite")
    connection.executescript(VERSION_1)
    connection.close()
    appended_at_once()
    fast = replace(ONE, key=replace(KEY, setting="performance-1500MHz"))
    with Store() as store:
        assert store.read(KEY)[0] == ONE
        assert store.read(KEY)[0].key.setting == ""
        store.append([fast])
        assert store.read(fast.key) == [fast]
    connection = sqlite3.connect(home / "measurements.sqlite")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute("UPDATE measurements SET setting = 'x'")
    connection.close()


def test_a_process_that_is_killed_while_it_appends_leaves_whole_appends_alone(home: Path) -> None:
    code = KILLED.format(tests=str(Path(__file__).parent))
    for after in range(3):
        worker = subprocess.Popen([sys.executable, "-c", code, str(after)], stdout=subprocess.PIPE)
        assert worker.stdout is not None
        for _ in range(2 + after):
            assert worker.stdout.readline()
        worker.kill()
        worker.communicate()
    with Store() as store:
        found = store.read(KEY)
        by_session = {session: [m.n for m in found if m.session == session] for session in ("0", "1", "2")}
        for after, numbers in enumerate(by_session.values()):
            assert len(numbers) >= 1000 * (2 + after)
            assert numbers == list(range(1000)) * (len(numbers) // 1000)
        store.append([ONE])
        assert store.read(KEY)[-1] == ONE
    connection = sqlite3.connect(home / "measurements.sqlite")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def appended_at_once() -> None:
    code = APPEND.format(tests=str(Path(__file__).parent))
    workers = [
        subprocess.Popen([sys.executable, "-c", code, f"p{i}"], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        for i in range(3)
    ]
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write(b"x")
        worker.stdin.flush()
    errors = [worker.communicate(timeout=60)[1].decode() for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0], errors
    with Store() as store:
        found = store.read(KEY)
    assert len([m for m in found if m.session != ONE.session]) == 150
    for i in range(3):
        assert [m.n for m in found if m.session == f"p{i}"] == [n for n in range(25) for _ in range(2)]


def test_a_damaged_file_is_named_with_the_next_step(home: Path) -> None:
    home.mkdir()
    path = home / "measurements.sqlite"
    path.write_bytes(b"this is no database, and it is long enough to be taken for one" * 50)
    for use in (lambda store: store.read(KEY), lambda store: store.append([ONE])):
        with pytest.raises(EdgenasError) as caught, Store() as store:
            use(store)
        assert caught.value.message.startswith(f"{path}: ")
        assert "move it away and run `edgenas profile`" in caught.value.message


def test_a_file_damaged_in_the_middle_is_named(home: Path) -> None:
    with Store() as store:
        store.append([replace(ONE, n=i) for i in range(500)])
    path = home / "measurements.sqlite"
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(size - 4096))
    with pytest.raises(EdgenasError, match="move it away and run"), Store() as store:
        store.read(KEY)


def test_a_newer_file_is_refused(home: Path) -> None:
    with Store() as store:
        store.append([ONE])
    connection = sqlite3.connect(home / "measurements.sqlite")
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    with pytest.raises(EdgenasError, match="version 7, this edgenas reads version 3"), Store() as store:
        store.read(KEY)


def test_a_folder_that_cannot_be_made_is_named(home: Path) -> None:
    home.write_text("a file where the folder should be")
    with pytest.raises(UsageError, match=r"EDGENAS_HOME is .*, which cannot be used"), Store() as store:
        store.append([ONE])
