# SPDX-License-Identifier: Apache-2.0
"""`local:` this computer as a device: the agent of Linux boards as a child process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from firmware_tools import children
from firmware_tools.agent.parts.processes import BOOT
from firmware_tools.errors import DeviceError
from firmware_tools.host_folder import unusable, way_out
from firmware_tools.linux.agent_device import AgentDevice
from firmware_tools.linux.agent_file import AGENT_FOLDER
from firmware_tools.linux.session import AgentSession

_END_TIMEOUT_S = 5.0


def open_local(url: str, options: Mapping[str, str], home: Path, runtime: str | None) -> AgentDevice:
    """Start an agent and make sure that it answers.

    `options`: `python` is the interpreter that runs it (this one), `root` the folder that holds its slots
    (`home/devices/local`). Raises HostFolderError if that cannot be used, DeviceError if it does not start,
    DeviceBusyError if another agent has the folder, RuntimeMissingError if it lacks `runtime`.
    """
    given = options.get("python", sys.executable)
    path = Path(given).expanduser()
    python = str(path.absolute()) if path.name != given else given  # ./python is a file, python one of the PATH
    root = Path(options.get("root", home / "devices" / "local")).expanduser().absolute()
    try:
        agent = children.start(
            [python, "-c", BOOT, str(AGENT_FOLDER), "--root", str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as error:
        message = f"{url}: cannot start {python} ({error.strerror}): name an interpreter by local:?python=PATH"
        raise DeviceError(message, python=python) from error
    assert agent.stdin is not None
    assert agent.stdout is not None
    assert agent.stderr is not None
    session = _Session(url.rstrip(":"), agent.stdin, agent.stdout, agent.stderr)
    session.root, session.way_out = root, way_out(root, home.absolute())
    device = AgentDevice(url, session, runtime, lambda: _end(agent))
    try:
        device.check()
    except BaseException:
        device.close()
        raise
    return device


class _Session(AgentSession):
    """With an agent whose folder is one of this computer's: it is not the device that fails where that is refused."""

    root: Path
    way_out: str

    def refused(self, kind: str, message: str, fields: dict[str, Any]) -> DeviceError:
        """The error that a refusal stands for."""
        if kind not in ("full", "folder"):
            return super().refused(kind, message, fields)
        full = kind == "full"
        reason = str(fields.get("reason") or "it says no reason")
        if full:
            reason += f", {fields.get('free_bytes', 0)} bytes free"
        error = unusable(self.name, self.root, reason, self.way_out, full=full)
        error.fields.update(fields, kind=kind)
        return error


def _end(agent: subprocess.Popen[bytes]) -> None:
    """Wait for the agent, whose stdin is closed, to end; kill it if it does not. Its workers end with it."""
    try:
        agent.wait(_END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        children.kill(agent)
    except BaseException:  # a second Ctrl-C
        children.kill(agent)
        raise
