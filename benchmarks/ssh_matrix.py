# SPDX-License-Identifier: Apache-2.0
"""Log in to, prepare and use boards of every kind of server, key, login shell and start-up file; print what happened.

    python benchmarks/ssh_matrix.py      needs root, dropbear-bin, openssh-server, busybox; takes other shells if here

The servers are real and on loopback, with accounts of their own (tests/ssh_accounts.py). `logins`: each server with a
host key of one type alone, that is new and then known, and each way of a user to log in. `accounts`: what the dry run
of `edgenas board prepare` and the run say, and whether a model is then installed, timed, committed and rolled back.
Ends with exit code 1 if the two say different things, or if something that should work does not.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from report import ROOT, commit, machine, print_table

sys.path.insert(0, str(ROOT / "tests"))  # the servers are the tests' ...

from helpers.firmware_tools.raw_agent import fully_connected
from helpers.ssh_accounts import (
    REFUSED,
    SECRET,
    TALKATIVE,
    Account,
    Board,
    Dropbear,
    OpenSsh,
    Server,
    refused_accounts,
)
from helpers.ssh_server import at_home, make_key

import edgenas
from firmware_tools.connect import Access, connect
from firmware_tools.device import TimingPlan
from firmware_tools.errors import DeviceError
from firmware_tools.linux import ssh_connection
from firmware_tools.linux.ssh_connection import Connection, Target

_SERVERS: dict[str, Callable[..., Server]] = {
    "dropbear": Dropbear,
    "OpenSSH": OpenSsh,
    "OpenSSH, SFTP": lambda board, *kinds: OpenSsh(board, *kinds, settings=["Subsystem sftp internal-sftp"]),
}
_KEYS = ("ed25519", "ecdsa", "rsa")
_PASSPHRASE = "open sesame"
_SHELLS = ("/bin/sh", "/bin/bash", "busybox ash", "/bin/csh", "/bin/tcsh", "/usr/bin/fish", "/bin/zsh", "/bin/mksh")
_SHORT = TimingPlan(processes=2, warmup_s=0.01, timed_s=0.02)
_START_TIMEOUT_S = 10.0  # an account that asks and waits uses it up
Row = tuple[object, ...]


def main() -> None:
    """Try everything and print two tables."""
    ssh_connection._START_TIMEOUT_S = _START_TIMEOUT_S
    with TemporaryDirectory() as scratch:
        logged_in = list(logins(Path(scratch) / "logins"))
        used = list(accounts(Path(scratch) / "accounts"))
    print(f"ssh_matrix  commit {commit()}  {machine()['cpu']}, {machine()['cores']} cores; {_versions()}")
    print_table([("server", "host key", "user's key", "new", "known"), *logged_in], sys.stdout)
    print()
    print_table([("server", "login shell", "account", "use", "run", "dry run"), *used], sys.stdout)
    wrong = [row for row in logged_in if row[3:] != ("in", "in")]
    wrong += [row for row in used if row[4] != "the same" or (row[3] != "works" and row[2] not in REFUSED)]
    print(f"{len(logged_in)} ways to log in, {len(used)} accounts, {len(wrong)} not as they should be")
    sys.exit(1 if wrong else 0)


def logins(folder: Path) -> Iterator[Row]:
    """Every server with every host key alone, and every way to log in there."""
    board = Board(folder, [Account("pi")])
    ways = _ways(board)
    for name, make in _SERVERS.items():
        for kind in _KEYS:
            with make(board, kind) as server, at_home(board):
                for way, key in ways.items():
                    board.known_hosts.unlink(missing_ok=True)
                    (board.client / ".ssh" / "config").write_text(
                        f"Host *\n  IdentitiesOnly yes\n  IdentityFile {key}\n"
                    )
                    yield name, kind, way, _login(server, accept=True), _login(server, accept=False)


def _ways(board: Board) -> dict[str, Path]:
    """The private key for each way; the account takes all of them, but for a password's, which is none."""
    keys = {kind: board.client / ".ssh" / f"id_of_{kind}" for kind in _KEYS}
    for kind, path in keys.items():
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", path], check=True)
    keys["encrypted"] = board.client / ".ssh" / "id_encrypted"
    make_key(keys["encrypted"], _PASSPHRASE)
    with (board.home("pi") / ".ssh" / "authorized_keys").open("a") as file:
        file.writelines(path.with_name(f"{path.name}.pub").read_text() for path in keys.values())
    keys["password"] = board.client / ".ssh" / "id_unknown"
    make_key(keys["password"])
    return keys


def _login(server: Server, accept: bool) -> str:
    def ask(prompt: str) -> str:
        return _PASSPHRASE if prompt.startswith("Passphrase") else SECRET

    try:
        with Connection.open(Target.parse(server.url("pi")), ask, accept) as connection:
            return connection.run(["echo", "in"]).stdout.decode().strip()
    except DeviceError as error:
        return error.message


def accounts(folder: Path) -> Iterator[Row]:
    """Every account on both servers."""
    usable = list(_usable())
    board = Board(folder, [*usable, *refused_accounts()])
    with at_home(board):
        for make in (Dropbear, OpenSsh):
            for account in usable:
                shutil.rmtree(board.home(account.name) / ".edgenas", ignore_errors=True)
                board.prepare(account.name)
            with make(board, "ed25519") as server:
                for account in board.accounts.values():
                    url = server.url(account.name)
                    dry, run = _prepare(url, dry_run=True), _prepare(url, dry_run=False)
                    use = _use(url, folder) if run == "ready" else "-"
                    run, dry = "the same" if run == dry else run, dry.replace(f"{folder}/", "")
                    yield make.__name__, account.shell, account.name, use, run, dry


def _usable() -> Iterator[Account]:
    """Each shell that is here, without start-up files and with one that does what it can to be in the way."""
    for shell in _SHELLS:
        name = shell.rpartition("/")[2].rpartition(" ")[2]
        if shutil.which(shell.partition(" ")[0]) is None:
            print(f"no {shell} here", file=sys.stderr)
            continue
        yield Account(name, shell)
        if name in TALKATIVE:
            yield Account(f"{name}-talks", shell, f"a '{name}' home;-", TALKATIVE[name])


def _prepare(url: str, dry_run: bool) -> str:
    try:
        edgenas.prepare(url, dry_run=dry_run, access=Access(lambda _: SECRET, accept_new_host_key=True))
    except DeviceError as error:
        return error.message
    return "ready"


def _use(url: str, home: Path) -> str:
    try:
        with connect(url, home=home) as device:
            for seed in range(2):
                model = fully_connected(seed, 64, 64)
                device.time([model], _SHORT)
                device.stage(model, {})
                device.commit()
            device.rollback()
    except DeviceError as error:
        return error.message
    return "works"


def _versions() -> str:
    asked = {"dropbear": ["dropbear", "-V"], "OpenSSH": ["ssh", "-V"]}
    told = (subprocess.run(command, capture_output=True, text=True).stderr for command in asked.values())
    return ", ".join(line.split(",")[0].strip() for line in told)


if __name__ == "__main__":
    main()
