from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edgenas.board import ProfileKey
from edgenas.errors import EdgenasError
from edgenas.store import Measurement, Store

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

APPEND = """
import sys
from dataclasses import replace
sys.path.insert(0, {tests!r})
from test_store import ONE
from edgenas.store import Store
sys.stdin.read(1)  # all start at once
for i in range(25):
    with Store() as store:
        store.append([replace(ONE, session=sys.argv[1], n=i), replace(ONE, session=sys.argv[1], n=i)])
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
    assert len(found) == 150
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
    with pytest.raises(EdgenasError, match="version 7, this edgenas reads version 1"), Store() as store:
        store.read(KEY)


def test_a_folder_that_cannot_be_made_is_named(home: Path) -> None:
    home.write_text("a file where the folder should be")
    with pytest.raises(EdgenasError, match=r"measurements\.sqlite: .*check the disk's space"), Store() as store:
        store.append([ONE])
