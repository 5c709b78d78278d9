# SPDX-License-Identifier: Apache-2.0
"""`edgenas board prepare`: a Linux board gets the TFLite runtime that fits it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from edgenas.boards import inventory
from edgenas.errors import UsageError
from edgenas.progress import Reporter, Silent
from firmware_tools.connect import Access, parse
from firmware_tools.linux.runtimes import NAMES

if TYPE_CHECKING:
    from firmware_tools.linux.prepare import Prepared


@dataclass(frozen=True)
class BoardPrepared:
    """What was done to a board, or would be; `device` is the URL that uses it from now on."""

    device: str
    prepared: Prepared

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `agent` is null if nothing was to be done but to look."""
        plan, info = self.prepared.plan, self.prepared.info
        facts, runtime = plan.facts, plan.runtime
        steps = [{"where": step.where, "what": step.what, "command": list(step.command)} for step in plan.steps]
        return {
            "device": self.device,
            "done": info is not None,
            "machine": facts.machine,
            "python": ".".join(map(str, facts.version)),
            "glibc": ".".join(map(str, facts.glibc or ())),
            "root": facts.root,
            "free_disk_bytes": facts.free_bytes,
            "runtime": {"name": runtime.name, "package": runtime.package, "version": runtime.version},
            "interpreter": plan.environment,
            "steps": steps,
            "agent": asdict(info) if info is not None else None,
        }


def prepare(
    device: str,
    *,
    runtime: str | None = None,
    offline: bool = False,
    dry_run: bool = False,
    access: Access | None = None,
    reporter: Reporter | None = None,
) -> BoardPrepared:
    """Make an environment on the board at `device`, and install a TFLite runtime that fits there.

    device: ssh://user@host, or a name of the inventory. runtime: litert or tflite, else what the URL says, else the
    best. python= in the URL is the interpreter to make the environment of. offline: this computer downloads the wheels.
    dry_run: look only. Nothing is done where it is done.
    Raises UsageError for a device that is no ssh:// one or an unknown runtime, DeviceUrlError; DeviceError (in one of
    its kinds) if nothing fits, the board cannot be reached or something fails there.
    """
    device = device if ":" in device else inventory.find(device).url
    scheme, options = parse(device)
    if scheme != "ssh":
        raise UsageError(
            f"{device.rstrip(':')}: only boards behind SSH are prepared, write ssh://user@host", device=device
        )
    runtime = runtime or options.get("runtime")
    if runtime is not None and runtime not in NAMES:
        raise UsageError(f"unknown runtime {runtime!r}: choose one of {', '.join(NAMES)}", runtime=runtime)
    from firmware_tools.linux import prepare as linux
    from firmware_tools.linux.ssh_connection import Connection, Target

    reporter, access = reporter or Silent(), access or Access()
    reporter.stage("look at the board")
    connection = Connection.open(Target.parse(device), access.ask, access.accept_new_host_key, access.tell)
    try:
        prepared = linux.prepare(
            connection,
            device,
            {name: options[name] for name in ("root", "python") if name in options},
            runtime=runtime,
            offline=offline,
            dry_run=dry_run,
            stage=reporter.stage,
            progress=lambda done, total: reporter.progress(done >> 10, total >> 10, "KiB"),
        )
    finally:
        connection.close()
    address, _, query = device.partition("?")
    rest = "&".join(part for part in query.split("&") if part and not part.startswith("python="))
    return BoardPrepared(f"{address}?{rest}" if rest else address, prepared)
