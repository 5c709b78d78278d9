from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edgenas import resources
from edgenas.errors import EdgenasError

# Writes the file again and again, each time with another letter, until it is killed.
WRITER = """
import sys
from pathlib import Path
from edgenas.resources import write_bytes
print("started", flush=True)
for count in range(10**9):
    write_bytes(Path(sys.argv[1]), bytes([97 + count % 26]) * 300_000)
"""


def test_the_reader_of_a_file_whose_writer_is_killed_sees_one_whole_version(tmp_path: Path) -> None:
    file = tmp_path / "file"
    resources.write_bytes(file, b"a" * 300_000)
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(4):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(file)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        end = time.monotonic() + rng.uniform(0.01, 0.1)
        patience = end + 30  # on a slow disk until it has written once at least
        while time.monotonic() < (end if len(seen) > 1 else patience):
            seen.add(file.read_bytes())
        writer.kill()
        writer.wait()
        writer.stdout.close()
        seen.add(file.read_bytes())
    assert len(seen) > 1
    assert {(len(data), len(set(data))) for data in seen} == {(300_000, 1)}


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_an_error_while_writing_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, exists: bool, error: BaseException
) -> None:
    file = tmp_path / "file"
    if exists:
        file.write_text("old")

    def write_and_fail() -> None:
        with resources.writing(file) as part:
            part.write_text("new, but only a p")
            raise error

    with pytest.raises(type(error)):
        write_and_fail()
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == ([("file", "old")] if exists else [])


def test_writing_makes_folders_and_replaces(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b" / "file"
    resources.write_text(file, "Größe\n")
    resources.write_text(file, "µs\n")
    assert file.read_bytes() == "µs\n".encode()
    assert list(file.parent.iterdir()) == [file]


def test_the_temporary_file_is_on_the_same_file_system(tmp_path: Path) -> None:
    with resources.writing(tmp_path / "file") as part:
        assert part.parent == tmp_path  # a rename over file systems would not be atomic
        part.write_text("")


def test_a_folder_that_is_not_shipped_is_named() -> None:
    with pytest.raises(EdgenasError, match="lacks its data folder 'modells': reinstall edgenas") as caught:
        resources.shipped("modells")
    assert caught.value.fields == {"name": "modells"}


def test_shipped_folders_are_there() -> None:
    assert (resources.shipped("models") / "tiny.toml").is_file()
    assert (resources.shipped("boards") / "host" / "board.toml").is_file()


def test_the_users_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGENAS_HOME", str(tmp_path / "mine"))
    assert resources.home() == tmp_path / "mine"
    assert not (tmp_path / "mine").exists()
    monkeypatch.setenv("EDGENAS_HOME", "~/elsewhere")
    assert resources.home() == Path(os.path.expanduser("~")) / "elsewhere"  # noqa: PTH111
    for unset in ("", None):
        if unset is None:
            monkeypatch.delenv("EDGENAS_HOME")
        else:
            monkeypatch.setenv("EDGENAS_HOME", unset)
        assert resources.home() == Path.home() / ".edgenas"
