# SPDX-License-Identifier: Apache-2.0
"""A real OpenSSH server on loopback: unprivileged, with keys, a port, known hosts and home folders of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import pytest

_RUN = Path("/run/sshd")


class SshServer:
    """An sshd whose users' home is `home`, and `client`, the home of one who may log in; use as a context manager."""

    def __init__(self, folder: Path, *settings: str) -> None:
        self.program = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
        if self.program is None or shutil.which("ssh-keygen") is None:
            pytest.skip("no sshd here: apt-get install openssh-server")
        self.folder, self.settings = folder, settings
        self.user = getpass.getuser()
        self.home, self.client = folder / "home", folder / "client"
        self.port = 0
        for path in (self.home, self.client / ".ssh"):
            path.mkdir(parents=True)
        self.key = self.client / ".ssh" / "id_ed25519"
        make_key(self.key)
        self.renew_host_key()
        (folder / "authorized_keys").write_text(self.key.with_suffix(".pub").read_text())

    @property
    def host_key(self) -> Path:
        return self.folder / "host_key"

    @property
    def known_hosts(self) -> Path:
        return self.client / ".ssh" / "known_hosts"

    def renew_host_key(self) -> None:
        """Give the server another host key; the next start uses it."""
        for path in (self.host_key, self.host_key.with_suffix(".pub")):
            path.unlink(missing_ok=True)
        make_key(self.host_key)

    def trust(self, *ports: int) -> None:
        """Write the present host key into the client's known hosts: of the server's port and of `ports` (proxies)."""
        kind, key = self.host_key.with_suffix(".pub").read_text().split()[:2]
        self.known_hosts.write_text("".join(f"[127.0.0.1]:{port} {kind} {key}\n" for port in (self.port, *ports)))

    def url(self, root: str = "", port: int | None = None, **options: str) -> str:
        given = {"root": root, **options}
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in given.items() if value)
        return f"ssh://{self.user}@127.0.0.1:{port or self.port}" + (f"?{query}" if query else "")

    def start(self) -> None:
        """Serve on the port of the first start; on a free one the first time."""
        if os.geteuid() == 0:  # the folder that sshd's service makes
            with suppress(FileExistsError):
                _RUN.mkdir(mode=0o755)
        self.port = self.port or free_port()
        config = self.folder / "sshd_config"
        config.write_text("\n".join([*self._config(), *self.settings, ""]))
        log = (self.folder / "sshd.log").open("ab")
        with log:
            self.process = subprocess.Popen(self._command(config), stderr=log)
        deadline = time.monotonic() + 30
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.skip("sshd does not run here: " + (self.folder / "sshd.log").read_text()[-300:])
            time.sleep(0.02)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def _command(self, config: Path) -> list[str]:
        return [str(self.program), "-D", "-e", "-f", str(config)]

    def _config(self) -> list[str]:
        return [
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {self.host_key}",
            f"PidFile {self.folder}/sshd.pid",
            f"AuthorizedKeysFile {self.folder}/authorized_keys",
            f"SetEnv HOME={self.home}",
            "StrictModes no",
            "UsePAM no",
            "MaxStartups 100",
            "PrintMotd no",
            "PermitRootLogin yes",
            "Subsystem sftp internal-sftp",
        ]

    def __enter__(self) -> SshServer:
        self.start()
        self.trust()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@contextmanager
def at_home(server: SshServer) -> Iterator[SshServer]:
    """Be the one who may log in: their home folder, no agent of anybody else's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(server.client))
        patch.delenv("SSH_AUTH_SOCK", raising=False)
        yield server


class Proxy:
    """Forwards a port of loopback to another until it is told to cut; use as a context manager."""

    def __init__(self, to_port: int) -> None:
        self._to = to_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.cut_after: int | None = None  # bytes from the client, then everything is cut
        self.forwarded = 0
        self.mute = False  # connections stay open and nothing passes any more
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End every connection at once, as a router does that is switched off and on."""
        sockets, self._sockets = self._sockets, []
        for each in sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for each in sockets:
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                server = socket.create_connection(("127.0.0.1", self._to))
                self._sockets += [client, server]
                threading.Thread(target=self._pump, args=(client, server, True), daemon=True).start()
                threading.Thread(target=self._pump, args=(server, client, False), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 14):
                if counted and self.cut_after is not None and self.forwarded + len(data) > self.cut_after:
                    sink.sendall(data[: self.cut_after - self.forwarded])
                    self.cut_after = None
                    break
                self.forwarded += len(data) if counted else 0
                if not self.mute:
                    sink.sendall(data)
        self.cut()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.cut()


def make_key(path: Path, passphrase: str = "") -> None:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "test", "-f", str(path)]
    subprocess.run(command, check=True)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
