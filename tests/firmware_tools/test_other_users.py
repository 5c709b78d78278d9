# SPDX-License-Identifier: Apache-2.0
"""Folders that other users may change are refused, and nothing that they plant is followed or put back."""

from __future__ import annotations

import grp
import json
import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers.firmware_tools.raw_agent import RawAgent

from edgenas import resources
from edgenas.errors import UsageError
from edgenas.workflows.run_folder import Run
from firmware_tools.agent.parts import cores, folders, system
from firmware_tools.agent.parts.files import read_json
from firmware_tools.agent.parts.folders import folder_fault
from firmware_tools.agent.parts.governor import put_back
from firmware_tools.connect import connect
from firmware_tools.errors import HostFolderError
from firmware_tools.linux.folder_check import CHECK
from firmware_tools.mcu.board_folder import BoardFolder

pytestmark = pytest.mark.skipif(os.name != "posix", reason="users of POSIX")

ME, OTHER = 54321, 54322  # numbers without an account, as in a container


@pytest.fixture
def everywhere() -> Iterator[Path]:
    """A folder that every user may look into, as no folder of pytest's is."""
    folder = Path(tempfile.mkdtemp(prefix="edgenas-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@contextmanager
def user(uid: int) -> Iterator[None]:
    """Be another user meanwhile."""
    if os.geteuid() != 0:
        pytest.skip("only root may become another user")
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(uid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def made(path: Path, mode: int, owner: int | None = None, group: int | None = None) -> Path:
    path.mkdir()
    if owner is not None or group is not None:
        if os.geteuid() != 0:
            pytest.skip("only root may give a folder away")
        os.chown(path, -1 if owner is None else owner, -1 if group is None else group)
    path.chmod(mode)
    return path


def fault(path: Path, *, team: bool = False) -> str | None:
    """What is wrong with it here, and, the same, by the text that boards are asked with."""
    found = folder_fault(str(path), team)
    if not team:
        done = subprocess.run(
            [sys.executable, "-I", "-c", CHECK, path, "x"], capture_output=True, check=True, text=True
        )
        assert done.stdout == f":{found or ''}"
    return found


def test_who_may_write_a_folder(everywhere: Path) -> None:
    assert fault(everywhere / "new") is None
    assert fault(made(everywhere / "mine", 0o755)) is None
    assert fault(made(everywhere / "open", 0o777)) == "it has mode 0777, so others may write: chmod -R go-w"
    sticky = made(everywhere / "sticky", 0o1777)
    assert fault(sticky) == "it has mode 1777, so others may write: chmod -R go-w"
    assert fault(made(sticky / "mine", 0o700)) is None
    assert fault(sticky / "new") is None
    below = everywhere / "open" / "mine"
    assert fault(below) == f"{everywhere / 'open'} has mode 0777, so others may write: chmod go-w"
    assert fault(made(below, 0o755)) == fault(below / "new")
    (everywhere / "link").symlink_to(below)
    assert fault(everywhere / "link") is not None


def test_what_others_cannot_reach_may_have_any_mode(everywhere: Path) -> None:
    closed = made(everywhere / "closed", 0o700)
    assert fault(made(closed / "open", 0o777)) is None
    assert fault(made(closed / "open" / "other", 0o777, OTHER)) is None
    theirs = made(everywhere / "theirs", 0o700, OTHER)
    assert fault(made(theirs / "new", 0o777)) is not None  # closed to all but them
    other = made(everywhere / "open", 0o777)
    assert fault(made(other / "closed", 0o700)) is not None  # another may be put in its place


def test_whose_a_folder_is(everywhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = made(everywhere / "other", 0o755, OTHER)
    assert fault(other) == f"it belongs to user {OTHER}"
    assert fault(other, team=True) is None  # a container's root in a user's folder
    assert fault(made(other / "roots", 0o755)) is None  # and what it makes there
    monkeypatch.setenv("SUDO_UID", str(OTHER))
    assert fault(other) is None
    sticky = made(everywhere / "sticky", 0o1777)
    (sticky / "link").symlink_to(everywhere)
    os.lchown(sticky / "link", ME, ME)
    assert fault(sticky / "link" / "new") == f"{sticky / 'link'} belongs to user {ME}"
    with user(ME):
        assert folder_fault(str(other)) == f"it belongs to user {OTHER}"
        assert folder_fault(str(other), team=True) is None  # a colleague's
        assert folder_fault(str(other / "roots")) == f"{other} belongs to user {OTHER}"
        assert folder_fault(str(everywhere)) is None  # root's


def test_a_group_of_the_users_own_may_write(everywhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the umask is 002."""
    shared = next(group.gr_gid for group in grp.getgrall() if group.gr_gid not in (0, ME, OTHER))
    mine, ours = made(everywhere / "mine", 0o775, ME, ME), made(everywhere / "ours", 0o775, ME, shared)
    with user(ME):
        assert folder_fault(str(mine)) is None
        assert folder_fault(str(ours)) == "it has mode 0775, so others may write: chmod -R go-w"
        assert folder_fault(str(ours), team=True) is None
        assert folder_fault(str(ours / "runs"), team=True) is None
        folders.first_groups.cache_clear()
        monkeypatch.setattr(pwd, "getpwall", lambda: [pwd.struct_passwd(("o", "", OTHER, ME, "", "", ""))])
        assert folder_fault(str(mine)) is not None
    folders.first_groups.cache_clear()


def test_a_home_that_others_may_write_is_refused(everywhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = made(everywhere / "home", 0o777)
    monkeypatch.setenv("EDGENAS_HOME", str(home))
    for _ in range(2):
        with pytest.raises(UsageError, match=r"EDGENAS_HOME is .*home, which cannot be used \(it ") as caught:
            resources.writable_home()
        assert len(caught.value.message.replace(str(home), "HOME")) < 200
        if os.geteuid() == 0:
            home.chmod(0o755)
            os.chown(home, OTHER, OTHER)
    home.chmod(0o755)
    os.chown(home, os.geteuid(), -1)
    assert resources.writable_home() == home


def test_a_new_home_is_the_users_alone(everywhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGENAS_HOME", str(everywhere / "more" / "home"))
    umask = os.umask(0)
    try:
        resources.write_text(resources.home() / "spaces" / "space.json", "{}")
    finally:
        os.umask(umask)
    assert stat.S_IMODE((everywhere / "more" / "home").stat().st_mode) == 0o700


def test_a_devices_folder_that_others_may_write_is_refused(everywhere: Path) -> None:
    root = made(everywhere / "root", 0o777)
    with pytest.raises(HostFolderError, match=r"\(it has mode 0777.*\): mend that, or name another by root=DIR"):
        connect(f"local:?root={root}", home=everywhere / "home")
    with pytest.raises(HostFolderError, match=r"\(it has mode 0777.*\): mend that, or name another by root=DIR"):
        BoardFolder("qemu:board", root, 16)
    assert list(root.iterdir()) == []
    root.chmod(0o755)
    BoardFolder("qemu:board", root, 16).close()
    with connect(f"local:?root={root}", home=everywhere / "home") as device:
        device.status()
    (root / "slots" / "a").chmod(0o777)
    with pytest.raises(HostFolderError, match=rf"{root}/slots/a has mode 0777"):
        connect(f"local:?root={root}", home=everywhere / "home")


def test_an_agent_without_a_umask_makes_folders_that_it_takes_again(everywhere: Path) -> None:
    umask = os.umask(0)
    try:
        for _ in range(2):
            with RawAgent(everywhere / "root") as opened:
                assert "ok" in opened.ask("status")
    finally:
        os.umask(umask)
    modes = [path.lstat().st_mode for path in (everywhere / "root").rglob("*") if not path.is_symlink()]
    assert all(not mode & 0o002 for mode in modes)


def test_only_governors_that_there_are_are_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a planted record names, in a slot's folder or anywhere."""
    folder = tmp_path / "cpus" / "cpu0" / "cpufreq"
    folder.mkdir(parents=True)
    (folder / "scaling_available_governors").write_text("ondemand performance\n")
    governor, mine, record = folder / "scaling_governor", tmp_path / "mine", tmp_path / "governor.json"
    monkeypatch.setattr(cores, "CPUS", str(tmp_path / "cpus"))
    mine.write_text("mine")

    def planted(files: object) -> tuple[str, str]:
        governor.write_text("performance")
        record.write_text(json.dumps({"boot_id": system.boot_id(), "files": files}))
        assert put_back(str(record))
        assert not record.exists()
        return governor.read_text(), mine.read_text()

    assert planted({str(mine): "theirs", str(governor): "ondemand"}) == ("ondemand", "mine")
    assert planted({str(governor): "$(reboot)"}) == ("performance", "mine")
    for files in ([], 1, {str(governor): []}, {str(governor): None}):
        assert planted(files) == ("performance", "mine")
    record.write_text("[" * 100_000)
    assert put_back(str(record))


def test_a_record_of_another_user_is_not_put_back(everywhere: Path) -> None:
    record, theirs = everywhere / "governor.json", everywhere / "theirs"
    theirs.write_text('{"boot_id": 1}')
    assert read_json(str(theirs)) == {"boot_id": 1}
    record.symlink_to(theirs)
    assert read_json(str(record)) == {}
    if os.geteuid() != 0:
        pytest.skip("only root may give a file away")
    os.chown(theirs, OTHER, OTHER)
    assert read_json(str(theirs)) == {}


def test_runs_that_everybody_may_write_are_refused(everywhere: Path) -> None:
    runs = made(everywhere / "runs", 0o777)
    with pytest.raises(UsageError, match=r"\(it has mode 0777.*\): mend that, or name another folder with --runs"):
        Run.open(runs, "host", {})
    runs.chmod(0o1777)
    run = Run.open(runs, "host", {})
    assert Run.open(runs, "host", {}).folder == run.folder
    run.folder.chmod(0o777)
    assert Run.open(runs, "host", {}).folder != run.folder


def test_a_run_that_another_user_planted_is_not_resumed(everywhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs, home = made(everywhere / "runs", 0o1777), made(everywhere / "home", 0o700)
    monkeypatch.setenv("EDGENAS_HOME", str(home))
    planted = Run.open(runs, "host", {}).folder
    for path in (planted, *planted.rglob("*")):
        os.chown(path, OTHER, OTHER)
    for path in (home, *home.rglob("*")):  # even with the key of its seal
        os.chown(path, ME, ME)
    with user(ME):
        found = Run.open(runs, "host", {})
        assert (found.folder == planted, found.folder.stat().st_uid) == (False, ME)
    (runs / "20990101T000000-host").symlink_to(planted)
    with user(ME):
        assert Run.open(runs, "host", {}).folder == found.folder


def test_the_log_of_a_run_leads_nowhere_else(tmp_path: Path) -> None:
    run = Run.open(tmp_path / "runs", "host", {})
    (tmp_path / "mine").write_text("mine")
    (run.folder / "log.txt").symlink_to(tmp_path / "mine")
    run.log("a line")
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_link_of_another_users_is_not_written_through(everywhere: Path) -> None:
    folder, mine = made(everywhere / "sticky", 0o1777), everywhere / "mine"
    mine.write_text("mine")
    (folder / "link").symlink_to(mine)
    resources.write_text(folder / "link", "new")
    assert (mine.read_text(), (folder / "link").is_symlink()) == ("new", True)
    if os.geteuid() != 0:
        pytest.skip("only root may give a link away")
    os.lchown(folder / "link", OTHER, OTHER)
    with pytest.raises(UsageError, match="is a link of another user's, in a folder that others may write"):
        resources.write_text(folder / "link", "theirs")
    assert mine.read_text() == "new"
