# SPDX-License-Identifier: Apache-2.0
"""A blocking SSH connection: commands, long-lived processes and uploads, over asyncssh on a thread of its own.

Everything that asyncssh raises becomes one of `firmware_tools.errors` here and nowhere else.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import re
import shlex
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar
from urllib.parse import unquote

from firmware_tools.answers.streams import Tail
from firmware_tools.device import Progress
from firmware_tools.errors import DeviceError, DeviceFullError, DeviceLostError, DeviceUrlError
from firmware_tools.foreign_text import telling

try:
    import asyncssh
except ModuleNotFoundError as error:
    raise DeviceError("ssh: boards need the package asyncssh: pip install 'edgenas[ssh]'") from error

from firmware_tools.linux.ssh_command import ERROR_MARK, MARK, command_line
from firmware_tools.linux.ssh_login import Ask, Login, not_opened
from firmware_tools.linux.ssh_process import Process, Session
from firmware_tools.passwords import holds_password
from firmware_tools.plain_text import colourless, plain

_OPEN_TIMEOUT_S = 30.0
_START_TIMEOUT_S = 30.0  # of the account's start-up files
_CHUNK_BYTES = 256 << 10
_MAX_PRINTED_BYTES = 256 << 10  # of a command that is run: ours print a few lines, pip some more
_CLOSE_TIMEOUT_S = 5.0
_SAID_CHARACTERS = 40  # of what start-up files print, in a message
_FULL = ("No space left on device", "Disk quota exceeded", "File too large")
# To a file that is synced before the command ends; what goes wrong is told in English.
_RECEIVE = 'LC_ALL=C; export LC_ALL; cat %s "$1" && { sync "$1" 2>/dev/null || sync; }'
# "$@" without input, and beside it what kills both when stdin ends: without a terminal, the end of a connection ends no
# program. sshd gives every command a process group of its own.
_TIED = """
exec 3<&0
"$@" </dev/null 3<&- & child=$!
{ read gone <&3; kill -9 0; } >/dev/null 2>&1 & watch=$!
wait $child; status=$?
kill $watch; exit $status
"""
_ADDRESS = re.compile(r"//(?:([^@/]+)@)?(\[[0-9A-Za-z:.%]+\]|[^@/:\[\]]+)(?::(\d{1,5}))?/?")
# What OpenSSH refuses as well: it would reach the ProxyCommand of the user's configuration.
_UNSAFE = re.compile(r"^-|[\s\x00-\x1f\x7f'`\"\\;&<>|(){}$/]")

T = TypeVar("T")


@dataclass(frozen=True)
class Target:
    """Where to connect to; what is None comes from the user's ~/.ssh/config, else from SSH's defaults."""

    host: str
    port: int | None = None
    user: str | None = None

    @classmethod
    def parse(cls, url: str) -> Target:
        """The target of ssh://[user@]host[:port]; what follows a question mark is not looked at.

        Raises DeviceUrlError if there is no host, or a character that no host and no user has.
        """
        address = url.partition("?")[0].removeprefix("ssh:")
        if holds_password(url):  # not repeated
            raise DeviceUrlError("ssh: a password in a URL can be read by others: leave it out, it is asked for")
        found = _ADDRESS.fullmatch(address)
        if found is None:
            raise DeviceUrlError(f"{url}: no address of a board, write ssh://user@host:port", url=url, value=address)
        user, host, port = found[1], found[2].strip("[]"), found[3]
        user, host = user and unquote(user), unquote(host)
        for what, name in (("user", user), ("host", host)):
            if name is not None and (not name or _UNSAFE.search(name)):
                raise DeviceUrlError(f"{url}: {name!r} cannot be a {what}: write ssh://user@host", url=url, value=name)
        if port is not None and not 0 < int(port) < 1 << 16:
            raise DeviceUrlError(f"{url}: port {port} is not one of 1 to 65535", url=url, value=port)
        return cls(host, int(port) if port else None, user)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.user + '@' if self.user else ''}{host}{f':{self.port}' if self.port else ''}"


@dataclass(frozen=True)
class Completed:
    """A command that ended: its exit status (negative: the signal that ended it) and the end of what it printed."""

    status: int
    stdout: bytes
    stderr: bytes


class Connection:
    """An open connection; a context manager that closes itself. Made by `Connection.open`."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._hops: list[asyncssh.SSHClientConnection] = []
        logging.getLogger("asyncio").addFilter(_worth_telling)
        warnings.filterwarnings("ignore", module=r"asyncssh\.")  # what of cryptography's it uses is no user's business
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"ssh {target}", daemon=True)
        self._thread.start()

    @classmethod
    def open(
        cls,
        target: Target,
        ask: Ask | None = None,
        accept_new_host_key: bool = False,
        tell: Callable[[str], None] = lambda _: None,
        timeout_s: float = 20.0,
    ) -> Connection:
        """Connect and log in, through the hosts of the user's ProxyJump if there are any.

        `ask(prompt)` is called in this thread for a password or a passphrase and returns it, or None if nobody can be
        asked; its time does not count in `timeout_s`. With `accept_new_host_key` the board's key is written into
        known_hosts if no other is known, and `tell` is called with a line about it.
        Raises UnreachableError, HostKeyError, LoginError, DeviceError.
        """
        connection = cls(target)
        login = Login(ask, accept_new_host_key)
        try:
            login.wait(asyncio.run_coroutine_threadsafe(connection._connect(login), connection._loop), timeout_s)
        except (asyncssh.Error, OSError, ValueError, asyncio.TimeoutError) as error:
            connection.close()
            raise not_opened(error, str(target), timeout_s) from error
        except BaseException:
            connection.close()
            raise
        finally:
            for line in login.kept:
                tell(line)
        return connection

    def run(self, argv: Sequence[str], stdin: bytes = b"", timeout_s: float = 60.0) -> Completed:
        """Run a program to its end; `argv` reaches it as it is, whatever the characters.

        Raises DeviceLostError if the connection is lost or the program runs for longer than `timeout_s`.
        """

        return self._call(self._run(argv, stdin, timeout_s), f"{argv[0]} ran for more than {timeout_s:g} s")

    def run_tied(self, argv: Sequence[str], timeout_s: float) -> Completed:
        """`run` without input, for what takes long: killed when the connection ends, however this program does."""
        tied = ["sh", "-c", _TIED, "sh", *argv]
        return self._call(self._run(tied, None, timeout_s), f"{argv[0]} ran for more than {timeout_s:g} s")

    def start(self, argv: Sequence[str]) -> Process:
        """Start a program that is spoken to while it runs. Raises DeviceLostError."""

        async def start() -> Process:
            command = command_line(argv, in_its_place=True)
            opened = self._last.create_session(partial(Session, str(self.target)), command, encoding=None)
            channel, session = await asyncio.wait_for(opened, _OPEN_TIMEOUT_S)
            assert isinstance(session, Session)
            try:
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(session.begun.wait(), _START_TIMEOUT_S)
                if not session.runs:
                    ended = session.ended.is_set()
                    raise self._not_begun(ended, channel.get_returncode(), session.printed_before)
            except BaseException:
                channel.close()
                raise
            return Process(self._loop, channel, session)

        return self._call(start(), f"{argv[0]} did not start in {_OPEN_TIMEOUT_S:g} s")

    def upload(
        self, data: bytes, path: str, offset: int = 0, progress: Progress | None = None, timeout_s: float = 60.0
    ) -> None:
        """Write `data` from `offset` on to the end of the file `path`, which has `offset` bytes, and sync it.

        At offset 0 the file is made, or made empty. `progress` is called with the bytes sent and their total. Ends when
        the board has the last byte on its disk. Raises DeviceFullError (the file is removed), DeviceError if it
        cannot be written, DeviceLostError if the connection is lost or nothing moves for `timeout_s`; what has arrived
        then stays, in order and without a gap.
        """
        name = path.rpartition("/")[2]
        done = self._call(
            self._send(data, path, offset, progress, timeout_s), f"{name}: no progress in {timeout_s:g} s"
        )
        if done.status == 0:
            return
        why = one_line(done.stderr) or f"status {done.status}"
        if any(text in why for text in _FULL):
            self.run(["rm", "-f", "--", path])
            message = f"{self.target}: no space on the board for {name}: {why}; free some and retry"
            raise DeviceFullError(message, path=path, bytes=len(data))
        raise DeviceError(f"{self.target}: {path} cannot be written on the board ({why}): mend the folder", path=path)

    def close(self) -> None:
        """Hang up; what runs there on our behalf gets the end of its stdin. Closing twice is harmless."""
        if self._loop.is_closed():
            return
        with suppress(concurrent.futures.TimeoutError):
            asyncio.run_coroutine_threadsafe(self._hang_up(), self._loop).result(_CLOSE_TIMEOUT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CLOSE_TIMEOUT_S)
        if not self._thread.is_alive():
            self._loop.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _last(self) -> asyncssh.SSHClientConnection:
        return self._hops[-1]

    async def _connect(self, login: Login) -> None:
        await self._connect_hop(login, self.target.host, self.target.user, self.target.port, ())

    async def _connect_hop(
        self,
        login: Login,
        host: str,
        user: str | None,
        port: int | None,
        seen: tuple[str, ...],
        way_to_know: str | None = None,
    ) -> None:
        options = await login.options(host, user, port)
        # asyncssh would jump by itself, but check those hosts less and ask no questions there.
        jumps = str(options.tunnel).split(",") if options.tunnel and not self._hops else []
        for jump in jumps:
            of, _, address = jump.rpartition("@")
            name, _, number = address.partition(":") if address.count(":") == 1 else (address, "", "")
            if name not in (*seen, host):  # "Host *" makes a host jump over itself
                way = shlex.join(("ssh", f"ssh://{jump}" if number else jump))
                await self._connect_hop(login, name, of or None, int(number or 0) or None, (*seen, host), way)
        through = self._hops[-1] if self._hops else None
        self._hops.append(await login.connect(host, options, through, way_to_know))

    async def _run(self, argv: Sequence[str], stdin: bytes | None, timeout_s: float) -> Completed:
        """`stdin` of None stays open until the program has ended."""
        async with self._process(argv, timeout_s) as process:
            if stdin is not None:
                with suppress(BrokenPipeError):  # it ended early
                    process.stdin.write(stdin)
                    process.stdin.write_eof()
            return await asyncio.wait_for(self._completed(process), timeout_s)

    async def _send(
        self, data: bytes, path: str, offset: int, progress: Progress | None, timeout_s: float
    ) -> Completed:
        script = _RECEIVE % (">>" if offset else ">")
        async with self._process(["sh", "-c", script, "sh", path], timeout_s) as process:
            with suppress(BrokenPipeError):  # it ended early: its status and stderr say why
                for start in range(offset, len(data), _CHUNK_BYTES):
                    process.stdin.write(data[start : start + _CHUNK_BYTES])
                    await asyncio.wait_for(process.stdin.drain(), timeout_s)
                    if progress is not None:
                        progress(min(start + _CHUNK_BYTES, len(data)), len(data))
                process.stdin.write_eof()
            return await asyncio.wait_for(self._completed(process), timeout_s)

    @asynccontextmanager
    async def _process(self, argv: Sequence[str], timeout_s: float) -> AsyncIterator[asyncssh.SSHClientProcess[bytes]]:
        """The process of `argv`, once the login shell has started it. Raises DeviceError if it does not."""
        opened = self._last.create_process(command_line(argv), encoding=None)
        process = await asyncio.wait_for(opened, timeout_s)
        try:
            await self._begin(process)
            yield process
        finally:
            process.close()

    async def _begin(self, process: asyncssh.SSHClientProcess[bytes]) -> None:
        try:
            await asyncio.wait_for(process.stdout.readuntil(MARK), _START_TIMEOUT_S)
        except asyncio.TimeoutError as error:
            raise self._not_begun(False, None, b"\n".join(process.collect_output())) from error
        except asyncio.IncompleteReadError as error:  # the shell has ended, or prints without an end
            ended = process.stdout.at_eof()
            if ended:
                await asyncio.wait_for(process.wait_closed(), _OPEN_TIMEOUT_S)
            printed = b"\n".join((error.partial, *process.collect_output()))
            raise self._not_begun(ended, process.returncode, printed) from error

    def _not_begun(self, ended: bool, status: int | None, printed: bytes) -> DeviceError:
        """What to tell of a login shell that started no program."""
        said = one_line(printed)[-_SAID_CHARACTERS:] or "it prints nothing"
        if ended and status is None:
            return DeviceLostError(f"{self.target}: the connection was lost before a command ran: run it again")
        if ended:
            message = (
                f"{self.target}: the login shell ends with status {status} before any command ({said}): "
                "set another by chsh, mend its start-up files, or name another user"
            )
        else:
            message = (
                f"{self.target}: the account's start-up files do not end in {_START_TIMEOUT_S:g} s ({said}): "
                "make ~/.bashrc and its like ask nothing without a terminal"
            )
        return DeviceError(message, status=status, printed=printed.decode("utf-8", "replace"))

    async def _completed(self, process: asyncssh.SSHClientProcess[bytes]) -> Completed:
        stdout, stderr = await asyncio.gather(_end_of(process.stdout), _end_of(process.stderr))
        await process.wait_closed()
        if process.returncode is None:
            raise ConnectionResetError("it ended in mid-command")
        return Completed(process.returncode, stdout, stderr.rpartition(ERROR_MARK)[2])

    async def _hang_up(self) -> None:
        for hop in reversed(self._hops):
            hop.abort()
            await hop.wait_closed()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        await self._loop.shutdown_default_executor()

    def _call(self, work: Coroutine[Any, Any, T], late: str) -> T:
        """The result of `work` on the loop; `late` is what to say if it takes too long."""
        if self._loop.is_closed():
            work.close()
            raise DeviceLostError(f"{self.target}: the connection is closed: connect again")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except (asyncio.TimeoutError, concurrent.futures.TimeoutError) as error:
            raise DeviceLostError(f"{self.target}: {late}: look at the board, run the command again") from error
        except asyncssh.ChannelOpenError as error:
            why = telling(str(error))
            if self._last.is_closed():
                raise DeviceLostError(f"{self.target}: the connection was lost ({why}): connect again") from error
            hint = "raise MaxSessions in its sshd_config"
            raise DeviceError(f"{self.target}: the board takes no more commands at once ({why}): {hint}") from error
        except (asyncssh.Error, OSError) as error:
            why = telling(str(error)) or type(error).__name__
            message = f"{self.target}: the connection was lost ({why}): run the command again, it goes on from there"
            raise DeviceLostError(message) from error
        except BaseException:
            future.cancel()
            raise


def one_line(text: bytes | str) -> str:
    """What a program printed, on one line, its end if it is long."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    lines = (plain(line.strip()) for line in colourless(text).splitlines())
    return " | ".join(filter(None, lines))[-400:]


def _worth_telling(record: logging.LogRecord) -> bool:
    """Not each write to a socket that was just lost: the loss itself is told by an error."""
    return record.msg != "socket.send() raised exception."


async def _end_of(stream: asyncssh.SSHReader[bytes]) -> bytes:
    """The end of what is printed, until the program ends."""
    tail = Tail(_MAX_PRINTED_BYTES)
    while data := await stream.read(_CHUNK_BYTES):
        tail.add(data)
    return bytes(tail)
