# SPDX-License-Identifier: Apache-2.0
"""Who the board is and who may log in: host keys, users' keys, passwords, the user's configuration."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.ssh.password_server import PasswordServer
from helpers.ssh_server import SshServer, at_home, free_port, make_key

from firmware_tools.connect import Access, connect
from firmware_tools.errors import DeviceError, HostKeyError, LoginError, UnreachableError
from firmware_tools.linux.ssh_connection import Connection, Target


@pytest.fixture
def own(tmp_path: Path) -> Iterator[SshServer]:
    """A server that no other test uses, its key known."""
    with SshServer(tmp_path / "own") as server, at_home(server):
        yield server


def whoami(url: str, ask: Callable[[str], str | None] | None = None, accept: bool = False) -> str:
    with Connection.open(Target.parse(url), ask, accept) as connection:
        return connection.run(["id", "-un"]).stdout.decode().strip()


def fingerprint(server: SshServer) -> str:
    command = ["ssh-keygen", "-lf", str(server.host_key)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[1]


def test_an_unknown_host_is_refused_until_its_key_is_accepted(own: SshServer, monkeypatch: pytest.MonkeyPatch) -> None:
    own.known_hosts.unlink()
    with pytest.raises(HostKeyError, match="unknown host key") as caught:
        connect(own.url(), home=Path("/nowhere"))
    assert caught.value.exit_code == 4
    assert caught.value.fields["fingerprint"] == fingerprint(own)
    assert fingerprint(own) in caught.value.message
    assert "--accept-new-host-key" in caught.value.message
    assert "\n" not in caught.value.message
    assert not own.known_hosts.exists()
    own.known_hosts.write_text("# no end of line")
    assert whoami(own.url(), accept=True) == own.user
    assert whoami(own.url()) == own.user
    written = own.known_hosts.read_text().splitlines()
    assert written[0] == "# no end of line"
    assert written[1].startswith(f"[127.0.0.1]:{own.port} ssh-ed25519 ")
    if shutil.which("ssh"):  # OpenSSH reads it as we wrote it
        command = ["ssh", "-F", "none", "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={own.known_hosts}"]
        command += ["-i", str(own.key), "-p", str(own.port), f"{own.user}@127.0.0.1", "true"]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("hashed", [False, True], ids=["plain", "hashed"])
def test_a_changed_host_key_is_refused_loudly_and_never_accepted(own: SshServer, hashed: bool) -> None:
    if hashed:
        subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(own.known_hosts)], check=True, capture_output=True)
    before, known = fingerprint(own), own.known_hosts.read_bytes()
    own.stop()
    own.renew_host_key()
    own.start()
    for accept in (False, True):
        with pytest.raises(HostKeyError, match="THE HOST KEY HAS CHANGED") as caught:
            whoami(own.url(), accept=accept)
        assert fingerprint(own) in caught.value.message
        assert caught.value.fields["known"] == before
    assert own.known_hosts.read_bytes() == known
    forget = caught.value.message.rpartition("forget the old one: ")[2]
    subprocess.run(["sh", "-c", forget], check=True, capture_output=True)
    assert whoami(own.url(), accept=True) == own.user


@pytest.mark.parametrize(
    "line", ["UserKnownHostsFile none", "UserKnownHostsFile /dev/null", "StrictHostKeyChecking no"]
)
def test_no_configuration_turns_the_check_off(own: SshServer, line: str) -> None:
    own.known_hosts.unlink()
    (own.client / ".ssh" / "config").write_text(f"Host *\n  {line}\n")
    with pytest.raises(HostKeyError, match="unknown host key"):
        whoami(own.url())


def test_a_key_known_without_the_port_and_damaged_lines(own: SshServer) -> None:
    own.known_hosts.write_text("what\n" + own.known_hosts.read_text().replace(f"[127.0.0.1]:{own.port}", "127.0.0.1"))
    assert whoami(own.url()) == own.user
    own.known_hosts.write_text("@revoked " + own.known_hosts.read_text().splitlines()[1] + "\n")
    with pytest.raises(HostKeyError, match="revoked"):
        whoami(own.url(), accept=True)


def test_the_users_configuration_is_followed(server: SshServer) -> None:
    config = server.client / ".ssh"
    other = config / "other_key"
    other.write_bytes(server.key.read_bytes())
    other.chmod(0o600)
    server.key.rename(config / "hidden")
    (config / "boards").write_text(
        f"Host jump\n  HostName 127.0.0.1\n  Port {server.port}\n  IdentityFile {other}\n  User {server.user}\n"
    )
    (config / "config").write_text(
        f"Include boards\nHost board\n  HostName 127.0.0.1\n  Port {server.port}\n  ProxyJump jump\n"
        f"Match host 127.0.0.1,board\n  User {server.user}\n  IdentityFile {other}\n"
        "Host *\n  ProxyJump jump\n  RequestTTY force\n  ForwardX11 yes\n  RemoteCommand false\n"
    )
    try:
        assert whoami("ssh://jump") == server.user
        with Connection.open(Target.parse("ssh://board")) as connection:
            assert connection.run(["printf", "a\nb"]).stdout == b"a\nb"
            assert len(connection._hops) == 2
        server.known_hosts.write_text("")
        with pytest.raises(HostKeyError, match="unknown host key"):  # the jump's, too
            whoami("ssh://board")
    finally:
        (config / "hidden").rename(server.key)


def test_an_agent_serves_the_key(server: SshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("ssh-agent") is None:
        pytest.skip("no ssh-agent here")
    away = tmp_path / "key"
    server.key.rename(away)
    path = tmp_path / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL)
    try:
        while not path.exists():
            assert agent.poll() is None
        environment = {**os.environ, "SSH_AUTH_SOCK": str(path)}
        subprocess.run(["ssh-add", "-q", str(away)], env=environment, check=True, capture_output=True)
        with pytest.raises(LoginError):
            whoami(server.url())
        (server.client / ".ssh" / "config").write_text(f"Host *\n  IdentityAgent {path}\n")
        assert whoami(server.url()) == server.user
    finally:
        away.rename(server.key)
        agent.kill()
        agent.wait()


def test_an_encrypted_key_asks_for_its_passphrase(own: SshServer) -> None:
    pytest.importorskip("bcrypt")
    for path in (own.key, own.key.with_suffix(".pub")):
        path.unlink()
    make_key(own.key, "open sesame")
    (own.folder / "authorized_keys").write_text(own.key.with_suffix(".pub").read_text())
    said, prompts = ["wrong", "open sesame"], []

    def ask(prompt: str) -> str | None:
        assert threading.current_thread() is threading.main_thread()
        prompts.append(prompt)
        return said.pop(0) if said else None

    assert whoami(own.url(), ask) == own.user
    assert prompts == [f"Passphrase of {own.key}: "] * 2
    with pytest.raises(LoginError):
        whoami(own.url(), ask)
    with pytest.raises(LoginError, match="takes none of your keys"):
        whoami(own.url())
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ecdsa", "-m", "PEM", "-N", "another", "-f", own.key.parent / "id_ecdsa"], check=True
    )
    (own.key.parent / "id_ecdsa.pub").unlink()
    assert whoami(own.url(), lambda _: "open sesame") == own.user  # without a word about the other


def test_no_key_that_is_taken(server: SshServer, tmp_path: Path) -> None:
    authorized = server.folder / "authorized_keys"
    kept = authorized.read_text()
    authorized.write_text("")
    try:
        prompts: list[str] = []
        with pytest.raises(LoginError, match="there is no terminal") as caught:
            connect(server.url(), home=Path("/nowhere"), access=Access(lambda prompt: prompts.append(prompt)))
        assert "ssh-copy-id" in caught.value.message
        assert caught.value.exit_code == 4
        assert prompts == [f"Password of {server.user}@127.0.0.1: "]
        with pytest.raises(LoginError, match="none of the passwords"):
            connect(server.url(), home=Path("/nowhere"), access=Access(lambda prompt: "wrong"))
    finally:
        authorized.write_text(kept)


@pytest.mark.parametrize("interactive", [False, True], ids=["password", "keyboard-interactive"])
def test_a_password_is_asked_for_and_asked_again(server: SshServer, interactive: bool) -> None:
    board = PasswordServer(server.host_key, interactive)
    server.trust(board.port)
    said = ["wrong", "secret"]
    assert whoami(f"ssh://pi@127.0.0.1:{board.port}", lambda _: said.pop(0)) == "let in"
    assert board.tried == ["wrong", "secret"]
    board.tried.clear()
    with pytest.raises(LoginError, match="none of the passwords"):
        whoami(f"ssh://pi@127.0.0.1:{board.port}", lambda _: "wrong")
    assert len(board.tried) == 3

    def interrupted(_: str) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        whoami(f"ssh://pi@127.0.0.1:{board.port}", interrupted)


def test_nothing_there(server: SshServer) -> None:
    with pytest.raises(UnreachableError, match="nothing listens at that port"):
        whoami(f"ssh://127.0.0.1:{free_port()}")
    with pytest.raises(UnreachableError, match="no such host"):
        whoami("ssh://no-such-host.invalid")
    (server.client / ".ssh" / "config").write_text("Host x\n  Port many\n")
    with pytest.raises(DeviceError, match=r"mend ~/.ssh/config"):
        whoami("ssh://x")


def test_a_host_that_says_nothing(server: SshServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        target = Target("127.0.0.1", mute.getsockname()[1])
        with pytest.raises(UnreachableError, match=r"no answer in 0\.2 s"):
            Connection.open(target, timeout_s=0.2)


def test_without_asyncssh_the_package_is_named(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['asyncssh'] = None\n"
        "from pathlib import Path\nfrom firmware_tools.connect import connect\n"
        "try:\n    connect('ssh://host', home=Path('x'))\nexcept Exception as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "ssh: boards need the package asyncssh: pip install 'edgenas[ssh]'\n"
