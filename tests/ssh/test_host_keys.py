# SPDX-License-Identifier: Apache-2.0
"""Servers with host keys of one type, and old servers: asked as OpenSSH's client asks, and as strictly."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.ssh_accounts import Account, Board, Dropbear, OpenSsh, Server
from helpers.ssh_server import at_home, make_key

from firmware_tools.errors import HostKeyError, KeyExchangeError, UnreachableError
from firmware_tools.linux.ssh_connection import Connection, Target

_OPENSSH_TYPES = {"ed25519": "ssh-ed25519", "ecdsa": "ecdsa-sha2-nistp256", "rsa": "ssh-rsa"}
_SHOW: dict[type[Server], str] = {
    Dropbear: "dropbearkey -y -f /etc/dropbear/dropbear_{kind}_host_key",
    OpenSsh: "ssh-keygen -lf /etc/ssh/ssh_host_{kind}_key.pub",
}


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    with at_home(board := Board(tmp_path / "board", [Account("pi")])):
        yield board


def whoami(server: Server, accept: bool = False) -> None:
    with Connection.open(Target.parse(server.url("pi")), accept_new_host_key=accept) as connection:
        assert connection.run(["echo", "in"]).stdout == b"in\n"


@pytest.mark.parametrize("kind", _OPENSSH_TYPES)
@pytest.mark.parametrize("make", [Dropbear, OpenSsh])
def test_one_type_of_host_key_alone(board: Board, make: type[Server], kind: str) -> None:
    with make(board, kind) as server:
        with pytest.raises(HostKeyError, match="unknown host key") as caught:
            whoami(server)
        assert f"`{_SHOW[make].format(kind=kind)}` there says the same" in caught.value.message
        assert len(caught.value.message) < 200
        whoami(server, accept=True)
        whoami(server)
        (known,) = board.known_hosts.read_text().splitlines()
        assert known.split()[1] == _OPENSSH_TYPES[kind]
        assert_openssh_agrees(server)


def assert_openssh_agrees(server: Server) -> None:
    """Its client logs in by the keys that are known."""
    if shutil.which("ssh"):
        command = ["ssh", "-F", "none", "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={server.board.known_hosts}"]
        command += ["-i", str(server.board.key), "-p", str(server.port), "pi@127.0.0.1", "true"]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def test_known_types_come_first_and_a_changed_key_never_passes(board: Board) -> None:
    with Dropbear(board, "ecdsa", "rsa") as server:
        board.known_hosts.write_text(f"[127.0.0.1]:{server.port} {server.public('rsa')}\n")
        whoami(server)  # by the type that is known, although another one is preferred
        board.known_hosts.write_text(
            "".join(f"[127.0.0.1]:{server.port} {server.public(kind)}\n" for kind in ("rsa", "ecdsa"))
        )
        whoami(server)
        known = board.known_hosts.read_text()
        server.stop()
        server.make_key("ecdsa", server.keys["ecdsa"])
        server.start()
        for accept in (False, True):
            with pytest.raises(HostKeyError, match="THE HOST KEY HAS CHANGED"):
                whoami(server, accept)
        board.known_hosts.write_text(known.splitlines()[1] + "\n")
        server.stop()
        del server.keys["ecdsa"]
        server.start()
        for accept in (False, True):  # none of the known type is left
            with pytest.raises((HostKeyError, UnreachableError), match=r"ssh-keygen -f .* -R"):
                whoami(server, accept)
    assert board.known_hosts.read_text() == known.splitlines()[1] + "\n"


def test_a_server_that_hangs_up_in_the_key_exchange(board: Board) -> None:
    with Dropbear(board, "ed25519", "rsa") as server:
        board.known_hosts.write_text(f"[127.0.0.1]:{server.port} {server.public('rsa')}\n")
        server.stop()
        del server.keys["rsa"]
        server.start()
        with pytest.raises((HostKeyError, UnreachableError)) as caught:
            whoami(server)
        assert "hung up in the key exchange" in caught.value.message
        forget = caught.value.message.rpartition("forget the old: ")[2]
        subprocess.run(["sh", "-c", forget], check=True, capture_output=True)
        whoami(server, accept=True)


def test_a_server_that_hangs_up_in_the_login(board: Board) -> None:
    for path in (board.key, board.key.with_suffix(".pub")):
        path.unlink()
    with Dropbear(board, "ed25519", settings=["-T", "1"]) as server:
        with pytest.raises(UnreachableError, match=r"hung up in the login \(.*does it take this user") as caught:
            Connection.open(Target.parse(server.url("pi")), lambda _: "wrong", accept_new_host_key=True)
        assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    ("what", "option", "offered"),
    [
        ("host key", "HostKeyAlgorithms", "ssh-rsa"),
        ("key exchange", "KexAlgorithms", "diffie-hellman-group1-sha1"),
        ("key exchange", "KexAlgorithms", "diffie-hellman-group14-sha1"),
        ("encryption", "Ciphers", "aes128-cbc"),
        ("MAC", "MACs", "hmac-sha1"),
    ],
)
def test_an_old_server_is_refused_and_the_way_out_works(board: Board, what: str, option: str, offered: str) -> None:
    setting, way = f"{option} {offered}", f"{option} +{offered}"
    with OpenSsh(board, "rsa", settings=[setting, "Ciphers aes128-ctr"]) as server:
        with pytest.raises(KeyExchangeError) as caught:
            whoami(server, accept=True)
        assert f"no common {what}, the board offers only {offered}: " in caught.value.message
        assert f"renew its SSH server, or write {way} into ~/.ssh/config" in caught.value.message
        assert len(caught.value.message) < 200
        (board.client / ".ssh" / "config").write_text(f"Host *\n  {way}\n")
        whoami(server, accept=True)


def test_the_users_own_choice_of_algorithms(board: Board) -> None:
    config = board.client / ".ssh" / "config"
    with OpenSsh(board, "ed25519", "rsa") as server:
        for choice, known in (
            ("ssh-ed25519", "ssh-ed25519"),
            ("rsa-sha2-256", "ssh-rsa"),
            ("^rsa-sha2-512", "ssh-rsa"),
            ("-ssh-ed*", "ssh-rsa"),
            ("+ssh-rsa", "ssh-ed25519"),
        ):
            board.known_hosts.unlink(missing_ok=True)
            config.write_text(f"Host *\n  HostKeyAlgorithms {choice}\n")
            whoami(server, accept=True)
            assert board.known_hosts.read_text().split()[1] == known, choice


def test_a_host_certificate(board: Board, tmp_path: Path) -> None:
    """It counts where its authority is known; elsewhere the key in it is a key like any other."""
    authority = tmp_path / "authority"
    make_key(authority)
    server = OpenSsh(board, "ed25519")
    sign = ["ssh-keygen", "-q", "-s", str(authority), "-I", "board", "-h", "-n", "127.0.0.1"]
    subprocess.run([*sign, f"{server.keys['ed25519']}.pub"], check=True)
    server.settings = [f"HostCertificate {server.keys['ed25519']}-cert.pub"]
    with server:
        with pytest.raises(HostKeyError, match="unknown host key"):
            whoami(server)
        whoami(server, accept=True)
        assert board.known_hosts.read_text().split()[1] == "ssh-ed25519"
        public = authority.with_suffix(".pub").read_text()
        board.known_hosts.write_text(f"@cert-authority [127.0.0.1]:{server.port} {public}")
        whoami(server)
        make_key(other := tmp_path / "other")
        board.known_hosts.write_text(f"@cert-authority * {other.with_suffix('.pub').read_text()}")
        with pytest.raises(HostKeyError):
            whoami(server, accept=True)
