# SPDX-License-Identifier: Apache-2.0
"""An SSH server of asyncssh's that takes a password: sshd may not check one without root's rights."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import asyncssh

from firmware_tools.linux.ssh_command import MARK
from helpers.ssh_server import free_port


class PasswordServer(threading.Thread):
    """Lets in who says "secret"; every command prints "let in"; `tried` are the passwords that were tried.

    `interactive`: it asks by itself, and says that what is typed may be shown if `echo`.
    """

    def __init__(self, host_key: Path, interactive: bool = False, echo: bool = False) -> None:
        super().__init__(daemon=True)
        self.port = free_port()
        self.tried: list[str] = []
        self._loop = asyncio.new_event_loop()
        tried = self.tried

        class Server(asyncssh.SSHServer):
            def password_auth_supported(self) -> bool:
                return not interactive

            def kbdint_auth_supported(self) -> bool:
                return interactive

            def begin_auth(self, username: str) -> bool:
                return True

            def validate_password(self, username: str, password: str) -> bool:
                tried.append(password)
                return password == "secret"

            def get_kbdint_challenge(self, *_: object) -> tuple[str, str, str, list[tuple[str, bool]]]:
                return "", "", "", [("Password: ", echo)]

            def validate_kbdint_response(self, _: str, responses: list[str]) -> bool:
                return self.validate_password("", responses[0])

        async def listen() -> None:
            keys = [str(host_key)]
            await asyncssh.listen(
                "127.0.0.1", self.port, server_factory=Server, server_host_keys=keys, process_factory=run
            )

        def run(process: asyncssh.SSHServerProcess[str]) -> None:
            process.stdout.write(f"{MARK.decode()}let in\n")
            process.exit(0)

        self._loop.run_until_complete(listen())
        self.start()

    def run(self) -> None:
        self._loop.run_forever()
