# SPDX-License-Identifier: Apache-2.0
"""A terminal to run the program on, and strangers whose every word tries to act on it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import threading
import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

ACTING = "\x1b]0;owned\x07\x1b[2J\x1b[38;5;99m\x9b7A\u202egnp\u2066\u200b\ud800\x7f\b\r\x1b[3F\u2028\x85end"
_SILENCE_S = 120.0
# What rich draws a bar and styles with; the stranger's colour is none of its own.
_OURS = re.compile(r"\x1b\[(?!38;5;99m)[0-9;]*m|\x1b\[\?25[lh]|\x1b\[2K|\x1b\[1A")
# Runs the agent that it is given, and puts the text behind everything that it says.
_AGENT = """#!{python}
import json, subprocess, sys, threading
acting = {acting!a}
words = {{"hostname", "cpu", "system", "message", "name", "emulator", "power_mode"}}
def spoilt(value, key=""):
    if isinstance(value, dict):
        return {{name: spoilt(part, name) for name, part in value.items()}}
    if isinstance(value, list):
        return [spoilt(part, key) for part in value]
    return value + acting if isinstance(value, str) and key in words else value
pipes = {{"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}}
agent = subprocess.Popen([sys.executable, *sys.argv[1:]], **pipes)
def ask():
    for line in sys.stdin.buffer:
        agent.stdin.write(line)
        agent.stdin.flush()
    agent.stdin.close()
threading.Thread(target=ask, daemon=True).start()
for line in agent.stdout:
    answer = spoilt(json.loads(line))
    if "ok" in answer and "runtimes" in answer["ok"]:
        answer["ok"]["notes"] = [acting]
    if "active" in answer.get("ok", {{}}):
        answer["ok"]["active"] = {{"slot": "a", "sha256": "0" * 64, "bytes": 1, "manifest": {{"name": acting}}}}
        answer["ok"]["active"].update(active=True, valid=True)
    if {refuses} and "ok" in answer:
        answer = {{"id": answer["id"], "error": {{"kind": "folder", "message": "no " + acting, "reason": acting}}}}
    print(json.dumps(answer), flush=True)
"""


def hostile_agent(path: Path, *, refuses: bool = False) -> Path:
    """A program for `local:?python=`: an agent that says the text in all it says, or with it refuses everything."""
    path.write_text(_AGENT.format(python=sys.executable, acting=ACTING, refuses=refuses))
    path.chmod(0o755)
    return path


def acts(data: bytes, *, live: bool) -> list[str]:
    """What a terminal that gets `data` would obey; `live`: a bar of rich's and its styles may be in it."""
    text = data.decode("utf-8", "surrogateescape")
    if live:
        text = _OURS.sub("", text).replace("\r", "")
    return [ascii(c) for c in text if c != "\n" and unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]


def on_terminal(
    command: Sequence[str | bytes],
    environment: Mapping[str, str],
    folder: Path,
    answer: tuple[bytes, bytes] | None = None,
) -> tuple[int, bytes]:
    """Run `command` on a wide terminal of its own; exit code and what the terminal got.

    answer: what is typed each time after the terminal got the first of the two.
    """
    user, terminal = pty.openpty()
    fcntl.ioctl(user, termios.TIOCSWINSZ, struct.pack("HHHH", 60, 2000, 0, 0))
    settings = termios.tcgetattr(terminal)
    settings[1] &= ~termios.OPOST  # a line end stays one character
    termios.tcsetattr(terminal, termios.TCSANOW, settings)
    program = subprocess.Popen(
        command,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        cwd=folder,
        env=dict(environment),
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(terminal)
    seen, answered = b"", 0
    with suppress(OSError):  # what a terminal says at its end
        while True:
            if not select.select([user], [], [], _SILENCE_S)[0]:
                program.kill()
            seen += os.read(user, 65536)
            if answer is not None and seen.count(answer[0]) > answered:
                answered += 1
                os.write(user, answer[1])
    os.close(user)
    return program.wait(60), seen


class HostileServer(threading.Thread):
    """An SSH server that asks with the text for a password, takes any, and whose every command prints the text."""

    def __init__(self, ssh: Path) -> None:
        import asyncssh

        super().__init__(daemon=True)
        key = asyncssh.generate_private_key("ssh-ed25519")
        said = ACTING.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
        self._loop = asyncio.new_event_loop()

        class Server(asyncssh.SSHServer):
            def kbdint_auth_supported(self) -> bool:
                return True

            def get_kbdint_challenge(self, *_: object) -> tuple[str, str, str, list[tuple[str, bool]]]:
                return said, said, "", [(f"{said * 20}Passphrase of /home/pi/.ssh/id_ed25519: ", False)]

            def validate_kbdint_response(self, _: str, responses: list[str]) -> bool:
                return True

        def run(process: asyncssh.SSHServerProcess[str]) -> None:
            process.stdout.write(said)
            process.stderr.write(said)
            process.exit(1)

        async def listen() -> int:
            options = {"server_host_keys": [key], "server_factory": Server, "process_factory": run}
            return (await asyncssh.listen("127.0.0.1", 0, **options)).get_port()

        self.port = self._loop.run_until_complete(listen())
        ssh.mkdir(mode=0o700)
        (ssh / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {key.export_public_key().decode()}")
        self.start()

    def run(self) -> None:
        self._loop.run_forever()
