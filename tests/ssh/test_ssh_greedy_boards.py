# SPDX-License-Identifier: Apache-2.0
"""What a board, or a host on the way to it, gets of the user: a login, and nothing else that ~/.ssh/config gives."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.ssh.greedy_server import GreedyServer
from helpers.ssh_server import SshServer, at_home

from firmware_tools.errors import DeviceUrlError, HostKeyError, LoginError
from firmware_tools.linux.ssh_connection import Connection, Target

GENEROUS = """Host *
  ForwardAgent yes
  ForwardX11 yes
  ForwardX11Trusted yes
  GSSAPIDelegateCredentials yes
  SendEnv MY_TOKEN
  SetEnv MY_OTHER=token
  RemoteCommand touch forced
  RequestTTY force
  LocalForward 127.0.0.1:0 127.0.0.1:22
  RemoteForward 0 127.0.0.1:22
  PermitLocalCommand yes
  LocalCommand touch local
"""


@pytest.fixture
def own(tmp_path: Path) -> Iterator[SshServer]:
    with SshServer(tmp_path / "own", "AcceptEnv *") as server, at_home(server):
        yield server


@pytest.fixture
def agent(own: SshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The user's agent, with a key."""
    if shutil.which("ssh-agent") is None:
        pytest.skip("no ssh-agent here")
    path = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL)
    try:
        while not path.exists():
            assert process.poll() is None
        monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
        subprocess.run(["ssh-add", "-q", str(own.key)], check=True, capture_output=True)
        yield path
    finally:
        process.kill()
        process.wait()


def config(server: SshServer, text: str) -> None:
    (server.client / ".ssh" / "config").write_text(text)


def printed(url: str, *argv: str, accept: bool = False) -> str:
    with Connection.open(Target.parse(url), accept_new_host_key=accept) as connection:
        return connection.run(argv or ("true",)).stdout.decode()


def test_the_boards_session_has_nothing_of_the_users(
    own: SshServer, agent: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MY_TOKEN", "token")
    monkeypatch.chdir(tmp_path)
    config(own, GENEROUS)
    environment = printed(own.url(), "env")
    assert "HOME=" in environment
    for name in ("SSH_AUTH_SOCK", "MY_TOKEN", "MY_OTHER", "DISPLAY", "SSH_TTY"):
        assert f"{name}=" not in environment, name
    assert not list(tmp_path.glob("local")) + list(own.home.glob("forced"))


def test_no_host_reaches_the_agent_or_gets_variables(
    own: SshServer, agent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", "token")
    hop, board = GreedyServer(own.host_key), GreedyServer(own.host_key)
    own.trust(hop.port, board.port)
    config(
        own, f"{GENEROUS}Host board\n  HostName 127.0.0.1\n  Port {board.port}\n  ProxyJump pi@127.0.0.1:{hop.port}\n"
    )
    assert printed("ssh://pi@board") == "let in\n"
    assert (hop.agent, board.agent) == ([False], [False])
    assert (hop.given, board.given) == ([], [])


def test_no_sha1_is_offered_unless_the_user_says_so(own: SshServer) -> None:
    server = GreedyServer(own.host_key)
    own.trust(server.port)
    url = f"ssh://pi@127.0.0.1:{server.port}"

    def offers() -> tuple[set[str], list[str]]:
        assert printed(url) == "let in\n"
        names = [name for names in server.offers for name in names]
        return {name for name in names if "sha1" in name or name in ("ssh-rsa", "ssh-dss")}, names

    by_sha1, names = offers()
    assert by_sha1 == set()
    assert {"curve25519-sha256", "rsa-sha2-256", "hmac-sha2-256"} <= set(names)
    assert server.offers[6] == server.offers[7] == ["none"]
    config(
        own, "Host *\n  MACs +hmac-sha1\n  KexAlgorithms +diffie-hellman-group14-sha1\n  HostKeyAlgorithms +ssh-rsa\n"
    )
    assert offers()[0] == {"hmac-sha1", "diffie-hellman-group14-sha1", "ssh-rsa"}
    config(own, "Host *\n  MACs -hmac-md5*\n  KexAlgorithms -nothing\n  Compression yes\n")
    assert offers()[0] == set()
    assert "zlib@openssh.com" in server.offers[6]


def test_an_rsa_key_that_an_old_server_takes_by_sha1_alone(own: SshServer) -> None:
    for path in (own.key, own.key.with_suffix(".pub")):
        path.unlink()
    key = own.key.with_name("id_rsa")
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", str(key)], check=True)
    old = GreedyServer(own.host_key, authorized_client_keys=f"{key}.pub", signature_algs=["ssh-rsa"])
    own.trust(old.port)
    url = f"ssh://pi@127.0.0.1:{old.port}"
    with pytest.raises(LoginError, match="takes RSA keys by SHA-1 alone: use an ed25519 key, or write") as caught:
        printed(url)
    config(own, f"Host *\n  {caught.value.message.partition('or write ')[2].partition(' into')[0]}\n")
    assert printed(url) == "let in\n"


def test_a_new_key_is_told_and_kept_for_the_board_alone(own: SshServer, tmp_path: Path) -> None:
    with SshServer(tmp_path / "hop") as hop:
        shutil.copy(own.folder / "authorized_keys", hop.folder / "authorized_keys")
        config(own, f"Host board\n  HostName 127.0.0.1\n  Port {own.port}\n  ProxyJump 127.0.0.1:{hop.port}\n")
        own.known_hosts.unlink()
        told: list[str] = []
        target = Target.parse(f"ssh://{own.user}@board")
        with pytest.raises(
            HostKeyError, match=r"unknown host key SHA256:.* on the way to the board: run `ssh "
        ) as caught:
            Connection.open(target, accept_new_host_key=True, tell=told.append)
        assert f"`ssh ssh://127.0.0.1:{hop.port}`" in caught.value.message
        assert len(caught.value.message) < 200
        assert (told, own.known_hosts.exists()) == ([], False)
        kind, key = hop.host_key.with_suffix(".pub").read_text().split()[:2]
        known = f"[127.0.0.1]:{hop.port} {kind} {key}\n"
        own.known_hosts.write_text(known)
        Connection.open(target, accept_new_host_key=True, tell=told.append).close()
    shown = subprocess.run(["ssh-keygen", "-lf", str(own.host_key)], check=True, capture_output=True, text=True)
    fingerprint = shown.stdout.split()[1]
    assert told == [
        f"[127.0.0.1]:{own.port}: its new host key, ssh-ed25519 {fingerprint}, is kept in {own.known_hosts}"
    ]
    assert own.known_hosts.read_text().startswith(known)


def test_a_key_that_is_kept_is_told_although_the_login_fails(own: SshServer) -> None:
    (own.folder / "authorized_keys").write_text("")
    own.known_hosts.unlink()
    told: list[str] = []
    with pytest.raises(LoginError):
        Connection.open(Target.parse(own.url()), accept_new_host_key=True, tell=told.append)
    assert len(told) == 1
    assert own.known_hosts.exists()


def test_how_much_room_a_changed_key_takes_in_a_message(own: SshServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that can be read, where the user's files are at their place."""
    monkeypatch.setattr("firmware_tools.linux.known_hosts._home", lambda: own.client)
    own.stop()
    own.renew_host_key()
    own.start()
    with pytest.raises(HostKeyError, match="THE HOST KEY HAS CHANGED") as caught:
        printed(own.url())
    assert caught.value.message.endswith(f"forget the old one: ssh-keygen -R '[127.0.0.1]:{own.port}'")
    assert len(caught.value.message) < 200


PASSWORDS = [
    "ssh://pi:secret@host",
    "ssh://pi:secret%40@host",
    "ssh://pi%3Asecret@host",
    "ssh://pi%3asecret%40host",
    "ssh://pi:se/secret@host",
    "ssh://pi:se?secret@host",
    "ssh://pi:p@secret@host",
    "ssh:pi:secret@host",
    "ssh:/pi:secret@host",
    "ssh//pi:secret@host",
    "SSH://pi:secret@host",
    "pi:secret@host",
    "http://pi:secret@host",
    "serial://pi:secret@host",
]


@pytest.mark.parametrize("url", PASSWORDS)
@pytest.mark.parametrize("where", ["option", "argument", "inventory"])
def test_a_password_that_was_written_somewhere_is_not_repeated(
    url: str, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from edgenas import cli

    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    monkeypatch.setenv("EDGENAS_HOME", str(home))
    arguments = ["rollback", "--board", "rpi-4b", "--device", url]
    if where == "argument":
        arguments = ["rollback", url]
    elif where == "inventory":
        (home / "devices.toml").write_text(f'[[device]]\nname = "kitchen"\nurl = "{url}"\n')
        arguments[-1] = "kitchen"
    assert cli.main(arguments) in (1, 2)
    said = "".join(capfd.readouterr())
    assert "secret" not in said
    assert "password" in said


@pytest.mark.parametrize(
    "url",
    ["ssh://host:22?root=/a@b", "ssh://pi@[fe80::1]:22?root=/a:b@c", "ssh://host?root=/a:b@c", "ssh://pi@host:22"],
)
def test_what_only_looks_like_a_password(url: str) -> None:
    Target.parse(url)
    with pytest.raises(DeviceUrlError, match="password"):
        Target.parse(url.replace("ssh://", "ssh://x:y@"))
