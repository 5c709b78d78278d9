# SPDX-License-Identifier: Apache-2.0
"""`edgenas flash`: edgenas' firmware itself onto a microcontroller board; the models come later, by `deploy`."""

from __future__ import annotations

import hashlib
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from edgenas.boards import inventory
from edgenas.boards.board import Board
from edgenas.errors import ProfileError, UsageError
from edgenas.measuring.connection import connect
from edgenas.progress import Reporter, Silent
from firmware_tools.bootloader import WAYS, Command, FileWrite, Image, Plan, Way, run
from firmware_tools.connect import refused_in_data
from firmware_tools.device import DeviceInfo
from firmware_tools.errors import DeviceError, DeviceLostError, FlashError
from firmware_tools.mcu import images

_ANSWER_TIMEOUT_S = 20.0  # a board restarts, and its port may go and come again


@dataclass(frozen=True)
class Flashed:
    """What was done, or with `dry_run` would be. `missing` says how to install a program that is not there.

    device: what the board said of itself afterwards; None if no port was named, or another than the firmware's.
    """

    board: Board
    way: Way
    image: Image
    plan: Plan
    dry_run: bool
    missing: str | None
    device: DeviceInfo | None
    next: str

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "board": self.board.id,
            "with": self.way.name,
            "image": {
                "path": str(self.image.path),
                "bytes": len(self.image.data),
                "sha256": hashlib.sha256(self.image.data).hexdigest(),
            },
            "dry_run": self.dry_run,
            "before": self.plan.before,
            "steps": [_step(step) for step in self.plan.steps],
            "missing": self.missing,
            "device": asdict(self.device) if self.device else None,
            "next": self.next,
        }


def flash(
    board: str | None = None,
    *,
    device: str | None = None,
    tool: str | None = None,
    image: str | Path | None = None,
    drive: str | Path | None = None,
    dry_run: bool = False,
    said: Callable[[bytes], None] = lambda data: None,
    reporter: Reporter | None = None,
) -> Flashed:
    """Flash `image`, by default the one that edgenas ships for the board, and ask the board who it is.

    board, device: as `boards.inventory.resolve` takes them; the device is a serial port. tool: one of the board's
    ways, by default the first whose program is installed. drive: the folder of a bootloader's drive, where it is not
    found by its label. said: gets what the programs print.
    Raises UsageError or FlashUsageError for what cannot be used, ProfileError for a board file that is damaged,
    FlashError if a program is missing or fails, DeviceLostError if the board is silent afterwards.
    """
    reporter = reporter or Silent()
    if board is None and device is None:
        raise UsageError("no board is named: say which one to flash with --board, `edgenas boards` lists them")
    known, url = inventory.resolve(board, device)
    device = None if device is None else url
    way = _way(known, tool)
    found = _image(known, image)
    plan = _plan(known, way, found, _place(way, device, drive))
    missing = None if way.program() is not None else f"{way.name} is not installed: {way.install}"
    answered = None
    if not dry_run:
        if missing:
            raise FlashError(f"{missing}, or choose another way with --with", program=way.name)
        if plan.before:
            reporter.say(f"first, if not done yet: {plan.before}")
        run(plan, said)
        if device is not None and plan.firmware_port:
            answered = _answer(known, device, reporter)
    url = device if device is not None and plan.firmware_port else _told(known)
    named = f"--board {shlex.quote(board or known.id)} --device {shlex.quote(url)}"
    following = f"edgenas deploy {named} --data DATA --latency BUDGET"
    return Flashed(known, way, found, plan, dry_run, missing, answered, following)


def _way(board: Board, tool: str | None) -> Way:
    if not board.has_firmware:
        raise UsageError(f"board {board.id} is of kind {board.kind}: it has no firmware to flash", board=board.id)
    if "machine" in board.facts:
        raise UsageError(f"board {board.id} is emulated: its firmware comes along, nothing to flash", board=board.id)
    ways = [name for name in board.flash if name != "address"]
    unknown = next((name for name in ways if name not in WAYS), None)
    if unknown is not None or not ways:
        what = f"key 'flash.{unknown}' is none of" if unknown else "table 'flash' names none of"
        raise ProfileError(f"{board.file}: {what} {', '.join(WAYS)}", file=str(board.file), key="flash")
    if tool is not None and tool not in ways:
        known = ", ".join(ways)
        raise UsageError(f"board {board.id} is not flashed with {tool!r}: choose one of {known}", value=tool)
    installed = (name for name in ways if WAYS[name].program() is not None)
    return WAYS[tool or next(installed, ways[0])]


def _image(board: Board, image: str | Path | None) -> Image:
    if image is not None:
        found = Image.read(Path(image))
    else:
        path = images.firmware_of(str(board.facts.get("firmware", board.id)))
        if path is None:
            raise UsageError(
                f"edgenas has no firmware for board {board.id} yet: give one with --image FILE; how to make it is in "
                f"{images.FIRMWARE / 'PORTING.md'}",
                board=board.id,
            )
        found = Image.read(path)
    if board.flash_bytes is not None and len(found.data) > board.flash_bytes:
        raise UsageError(
            f"{found.path} has {len(found.data):,} bytes, board {board.id} has {board.flash_bytes:,} bytes of flash: "
            "give another image",
            bytes=len(found.data),
            limit=board.flash_bytes,
        )
    return found


def _place(way: Way, device: str | None, drive: str | Path | None) -> str | None:
    """The port or the folder that the way is to go through."""
    scheme, _, rest = (device or "serial:").partition(":")
    port = unquote(rest.partition("?")[0]).removeprefix("//")
    if scheme != "serial" or (device is not None and not port):
        raise UsageError(f"{device}: a board is flashed through a serial port, write serial:///dev/ttyACM0", url=device)
    if drive is not None and way.place != "drive":
        raise UsageError(f"{way.name} writes to no drive: leave --drive out, or say --with uf2", value=str(drive))
    if way.place == "drive":
        return str(Path(drive).absolute()) if drive is not None else None
    return port or None


def _plan(board: Board, way: Way, image: Image, at: str | None) -> Plan:
    facts = board.flash[way.name]
    try:
        if not isinstance(facts, Mapping):
            raise ValueError(f"key 'flash.{way.name}' is {facts!r}, not a table")
        shared = {key: board.flash[key] for key in ("address",) if key in board.flash}
        return way.plan(image, {**shared, **facts}, at)
    except ValueError as error:
        raise ProfileError(f"{board.file}: {error}", file=str(board.file)) from error


def _told(board: Board) -> str:
    """Where the board's file says that it is, to be copied by the user; no more than `Board.url` would take."""
    return "URL" if refused_in_data(board.device_url) else board.device_url


def _answer(board: Board, url: str, reporter: Reporter) -> DeviceInfo:
    """What the freshly started firmware says of itself."""
    reporter.say(f"waiting for {board.id} at {url}")
    end = time.monotonic() + _ANSWER_TIMEOUT_S
    while True:
        try:
            with connect(url) as device:
                info = device.info()
                break
        except DeviceError as error:
            if time.monotonic() >= end:
                raise DeviceLostError(f"flashed, but the board does not answer: {error}", url=url) from error
            time.sleep(0.2)
    board.check_device(info)
    return info


def _step(step: Command | FileWrite) -> dict[str, Any]:
    if isinstance(step, Command):
        return {"run": list(step.arguments)}
    folder = str(step.folder) if step.folder else None
    return {"write": step.name, "drive": step.label, "folder": folder, "bytes": len(step.data)}
