# SPDX-License-Identifier: Apache-2.0
"""`edgenas devices`: which devices there are, whether they answer, and which model each serves."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any
from urllib.parse import unquote

from edgenas.boards import inventory
from edgenas.boards.board import Board, list_boards
from edgenas.boards.inventory import Entry
from edgenas.errors import EdgenasError, UsageError
from edgenas.measuring.connection import connect
from edgenas.parallel import in_parallel
from edgenas.progress import Reporter, Silent
from edgenas.resources import home
from edgenas.units import MS, UNITS, Unit
from firmware_tools.device import Device, DeviceInfo, DeviceStatus
from firmware_tools.errors import DeviceBusyError, DeviceError, DeviceLostError, UnreachableError
from firmware_tools.mcu.ports import SerialPort, ask_port, serial_ports

READY, BUSY, NO_ANSWER, NO_RUNTIME = "ready", "busy", "no answer", "no runtime"
OTHER_BOARD, REFUSED, NOT_ASKED = "other board", "refused", "not asked"
LIMIT = 8  # at a time: an OpenSSH server begins to drop logins that are not through yet at ten
TIMEOUT_S = 20.0  # for one device: an agent on a slow board takes some seconds to start


@dataclass(frozen=True)
class ActiveModel:
    """What the manifest of a device's active model says; None where it says nothing that can be used.

    `budget_ms` and `latency_ms` are in `unit`. `valid`: its bytes are those that the manifest names. `confirmed`: as in
    `DeviceStatus`, False if the commit was cut short.
    """

    name: str | None
    sha256: str
    bytes: int
    valid: bool
    confirmed: bool
    budget_ms: float | None
    latency_ms: float | None
    statistic: str | None
    unit: Unit


@dataclass(frozen=True)
class Found:
    """A device: `name` and `tags` as in the inventory; `board` as the inventory or the device itself says.

    `state` is one of the constants above, `note` the line that explains it. `usb`: a serial port's vendor and product.
    """

    url: str
    state: str
    name: str | None = None
    board: str | None = None
    tags: tuple[str, ...] = ()
    usb: str | None = None
    note: str | None = None
    info: DeviceInfo | None = None
    active: ActiveModel | None = None

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints for this device."""
        info, active = self.info, self.active
        table = {key: getattr(self, key) for key in ("name", "url", "board", "tags", "usb", "state", "note")}
        table["device"] = asdict(info) if info else None
        table["active"] = active.unit.label({**asdict(active), "unit": active.unit.name}) if active else None
        return table


@dataclass(frozen=True)
class _Place:
    """Where a device may be, and what is known before it is asked."""

    url: str
    entry: Entry | None = None
    port: SerialPort | None = None
    boards: tuple[Board, ...] = field(default=())  # that have the port's vendor and product


def devices(
    tag: str | None = None, *, timeout_s: float = TIMEOUT_S, limit: int = LIMIT, reporter: Reporter | None = None
) -> list[Found]:
    """Ask every device: the inventory's in its order, then other serial ports, then this computer.

    With `tag` those of the inventory alone that have it. At most `limit` are asked at a time, each for `timeout_s`.
    A serial port is opened only if a board's file has its USB vendor and product or the inventory names it: opening one
    may reset what is connected. Nobody is asked for a password or about a host key.
    Raises ProfileError if the inventory or a board's file is damaged, UsageError if no device has the tag.
    """
    reporter = reporter or Silent()
    places = _tagged(inventory.entries(), tag) if tag is not None else _everywhere(inventory.entries())
    urls = list(dict.fromkeys(place.url for place in places))  # two names of one device would keep each other waiting
    first = [next(place for place in places if place.url == url) for url in urls]
    reporter.stage("devices")
    progress = partial(_progress, reporter, len(urls))
    asked = in_parallel([partial(_ask, place) for place in first], limit=limit, timeout_s=timeout_s, done=progress)
    silent = f"no answer within {timeout_s:g} s: is it switched on and in the network?"
    answers = {url: answer or Found(url, NO_ANSWER, note=silent) for url, answer in zip(urls, asked, strict=True)}
    return [_in_its_row(place, partial(_named, place, answers[place.url])) for place in places]


def _progress(reporter: Reporter, total: int, done: int) -> None:
    reporter.progress(done, total, "devices")


def _tagged(entries: Sequence[Entry], tag: str) -> list[_Place]:
    places = [_Place(entry.url, entry) for entry in entries if tag in entry.tags]
    if not places:
        known = sorted({known for entry in entries for known in entry.tags})
        names = f"known are {', '.join(known)}" if known else "there are no tags"
        raise UsageError(f"no device has the tag {tag!r}: {names} in {inventory.file()}", value=tag, known=known)
    return places


def _everywhere(entries: Sequence[Entry]) -> list[_Place]:
    boards, ports = list_boards(), {os.path.realpath(port.path): port for port in serial_ports()}
    places = []
    for entry in entries:
        port = ports.pop(_port_path(entry.url), None)
        places.append(_Place(entry.url, entry, port))
    for port in ports.values():
        known = tuple(board for board in boards if port.usb is not None and board.facts.get("usb") == port.usb)
        places.append(_Place(port.url, port=port, boards=known))
    if all(place.url != "local:" for place in places):
        places.append(_Place("local:"))
    return places


def _port_path(url: str) -> str:
    """The port of a serial URL, links like those of /dev/serial/by-id followed; "" for another device."""
    scheme, _, rest = url.partition(":")
    return os.path.realpath(unquote(rest.partition("?")[0]).removeprefix("//")) if scheme == "serial" else ""


def _in_its_row(place: _Place, work: Callable[[], Found]) -> Found:
    """What `work` returns; whatever one device makes it raise, the others are listed."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001  # told in the row
        note = f"{type(error).__name__}: {error}: this is a fault of edgenas, please report it"
        return Found(place.url, REFUSED, place.entry.name if place.entry else None, note=note)


def _ask(place: _Place) -> Found:
    """What the device at `place` says, or why it says nothing."""
    return _in_its_row(place, lambda: _asked(place))


def _asked(place: _Place) -> Found:
    port, found = place.port, Found(place.url, NOT_ASKED)
    if place.entry is None and port is not None:
        if not place.boards:
            why = f"no board has its USB id {port.usb} ({port.description})" if port.usb else "not a USB port"
            return replace(found, note=f"{why}: name it in {inventory.file()} to have it asked")
        return _answer(found, place, lambda: ask_port(port, home()))
    return _answer(found, place, lambda: connect(place.url))


def _answer(found: Found, place: _Place, opened: Callable[[], Device]) -> Found:
    try:
        with opened() as device:
            info, status = device.info(), device.status()
    except DeviceBusyError as error:
        return replace(found, state=BUSY, note=error.message)
    except (DeviceLostError, UnreachableError) as error:
        return replace(found, state=NO_ANSWER, note=_guess(place.boards) + error.message)
    except (DeviceError, EdgenasError) as error:
        return replace(found, state=REFUSED, note=_guess(place.boards) + error.message)
    unit = UNITS.get(info.unit, MS)
    found = replace(found, state=READY, info=info, active=_active(status, unit))
    if not info.runtimes:
        return replace(found, state=NO_RUNTIME, note="; ".join(info.notes) or None)
    return found


def _guess(boards: Sequence[Board]) -> str:
    return f"perhaps a {' or '.join(board.id for board in boards)}: " if boards else ""


def _active(status: DeviceStatus, unit: Unit) -> ActiveModel | None:
    slot = status.active
    if slot is None:
        return None
    manifest = slot.manifest
    measured = manifest.get("measured")
    measured = measured if isinstance(measured, Mapping) else {}
    name, statistic = manifest.get("name"), measured.get("statistic")
    return ActiveModel(
        name=name if isinstance(name, str) else None,
        sha256=slot.sha256,
        bytes=slot.bytes,
        valid=slot.valid,
        confirmed=status.confirmed,
        budget_ms=_number(manifest.get("budget_ms")),
        latency_ms=_number(measured.get("latency_ms")),
        statistic=statistic if isinstance(statistic, str) else None,
        unit=unit,
    )


def _number(value: object) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if number else None  # type: ignore[arg-type]


def _named(place: _Place, found: Found) -> Found:
    """`found` with what the inventory and the boards' files say of it."""
    entry, usb = place.entry, place.port.usb if place.port else None
    if entry is None:
        return replace(found, usb=usb, board=_board_of(place, found.info))
    named = replace(found, name=entry.name, tags=entry.tags, board=entry.board, usb=usb)
    try:
        board = entry.load_board()
        if board is not None and found.info is not None:
            board.check_device(found.info)
    except EdgenasError as error:
        return replace(named, state=OTHER_BOARD, note=error.message)
    return named


def _board_of(place: _Place, info: DeviceInfo | None) -> str | None:
    if place.port is None:
        return "host"
    firmware = info.hostname if info is not None else None
    return next((b.id for b in place.boards if b.facts.get("firmware", b.id) == firmware), firmware)
