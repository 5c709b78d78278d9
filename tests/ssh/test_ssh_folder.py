# SPDX-License-Identifier: Apache-2.0
"""The folder on a board that others may change: nothing that they put there is run."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.ssh_server import SshServer

import edgenas
from firmware_tools.connect import connect
from firmware_tools.errors import DeviceError
from firmware_tools.linux.agent_file import packed

AGENT = f"agent-{hashlib.sha256(packed()).hexdigest()[:16]}.zip"


@pytest.fixture
def everywhere() -> Iterator[Path]:
    """A folder that every user may look into, as no folder of pytest's is."""
    folder = Path(tempfile.mkdtemp(prefix="edgenas-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def planted(path: Path, ran: Path) -> Path:
    """A program that leaves a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\ntouch {ran}\nexec python3 "$@"\n')
    path.chmod(0o755)
    return path


def test_what_lies_in_a_folder_that_others_may_write_is_not_run(server: SshServer, everywhere: Path) -> None:
    root, ran = everywhere / "root", everywhere / "ran"
    planted(root / "venv" / "bin" / "python", ran)
    (root / AGENT).write_text(f"open({str(ran)!r}, 'w')")
    root.chmod(0o777)
    said = "/root on the board cannot be used (it has mode 0777, so others may write: chmod -R go-w): "
    with pytest.raises(DeviceError, match="/root on the board") as caught:
        connect(server.url(str(root)), home=everywhere)
    assert said + "mend that, or name another by ?root=PATH" in caught.value.message
    with pytest.raises(DeviceError, match="/root on the board") as caught:
        edgenas.prepare(server.url(str(root)), dry_run=True)
    assert said in caught.value.message
    assert not ran.exists()
    assert sorted(path.name for path in root.iterdir()) == [AGENT, "venv"]


@pytest.mark.parametrize("mode", [0o644, 0o666])
def test_an_agent_of_the_right_size_and_other_bytes_is_replaced(server: SshServer, everywhere: Path, mode: int) -> None:
    root, data = everywhere / "root", packed()
    root.mkdir(mode=0o755)
    (root / AGENT).write_bytes(data if mode == 0o666 else b"#" * (len(data) - 1) + b"\n")
    (root / AGENT).chmod(mode)
    with connect(server.url(str(root)), home=everywhere) as device:
        device.status()
    assert (root / AGENT).read_bytes() == data
    assert not (root / AGENT).stat().st_mode & 0o022
