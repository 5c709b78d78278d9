# SPDX-License-Identifier: Apache-2.0
"""An SSH server of asyncssh's that takes what it can get and keeps account of it."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import asyncssh

from firmware_tools.linux.ssh_command import ERROR_MARK, MARK
from helpers.ssh_server import free_port


class GreedyServer(threading.Thread):
    """Lets everybody in, or who has one of the `authorized_client_keys`, and leads on to other hosts.

    `given` are the variables and requests that came, `offers` the lists of the client's first packet. After the login
    it asks for a channel to the user's agent: `agent` is whether it got one. Commands print `printed`.
    """

    def __init__(self, host_key: Path, printed: bytes = b"let in\n", **settings: object) -> None:
        super().__init__(daemon=True)
        self.port = free_port()
        self.agent: list[bool] = []
        self.given: list[str] = []
        self.offers: list[list[str]] = []
        self._loop = asyncio.new_event_loop()
        greedy = self

        class Server(asyncssh.SSHServer):
            def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
                self.connection = conn

            def begin_auth(self, username: str) -> bool:
                greedy.offers = name_lists(self.connection._client_kexinit)
                return "authorized_client_keys" in settings

            def auth_completed(self) -> None:
                self.asking = greedy._loop.create_task(greedy._ask_for_agent(self.connection))

            def connection_requested(self, *_: object) -> bool:
                return True

        async def run(process: asyncssh.SSHServerProcess[bytes]) -> None:
            greedy.given += [f"{name}={value}" for name, value in process.env.items()]
            if process.term_type:
                greedy.given.append("terminal")
            await process.get_extra_info("connection").get_owner().asking
            process.stderr.write(ERROR_MARK)
            process.stdout.write(MARK + printed)
            process.exit(0)

        async def listen() -> None:
            await asyncssh.listen(
                "127.0.0.1",
                self.port,
                server_factory=Server,
                server_host_keys=[str(host_key)],
                process_factory=run,
                encoding=None,
                **settings,  # type: ignore[arg-type]
            )

        self._loop.run_until_complete(listen())
        self.start()

    async def _ask_for_agent(self, connection: asyncssh.SSHServerConnection) -> None:
        connection._agent_forwarding = True  # whatever the client said
        try:
            await connection.create_agent_connection(asyncssh.SSHUNIXSession)
        except asyncssh.ChannelOpenError:
            self.agent.append(False)
        else:
            self.agent.append(True)

    def run(self) -> None:
        self._loop.run_forever()


def name_lists(packet: bytes) -> list[list[str]]:
    """The lists of a KEXINIT packet (RFC 4253, 7.1): key exchange, host key, ciphers, MACs and compression, twice."""
    rest, lists = packet[17:], list[list[str]]()
    for _ in range(8):
        size = int.from_bytes(rest[:4], "big")
        lists.append(rest[4 : 4 + size].decode().split(","))
        rest = rest[4 + size :]
    return lists
