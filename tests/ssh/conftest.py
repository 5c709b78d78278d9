# SPDX-License-Identifier: Apache-2.0
"""One SSH server for all tests, a folder on its "board" and models of a test's own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("asyncssh", reason="needs pip install 'edgenas[ssh]'")

from helpers.ssh.ssh_models import fully_connected
from helpers.ssh_server import Proxy, SshServer, at_home


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with SshServer(tmp_path_factory.mktemp("ssh") / "server") as server:
        yield server


@pytest.fixture
def server(sshd: SshServer) -> Iterator[SshServer]:
    """The server, its host key known, seen from the client's home."""
    sshd.trust()
    (sshd.client / ".ssh" / "config").unlink(missing_ok=True)
    with at_home(sshd):
        yield sshd


@pytest.fixture
def proxy(server: SshServer) -> Iterator[Proxy]:
    """A way to the server that can be cut."""
    with Proxy(server.port) as opened:
        server.trust(opened.port)
        yield opened


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "board"


@pytest.fixture(scope="session")
def models() -> list[bytes]:
    """Three models of different bytes."""
    return [fully_connected(seed) for seed in range(3)]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """`disk(options)`: a file system of its own, or the same one mounted again with other options."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
            pytest.skip("no right to mount a tmpfs")
        return folder

    yield mount
    subprocess.run(["umount", str(folder)], check=False, capture_output=True)
