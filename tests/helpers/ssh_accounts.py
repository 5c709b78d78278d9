# SPDX-License-Identifier: Apache-2.0
"""Accounts of a small board behind a real server on loopback: dropbear or OpenSSH, without a service for files.

The accounts are real ones, with homes, login shells and start-up files of their own, but only for the server: it runs
in a mount namespace that has another /etc/passwd.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest

from firmware_tools.linux.runtimes import choose
from helpers.ssh_server import free_port, make_key

SECRET = "secret"
READ_ONLY, NO_PROGRAMS = "read only", "no programs"  # folders that are mounted like that
_SECRET_HASH = "$6$salt$egUxKNxDs8kPfh8iPMNcosMhb2eWah6d3R44JDm5Rj/j/XWR5E33QPd0YmHXoDHOIDR6kL5D3JcQcz0O8FHE00"
_STANDARD = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
_NAMESPACE = """
mount --bind "$1/passwd" /etc/passwd && mount --bind "$1/shells" /etc/shells || exit
mount --bind "$1/$2" "$1/$2" && mount -o remount,ro,bind "$1/$2" || exit
mount --bind "$1/$3" "$1/$3" && mount -o remount,noexec,bind "$1/$3" || exit
shift 3; exec "$@"
"""
# Whatever else runs here, the environment in service is one that this interpreter makes believe.
_IN_SERVICE = '#!/bin/sh\nexec {python} "$@"\n'


# Start-up files, by shell, that print, complain, trace, join the streams, go elsewhere and lose the PATH.
_PRINT = r"echo Welcome; printf '\033[31mred\033[0m\n'; echo 'no such thing' >/dev/stderr; stty -echo; umask 077"
TALKATIVE = {
    "bash": {".bashrc": f"{_PRINT}\nexec 2>&1; set -euxv; cd /; export PATH=/nowhere\n"},
    "csh": {".cshrc": "echo Welcome; stty -echo; set noclobber echo; umask 077; cd /; setenv PATH /nowhere\n"},
    "tcsh": {".tcshrc": "echo Welcome; stty -echo; set noclobber echo; umask 077; cd /; setenv PATH /nowhere\n"},
    "fish": {".config/fish/config.fish": f"{_PRINT}\ncd /; set -gx PATH /nowhere\n"},
    "zsh": {".zshenv": f"{_PRINT}\nsetopt nounset errexit noclobber xtrace; cd /; export PATH=/nowhere\n"},
}
_ASK = "echo '1) reboot'; printf 'your choice: '; read choice; echo $choice"
READY = ("plain", "talks", "ash")
# What a board is refused with whose account is ...
REFUSED = {
    "leaves": "the login shell ends with status 3 before any command (no access): set another by chsh",
    "asks": "start-up files do not end in 1 s (1) reboot | your choice:): make ~/.bashrc and its like ask nothing",
    "nologin": "the login shell ends with status 1 before any command (This account",
    "false": "the login shell ends with status 1 before any command (it prints nothing)",
    "sealed": "/read only/.edgenas on the board cannot be used (Read-only file system): name another folder",
    "homeless": "/read only/missing/.edgenas on the board cannot be used (Read-only file system)",
    "noexec": "/no programs/.edgenas on the board cannot be used (mounted noexec: no runtime loads from there)",
    "guest": "/.edgenas on the board cannot be used (Permission denied): name another folder by ?root=PATH",
}


@dataclass(frozen=True)
class Account:
    """`home` is its folder below the board's, or an absolute one; `files` are what is in it.

    `shell` is a program, or one of busybox's as "busybox ash".
    """

    name: str
    shell: str = "/bin/sh"
    home: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    user_id: int = 0

    @property
    def folder(self) -> str:
        return self.home or f"home of {self.name}"


def ready_accounts() -> list[Account]:
    """Accounts by which a board can be used."""
    return [
        Account("plain"),
        Account("talks", "/bin/bash", "a 'noisy' home;-", TALKATIVE["bash"]),
        Account("ash", "busybox ash"),
    ]


def refused_accounts() -> list[Account]:
    """Those of `REFUSED`."""
    false, nologin = (shutil.which(name, path=_STANDARD) or name for name in ("false", "nologin"))
    return [
        Account("leaves", "/bin/bash", files={".bashrc": "echo no access; exit 3"}),
        Account("asks", "/bin/bash", files={".bashrc": _ASK}),
        Account("nologin", nologin),
        Account("false", false),
        Account("sealed", home=READ_ONLY),
        Account("noexec", home=NO_PROGRAMS),
        Account("homeless", home=f"{READ_ONLY}/missing"),
        Account("guest", home="/", user_id=65534),
    ]


class Board:
    """A board with `accounts`; `servers` on it are started on their own. Its key is `client`'s, who may log in."""

    def __init__(self, folder: Path, accounts: Sequence[Account]) -> None:
        self.folder, self.client = folder, folder / "client"
        self.key = self.client / ".ssh" / "id_ed25519"
        self.key.parent.mkdir(parents=True)
        for name in (READ_ONLY, NO_PROGRAMS):
            (folder / name).mkdir()
        make_key(self.key)
        self.accounts = {account.name: account for account in accounts}
        lines = [self._settle(account) for account in accounts]
        (folder / "passwd").write_text(Path("/etc/passwd").read_text() + "".join(lines))
        shells = "\n".join(sorted({self._shell(account) for account in accounts}))
        (folder / "shells").write_text(f"{shells}\n")

    @property
    def known_hosts(self) -> Path:
        return self.client / ".ssh" / "known_hosts"

    def home(self, name: str) -> Path:
        return self.folder / self.accounts[name].folder

    def enter(self, command: Sequence[str]) -> list[str]:
        """What runs `command` where the accounts are."""
        return ["unshare", "--mount", "sh", "-c", _NAMESPACE, "sh", str(self.folder), READ_ONLY, NO_PROGRAMS, *command]

    def prepare(self, name: str) -> None:
        """Put an environment in service, as `edgenas board prepare` would."""
        python = shutil.which("python3", path=_STANDARD)
        if python is None:
            pytest.skip("no python3 in /usr/bin, which is the board's here")
        told = "import sys; print(*sys.version_info[:2])"
        major, minor = subprocess.run([python, "-c", told], check=True, capture_output=True, text=True).stdout.split()
        version = int(major), int(minor)
        glibc = tuple(map(int, (os.confstr("CS_GNU_LIBC_VERSION") or "glibc 2.17").split()[1].split(".")))
        runtime = choose(platform.machine().lower(), version, (glibc[0], glibc[1]))
        root = self.home(name) / ".edgenas"
        environment = root / f"venv-{runtime.name}-{runtime.version}-py{major}.{minor}"
        (environment / "bin").mkdir(parents=True)
        inner = environment / "bin" / "python"
        inner.write_text(_IN_SERVICE.format(python=sys.executable))
        inner.chmod(0o755)
        (root / "venv").symlink_to(environment.name)

    def _shell(self, account: Account) -> str:
        program, _, applet = account.shell.partition(" ")
        if not applet:
            return account.shell
        path = self.folder / applet
        with suppress(FileExistsError):
            path.symlink_to(shutil.which(program, path=_STANDARD) or pytest.skip(f"no {program} here"))
        return str(path)

    def _settle(self, account: Account) -> str:
        home = self.folder / account.folder
        if not account.home.startswith("/") and home.parent.name != READ_ONLY:  # nor of one who has none
            (home / ".ssh").mkdir(mode=0o700, parents=True)
            (home / ".ssh" / "authorized_keys").write_text(self.key.with_suffix(".pub").read_text())
        for name, text in account.files.items():
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).write_text(text)
        shell = self._shell(account)
        return f"{account.name}:{_SECRET_HASH}:{account.user_id}:{account.user_id}::{home}:{shell}\n"


class Server(ABC):
    """A server of `board`'s with host keys of `kinds` only; a context manager.

    `settings` are lines of sshd's configuration, or words for dropbear.
    """

    needs: Sequence[str] = ()

    def __init__(self, board: Board, *kinds: str, settings: Sequence[str] = ()) -> None:
        for program in (*self.needs, "unshare", "ssh-keygen"):
            if shutil.which(program, path=_STANDARD) is None:
                pytest.skip(f"no {program} here: apt-get install dropbear-bin openssh-server util-linux")
        if os.geteuid() != 0 or subprocess.run(board.enter(["true"]), capture_output=True, check=False).returncode != 0:
            pytest.skip("no right to give a server accounts of its own")
        self.board, self.port, self.settings = board, free_port(), settings
        self.folder = Path(board.folder) / f"{type(self).__name__.lower()}-{self.port}"
        self.folder.mkdir()
        self.keys = {kind: self.folder / kind for kind in kinds}
        for kind, path in self.keys.items():
            self.make_key(kind, path)

    @abstractmethod
    def make_key(self, kind: str, path: Path) -> None: ...

    @abstractmethod
    def public(self, kind: str) -> str:
        """The public half of the key of that kind, as known_hosts has it."""

    @abstractmethod
    def command(self) -> list[str]: ...

    def url(self, name: str, **options: str) -> str:
        query = "&".join(f"{option}={quote(value, safe='')}" for option, value in options.items())
        return f"ssh://{name}@127.0.0.1:{self.port}" + (f"?{query}" if query else "")

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self.board.enter(self.command()), stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while True:
            # Not one that a server before this one leaves unanswered.
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as probe:
                if probe.recv(4) == b"SSH-":
                    return
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self.folder / "log").read_text()[-500:])
            time.sleep(0.02)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Dropbear(Server):
    """The server of the smallest boards; Debian's has no program for SFTP."""

    needs = ("dropbear", "dropbearkey")

    def make_key(self, kind: str, path: Path) -> None:
        path.unlink(missing_ok=True)
        subprocess.run(["dropbearkey", "-t", kind, "-f", str(path)], check=True, capture_output=True)

    def public(self, kind: str) -> str:
        command = ["dropbearkey", "-y", "-f", str(self.keys[kind])]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[1]

    def command(self) -> list[str]:
        keys = [word for path in self.keys.values() for word in ("-r", str(path))]
        return [
            str(shutil.which("dropbear", path=_STANDARD)),
            "-F",
            "-E",
            "-p",
            f"127.0.0.1:{self.port}",
            "-P",
            f"{self.folder}/pid",
            *keys,
            *self.settings,
        ]


class OpenSsh(Server):
    """sshd, with SFTP only if one of its settings says so."""

    needs = ("sshd",)

    def make_key(self, kind: str, path: Path) -> None:
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(path)], check=True)

    def public(self, kind: str) -> str:
        return self.keys[kind].with_suffix(".pub").read_text().strip()

    def command(self) -> list[str]:
        with suppress(FileExistsError):
            Path("/run/sshd").mkdir(mode=0o755)
        lines = [
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            *(f"HostKey {path}" for path in self.keys.values()),
            "PidFile none",
            f"AuthorizedKeysFile .ssh/authorized_keys {self.board.key}.pub",
            "StrictModes no",
            "UsePAM no",
            "PermitRootLogin yes",
            "MaxStartups 100",
            "PrintMotd no",
            *self.settings,
        ]
        config = self.folder / "sshd_config"
        config.write_text("\n".join([*lines, ""]))
        sshd = shutil.which("sshd", path=_STANDARD)
        return [str(sshd), "-D", "-e", "-f", str(config)]
