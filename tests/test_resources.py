# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgenas import resources
from edgenas.errors import EdgenasError, UsageError
from edgenas.profiles.store import Store
from firmware_tools.connect import connect

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


@pytest.fixture(params=[0o022, 0o077, 0o002], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def _modes(root: Path) -> dict[str, str]:
    """The rights of everything below `root`, symbolic links left out."""
    return {
        str(path.relative_to(root)): oct(stat.S_IMODE(path.stat().st_mode))
        for path in root.rglob("*")
        if not path.is_symlink()
    }


posix = pytest.mark.skipif(os.name != "posix", reason="rights of POSIX")


@posix
def test_new_files_and_folders_have_the_rights_that_the_umask_leaves(
    umask: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("EDGENAS_HOME", str(home))
    resources.write_text(home / "spaces" / "space.json", "{}")
    with Store() as store:
        store.append([])
        with connect("local:", home=resources.writable_home()) as device:
            device.status()
        modes = _modes(home)
    made = {"spaces", "spaces/space.json", "measurements.sqlite", "devices/local/slots/a", "devices/local/log"}
    assert made < set(modes)
    folders = {
        path for path in modes if not Path(path).suffix and path not in ("devices/local/log", "devices/local/lock")
    }
    assert modes == {path: oct((0o777 if path in folders else 0o666) & ~umask) for path in modes}


@posix
def test_a_file_that_is_replaced_keeps_its_rights_and_its_link(tmp_path: Path) -> None:
    file, link = tmp_path / "there" / "file", tmp_path / "link"
    file.parent.mkdir()
    file.write_text("old")
    file.chmod(0o640)
    link.symlink_to(file)
    resources.write_text(link, "new")
    assert (file.read_text(), link.is_symlink(), stat.S_IMODE(file.stat().st_mode)) == ("new", True, 0o640)
    assert [path.name for path in file.parent.iterdir()] == ["file"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="root alone gives files away")
def test_a_file_of_another_user_stays_theirs(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    file.chmod(0o600)
    os.chown(file, 1234, 4321)
    resources.write_text(file, "new")
    assert (file.stat().st_uid, file.stat().st_gid, stat.S_IMODE(file.stat().st_mode)) == (1234, 4321, 0o600)


def test_what_is_no_file_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", Path(os.devnull)):
        with pytest.raises(UsageError, match="is there and no file: name another"):
            resources.write_text(path, "new")
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]


def test_a_name_as_long_as_file_systems_take(tmp_path: Path) -> None:
    resources.write_text(tmp_path / ("x" * 250), "text")
    assert [path.name for path in tmp_path.iterdir()] == ["x" * 250]


@posix
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("{folder}/file", "it is no folder"),
        ("{folder}/file/below", "Not a directory"),
        ("/proc/nothing", "No such file or directory"),
        ("~nobody-of-this-name/x", "Could not determine home directory"),
    ],
)
def test_a_home_that_cannot_be_used_is_named(
    value: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    named = value.format(folder=tmp_path)
    monkeypatch.setenv("EDGENAS_HOME", named)
    with pytest.raises(UsageError) as caught:
        resources.writable_home()
    expected = f"EDGENAS_HOME is {named}, which cannot be used ({reason}): set it to a folder that you can write"
    assert caught.value.message == expected


def test_a_relative_home_is_where_the_command_is_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGENAS_HOME", "mine")
    assert resources.writable_home() == tmp_path / "mine"
    assert list((tmp_path / "mine").iterdir()) == []
