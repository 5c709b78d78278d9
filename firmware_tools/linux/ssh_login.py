# SPDX-License-Identifier: Apache-2.0
"""Logging in by SSH: the user's ~/.ssh/config, keys, agents, and what only the user can answer."""

from __future__ import annotations

import asyncio
import concurrent.futures
import queue
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import asyncssh

from firmware_tools.errors import DeviceError, LoginError, UnreachableError
from firmware_tools.foreign_text import telling
from firmware_tools.linux import key_exchange, ssh_algorithms
from firmware_tools.linux.known_hosts import HostKeys
from firmware_tools.plain_text import plain

# Gets a prompt, returns the secret; None if nobody can be asked.
Ask = Callable[[str], "str | None"]

_TRIES = 3
_MOST_PROMPT = 200  # characters of a server's question: what we say before it stays in sight
# Whatever the user's configuration says for people: neither the board nor a host on the way to it gets the user's keys,
# tickets, display or variables. asyncssh knows no LocalForward, RemoteForward, DynamicForward, LocalCommand and Tunnel.
_NOTHING_MORE: Mapping[str, Any] = {
    "agent_forwarding": False,
    "x11_forwarding": False,
    "gss_delegate_creds": False,
    "send_env": None,
    "env": None,
    "command": None,
    "request_pty": False,  # on a terminal, bytes would be changed
}
_KEEPALIVE_S = 10  # a link that is dead shows after three of them


class Login:
    """What one login needs: the questions that asyncssh's thread has are answered in the thread that waits."""

    def __init__(self, ask: Ask | None, accept_new_host_key: bool) -> None:
        self._ask, self._accept_new = ask, accept_new_host_key
        self._questions: queue.SimpleQueue[tuple[str, concurrent.futures.Future[str | None]] | None]
        self._questions = queue.SimpleQueue()
        self._open: set[concurrent.futures.Future[str | None]] = set()
        self._over = False
        self.authenticating = False
        self.kept: list[str] = []  # of the host keys that were new, a line each

    def wait(self, login: concurrent.futures.Future[None], timeout_s: float) -> None:
        """Answer questions until `login` ends, raise what it raised; TimeoutError after `timeout_s` without answers."""
        login.add_done_callback(lambda _: self._questions.put(None))
        left_s = timeout_s
        try:
            while True:
                since = time.monotonic()
                try:
                    question = self._questions.get(timeout=max(left_s, 0.0))
                except queue.Empty:
                    raise TimeoutError from None
                left_s -= time.monotonic() - since
                if question is None:
                    return login.result()
                prompt, answer = question
                assert self._ask is not None
                said = self._ask(prompt)
                self._open.discard(answer)
                _answer(answer, said)
        finally:
            self._over = True
            login.cancel()
            for answer in tuple(self._open):  # nobody must wait for an answer for ever
                _answer(answer, None)

    def asked(self, prompt: str) -> concurrent.futures.Future[str | None]:
        """The user's answer, to come; None if nobody can be asked. The prompt that the user sees is plain."""
        answer: concurrent.futures.Future[str | None] = concurrent.futures.Future()
        if self._over or self._ask is None:
            answer.set_result(None)
        else:
            self._open.add(answer)
            self._questions.put((plain(prompt), answer))
        return answer

    async def options(self, host: str, user: str | None, port: int | None) -> asyncssh.SSHClientConnectionOptions:
        """asyncssh's options for `host`: what is given, and for the rest the user's configuration."""
        settings: dict[str, Any] = {"config": (), "keepalive_interval": _KEEPALIVE_S, **_NOTHING_MORE}  # (): the user's
        settings.update((name, value) for name, value in (("username", user), ("port", port)) if value is not None)
        passphrase = self._passphrase if self._ask is not None else None  # without, encrypted keys are passed over
        make = partial(asyncssh.SSHClientConnectionOptions, host=host, passphrase=passphrase, **settings)
        return await asyncio.get_running_loop().run_in_executor(None, make)  # it reads files

    async def connect(
        self,
        host: str,
        options: asyncssh.SSHClientConnectionOptions,
        through: asyncssh.SSHClientConnection | None,
        way_to_know: str | None,
    ) -> asyncssh.SSHClientConnection:
        """Connect by `options`, over the connection `through` if it is not None. Raises HostKeyError, LoginError.

        `way_to_know` is as in HostKeys: None for the board itself.
        """
        keys = HostKeys(options, self._accept_new, way_to_know)
        user = _User(self, keys, f"{options.username}@{options.host}")
        self.authenticating = False
        asked = keys.algorithms(options.host, options.port, str(options.config.get("HostKeyAlgorithms", "")))
        offered = ssh_algorithms.offered(options)
        settings: dict[str, Any] = {"known_hosts": keys, "client_factory": lambda: user, **offered}
        settings["server_host_key_algs"] = ",".join(asked)
        offered = {**offered, "server_host_key_algs": asked}
        try:
            connection = await asyncssh.connect(host, options=options, tunnel=through, **settings)
        except asyncssh.HostKeyNotVerifiable as error:
            version = user.connection and user.connection.get_extra_info("server_version")
            raise keys.refusal(str(error), str(version)) from error
        except (asyncssh.DisconnectError, OSError) as error:
            if not isinstance(error, asyncssh.PermissionDenied) and "authentication" not in str(error):
                failed = key_exchange.failure(error, user.connection, options, keys, offered)
                if failed is None:
                    raise
                raise failed from error
            self._remember(keys)
            raise user.refusal(options) from error
        self._remember(keys)
        return connection

    def _remember(self, keys: HostKeys) -> None:
        if (line := keys.remember()) is not None:
            self.kept.append(line)

    def _passphrase(self, file: str) -> str | None:
        # On a thread of asyncssh's; tried before the key is used, so that a wrong one can be asked for again.
        if not self.authenticating:
            # It reads the files before it knows whether the host wants their keys; one whose public half it cannot
            # see (PEM without a .pub file) is passed over by this.
            raise asyncssh.KeyImportError("Passphrase is asked for when the key is needed")
        for _ in range(_TRIES):
            passphrase = self.asked(f"Passphrase of {file}: ").result()
            if passphrase is None:
                break
            try:
                asyncssh.read_private_key(file, passphrase)
            except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
                if "bcrypt" in str(error):
                    raise LoginError(f"{file}: an encrypted key needs a package: pip install bcrypt") from error
                continue
            return passphrase
        raise LoginError(f"{file}: the key is encrypted and no passphrase opens it: try again, or use an ssh-agent")


class _User(asyncssh.SSHClient):
    """Answers what the server asks for."""

    def __init__(self, login: Login, keys: HostKeys, name: str) -> None:
        self._login, self._keys, self._name = login, keys, name
        self.connection: asyncssh.SSHClientConnection | None = None
        self._passwords = 0
        self._nobody = False
        self._challenged = True

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        """All files are read; from here on keys are used."""
        self.connection = conn
        self._login.authenticating = True

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Whether to go on with a key that is not known."""
        return self._keys.passes(key)

    async def password_auth_requested(self) -> str | None:
        """The password; None ends the attempts."""
        return await self._asked(f"Password of {self._name}: ")

    def kbdint_auth_requested(self) -> str | None:
        """Any of the server's methods, as long as the last attempt came to a question."""
        questions, self._challenged = self._challenged, False
        return "" if questions and self._passwords < _TRIES and not self._nobody else None

    async def kbdint_challenge_received(
        self, name: str, instructions: str, lang: str, prompts: Sequence[tuple[str, bool]]
    ) -> Sequence[str] | None:
        """An answer for each of the server's prompts."""
        answers = []
        self._challenged = True
        for prompt, _ in prompts:
            answer = await self._asked(f"{self._name}: {_short(prompt)} ")
            if answer is None:
                return None
            answers.append(answer)
        return answers

    def refusal(self, options: asyncssh.SSHClientConnectionOptions) -> LoginError:
        """What to tell the user who was not let in."""
        why = "the board takes none of your keys (~/.ssh, ssh-agent)"
        if not self._passwords and ssh_algorithms.only_by_sha1(options, self.connection):
            hint = "use an ed25519 key, or write HostKeyAlgorithms +ssh-rsa into ~/.ssh/config"
            return LoginError(f"{self._name}: the board takes RSA keys by SHA-1 alone: {hint}", user=self._name)
        if self._nobody:
            why += " and there is no terminal to ask for a password at"
        elif self._passwords:
            why += " and none of the passwords"
        return LoginError(
            f"{self._name}: {why}: put a key there with ssh-copy-id {self._name}, or name another user",
            user=self._name,
        )

    async def _asked(self, prompt: str) -> str | None:
        if self._nobody or self._passwords == _TRIES:
            return None
        said = await asyncio.wrap_future(self._login.asked(prompt))
        self._nobody = said is None
        self._passwords += said is not None
        return said


def _short(prompt: str) -> str:
    """A server's prompt on one line, plain and not so long that what we say before it scrolls out of sight."""
    line = plain(" ".join(prompt.split()))
    return line if len(line) <= _MOST_PROMPT else f"{line[:_MOST_PROMPT]}..."


def _answer(question: concurrent.futures.Future[str | None], said: str | None) -> None:
    with suppress(concurrent.futures.InvalidStateError):  # who asked has given up
        question.set_result(said)


def not_opened(error: Exception, name: str, timeout_s: float) -> DeviceError:
    """What to tell the user of a connection that did not come about."""
    if isinstance(error, (TimeoutError, asyncio.TimeoutError, concurrent.futures.TimeoutError)):
        why, hint = f"no answer in {timeout_s:g} s", "is it switched on, and in this network?"
    elif isinstance(error, socket.gaierror):
        why, hint = f"no such host ({error.strerror})", "check the name, or write the board's address"
    elif isinstance(error, ConnectionRefusedError):
        why, hint = "nothing listens at that port", "is its SSH server on, and the port the right one?"
    elif isinstance(error, OSError):
        why, hint = str(error.strerror or error), "check the address, ~/.ssh/config and its files"
    elif isinstance(error, asyncssh.Error):
        why, hint = f"no SSH connection: {telling(error.reason)}", "does an SSH server listen at that port?"
    else:  # ConfigParseError, KeyImportError and their like
        why, hint = str(error) or type(error).__name__, "mend ~/.ssh/config or the file it names"
        return DeviceError(f"{name}: {' '.join(why.split())}: {hint}", target=name)
    return UnreachableError(f"{name}: {' '.join(why.split())}: {hint}", target=name)
