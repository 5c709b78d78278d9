# SPDX-License-Identifier: Apache-2.0
"""`ssh://user@host` a board with Python, reached over SSH: the agent is pushed there when it is not there yet."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from firmware_tools.agent.parts.processes import BOOT
from firmware_tools.errors import DeviceError, DeviceUrlError, ProtocolError
from firmware_tools.foreign_text import telling
from firmware_tools.linux.agent_device import AgentDevice
from firmware_tools.linux.agent_file import packed
from firmware_tools.linux.folder_check import CHECK
from firmware_tools.linux.session import AgentSession
from firmware_tools.linux.ssh_connection import Connection, Target, one_line
from firmware_tools.linux.ssh_login import Ask

_END_TIMEOUT_S = 5.0
# A network that goes away closes nothing: the agent would hold the board for hours.
_ALIVE_EVERY_S = 30.0
_SILENCE_S = 120.0
_OLDEST_PYTHON = (3, 7)
_MAX_PATH = 4096

# $1 the folder, $2 the interpreter or nothing, $3 the agent's file, on stdin the check; answers are separated by NUL,
# as paths may hold anything else. What the folder holds, an interpreter perhaps, is run only if nobody else can change
# it: the system's python3 looks first.
_LOOK = r"""
home() { case $1 in /*) path=$1 ;; '~') path=$HOME ;; '~/'*) path=$HOME/${1#'~/'} ;; *) path=$HOME/$1 ;; esac; }
home "$1"; root=$path
python=$2
case $python in
  '') python=python3; if [ -x "$root/venv/bin/python" ]; then python=$root/venv/bin/python; fi ;;
  -* | */* | '~') home "$python"; python=$path ;;
esac
check=$(cat)
looks=$python; unsaid=
if python3 -I -c 'import sys; sys.exit(sys.version_info < (3, 7))' 2>/dev/null; then
  looks=python3; unsaid="python3 -I does not say who may write it"
fi
facts=$("$looks" -I -c "$check" "$root" "$root/$3" 2>/dev/null)
case $facts in *:*) fault=${facts#*:} ;; *) fault=$unsaid ;; esac
version=; why=
if [ -z "$fault" ]; then
  mkdir -p "$root/scratch" || exit
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || {
    version=; why=$("$python" -V 2>&1)
  }
  case $version$facts in ?*:* | :* | '') ;; *) fault="$python -I does not say who may write it" ;; esac
fi
printf '%s\0%s\0%s\0%s\0%s\0%s' "$root" "$python" "$version" "$why" "${facts%%:*}" "$fault"
"""
# $1 the folder, $2 what was uploaded, $3 what it is to be called there.
_PLACE = 'mv -f "$1/$2" "$1/$3" && { sync "$1" 2>/dev/null || sync; }'
# $1 the folder, $2 the agent's file that stays; agents of before were .py files.
_TIDY = 'cd "$1" && for file in agent-*.zip agent-*.py agent-*.part; do [ "$file" = "$2" ] || rm -f "$file"; done'


@dataclass(frozen=True)
class Board:
    """What was found at the other end: the folder and the interpreter (absolute, or a name to look up).

    `agent_sha256` is that of the agent's file, "" if there is none or others may write it.
    """

    root: str
    python: str
    agent_sha256: str


def open_ssh(
    url: str,
    options: Mapping[str, str],
    runtime: str | None,
    ask: Ask | None,
    accept_new_host_key: bool,
    tell: Callable[[str], None] = lambda _: None,
) -> AgentDevice:
    """Log in, start an agent and make sure that it answers.

    `options`: `root` is the folder that holds the slots (~/.edgenas on the board), `python` the interpreter that runs
    the agent (root's venv/bin/python, else python3); relative paths start at the home folder there. `ask`,
    `accept_new_host_key` and `tell` are as in `Connection.open`.
    Raises what it raises; DeviceError if the board has no folder to write to or no Python of 3.7 or newer; and as
    `open_local`.
    """
    connection = Connection.open(Target.parse(url), ask, accept_new_host_key, tell)
    try:
        return start_agent(connection, url, options, runtime, connection.close)
    except BaseException:
        connection.close()
        raise


def start_agent(
    connection: Connection,
    url: str,
    options: Mapping[str, str],
    runtime: str | None = None,
    close: Callable[[], None] = lambda: None,
) -> AgentDevice:
    """`open_ssh` over an open connection; `close` is called after the agent has ended."""
    data = packed()
    sha256 = hashlib.sha256(data).hexdigest()
    agent = f"agent-{sha256[:16]}.zip"
    board = look(connection, url.partition("?")[0], options, agent)
    if board.agent_sha256 != sha256:
        _place(connection, board.root, agent, data)
    command = [board.python, "-c", BOOT, f"{board.root}/{agent}", "--root", board.root, "--silence-s", str(_SILENCE_S)]
    process = connection.start(command)
    process.repeat(b"\n", _ALIVE_EVERY_S)
    session = AgentSession(url, process.stdin, process.stdout, process.stderr)

    def end() -> None:
        try:
            with suppress(TimeoutError):
                process.wait(_END_TIMEOUT_S)
            process.kill()
        finally:
            close()

    def upload(sha256: str, data: bytes, have: int) -> None:
        connection.upload(data, f"{board.root}/scratch/{sha256}.part", have)

    device = AgentDevice(url, session, runtime, end, upload)
    try:
        device.check()
        # Only now: while another agent had the folder, its file was needed for its workers.
        connection.run(["sh", "-c", _TIDY, "sh", board.root, agent])
    except BaseException:
        device.close()
        raise
    return device


def look(connection: Connection, url: str, options: Mapping[str, str], agent: str) -> Board:
    """Make the folder and find the interpreter.

    Raises DeviceError if either is not to be had, or others may change what is in the folder.
    """
    for name, value in options.items():
        if "\0" in value:
            raise DeviceUrlError(f"{url}: {name} holds a NUL character, which no path does", url=url, value=value)
    root = options.get("root", "~/.edgenas")
    done = connection.run(["sh", "-c", _LOOK, "sh", root, options.get("python", ""), agent], CHECK.encode())
    found = done.stdout.decode("utf-8", "surrogateescape").split("\0")
    if done.status != 0 or len(found) != 6:
        why = one_line(done.stderr) or one_line(done.stdout) or f"status {done.status}"
        raise DeviceError(
            f"{url}: no folder {root} on the board: {why}: name another by ?root=PATH, or mend it", root=root
        )
    root, python, version, why, sha256, fault = found
    if max(len(root), len(python)) > _MAX_PATH:
        raise ProtocolError(
            f"{url}: the board tells of folders and files that cannot be: mend its shell, or distrust it"
        )
    if fault:
        raise DeviceError(
            f"{url}: {root} on the board cannot be used ({one_line(fault)}): mend that, or name another by ?root=PATH",
            root=root,
        )
    _check_python(url, python, version, why)
    return Board(root, python, sha256)


def _check_python(url: str, python: str, version: str, why: str) -> None:
    hint = "apt-get install python3 there, or name an interpreter by ?python=PATH"
    try:
        known = tuple(int(part) for part in version.split("."))
    except ValueError:
        why = telling(one_line(why or version)) or "it prints nothing"
        raise DeviceError(f"{url}: {python} is no Python on the board ({why}): {hint}", python=python) from None
    if known < _OLDEST_PYTHON:
        needs = ".".join(map(str, _OLDEST_PYTHON))
        raise DeviceError(
            f"{url}: {python} on the board is Python {version}, the agent needs {needs} or newer: {hint}",
            python=python,
            version=version,
        )


def _place(connection: Connection, root: str, name: str, data: bytes) -> None:
    part = f"{name}.{secrets.token_hex(4)}.part"  # two hosts may be at it at once
    connection.upload(data, f"{root}/{part}")
    done = connection.run(["sh", "-c", _PLACE, "sh", root, part, name])
    if done.status != 0:
        why = one_line(done.stderr) or f"status {done.status}"
        raise DeviceError(f"{connection.target}: the agent cannot be placed in {root} ({why}): mend the folder")
