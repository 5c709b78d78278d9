# SPDX-License-Identifier: Apache-2.0
"""A board's facts (written by hand, TOML) and its profile (measured, JSON).

Look-up order of a board: an explicit path, `$EDGENAS_HOME/boards/<name>/board.toml`, the shipped ones.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args
from urllib.parse import quote

from edgenas import resources
from edgenas.boards.prior import Prior, read_prior
from edgenas.errors import ProfileError, UsageError
from edgenas.tables import damaged, take
from edgenas.units import MS, UNITS, Unit
from firmware_tools.connect import refused_in_data
from firmware_tools.meant import as_device
from firmware_tools.reading import UnreadableError, read_toml

if TYPE_CHECKING:
    from firmware_tools.device import DeviceInfo

KINDS = ("linux", "mcu")
Precision = Literal["int8", "float32"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
_EMULATORS = ("qemu", "unicorn")
# The boards that stand for any Linux system of a processor architecture, by what `uname -m` says.
_GENERIC = {"aarch64": "linux-aarch64", "armv7l": "linux-armv7", "x86_64": "linux-x86_64"}
STATISTICS = ("min", "p10", "p50", "p95", "max")
_FILE = "board.toml"


@dataclass(frozen=True)
class Board:
    """What is known about a board before anything is measured on it.

    statistic: what of the latency is held against a budget, the median over `processes` fresh processes.
    ram_bytes, flash_bytes: limits of activations and of the model file; None where there is none.
    unit: what its latencies are given in. facts: everything else that the file says, as it stands there. prior: of its
    latencies; None where the file gives none. flash: the ways to flash its firmware, by name in order of preference,
    and the `address` that they share, as they stand there.
    """

    id: str
    name: str
    kind: str
    device_url: str
    precision: str
    statistic: str
    processes: int
    threads: int
    ram_bytes: int | None
    flash_bytes: int | None
    file: Path
    facts: Mapping[str, Any] = field(default_factory=dict, hash=False)
    unit: Unit = MS
    prior: Prior | None = None
    flash: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def has_firmware(self) -> bool:
        """Whether edgenas' own firmware runs on it, in place of an operating system with an agent."""
        return self.kind == "mcu"

    @property
    def measured(self) -> bool:
        """Whether there is a profile of measurements on this board, of any runtime and precision."""
        return next((resources.home() / "profiles").glob(f"{quote(self.id, safe='')}+*.json"), None) is not None

    @staticmethod
    def load(source: str | Path) -> Board:
        """Read a board by name, or from an explicit path (a folder or a .toml file).

        Text is taken as a path if it ends in .toml or holds a separator, so that a folder that happens to be called
        like a board changes nothing. Raises UsageError listing near names and all known ones if there is no such board,
        ProfileError naming file and key if its file is damaged.
        """
        path = _find(source)
        try:
            table = read_toml(path)
        except UnreadableError as error:
            raise damaged(path, None, str(error)) from error
        except OSError as error:
            raise UsageError(f"{path}: cannot be read: {error.strerror}", file=str(path)) from error
        return _board(table, path)

    def url(self, device: str | None = None) -> str:
        """Where the board is: `device`, else what its file says.

        An emulator that is not told which machine to be is told the one of the board's facts.
        Raises ProfileError if the file says what it may not: it may be a stranger's, `device` is the user's.
        """
        if device is None and (refused := refused_in_data(self.device_url)) is not None:
            raise ProfileError(
                f"{self.file}: key 'device_url' may not say {refused}: a board's file is data; if you trust it, say "
                "where the board is with --device or in devices.toml",
                file=str(self.file),
                key="device_url",
                value=self.device_url,
            )
        url, machine = device or self.device_url, self.facts.get("machine")
        scheme, _, rest = url.partition(":")
        path, _, options = rest.partition("?")
        if machine is None or scheme not in _EMULATORS or path or "machine=" in options:
            return url
        name = quote(str(machine), safe="")  # a fact says no more than a machine's name
        return f"{scheme}:{name}?{options}" if options else f"{scheme}:{name}"

    def check_device(self, info: DeviceInfo) -> None:
        """Raise UsageError if the device that says `info` of itself is not this board.

        A microcontroller must call itself by the board's name and count in its unit, a Linux system run on the
        processor architecture that the board's file names, if it names one.
        """
        if self.kind == "linux":
            self._check_machine(info.machine)
            return
        firmware = self.facts.get("firmware", self.id)
        if info.hostname != firmware:
            raise UsageError(
                f"the device calls itself {info.hostname!r}, board {self.id} is {firmware!r}: say --board "
                f"{info.hostname}, or name another device with --device",
                device=info.hostname,
                board=self.id,
            )
        if info.unit != self.unit.name:
            raise UsageError(
                f"the device gives latencies in {info.unit}, board {self.id} in {self.unit.name}: "
                f'write unit = "{info.unit}" in {self.file}, or name another device with --device',
                unit=info.unit,
                board=self.id,
            )

    def _check_machine(self, machine: str) -> None:
        known = self.facts.get("machine")
        if known is None or machine == known:
            return
        step = f"say --board {_GENERIC[machine]}" if machine in _GENERIC else "say which board it is with --board"
        raise UsageError(
            f"the device's processor is {machine}, board {self.id} is {known}: {step}, or name another device with "
            "--device",
            machine=machine,
            board=self.id,
        )


def list_boards() -> tuple[Board, ...]:
    """Every known board by name, the user's before the shipped of the same name. Raises as `Board.load` does."""
    return tuple(Board.load(path) for _, path in sorted(_known().items()))


def _find(source: str | Path) -> Path:
    explicit = isinstance(source, Path) or source.endswith(".toml") or "/" in source or "\\" in source
    if explicit:
        path = Path(source).expanduser()
        path = path / _FILE if path.is_dir() else path
        if not path.is_file():
            _refuse_device(str(source))
            raise UsageError(f"no board at {path}: name a folder that holds {_FILE}, or a .toml file", file=str(path))
        return path
    known = _known()
    if source not in known:
        names = sorted(known)
        near = difflib.get_close_matches(str(source), names, n=3)
        if not near:
            _refuse_device(str(source))
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        message = f"unknown board {source!r}: {hint}`edgenas boards` lists all {len(names)}"
        raise UsageError(message, value=source, known=names)
    return known[str(source)]


def _refuse_device(text: str) -> None:
    """Raise UsageError if somebody wrote where a board is, in place of which one it is."""
    if (url := as_device(text)) is not None:
        message = f"board {text!r} is where a board is, not which one: say --device {url} and --board NAME"
        raise UsageError(message, value=text)


def is_board(name: str) -> bool:
    """Whether there is a board of that name, shipped or the user's."""
    return name in _known()


def _known() -> dict[str, Path]:
    folders = (resources.shipped("boards"), resources.home() / "boards")  # the later one wins
    return {path.parent.name: path for folder in folders for path in sorted(folder.glob(f"*/{_FILE}"))}


def _board(table: Mapping[str, Any], path: Path) -> Board:
    limits = take(table, "limits", dict, path, default={})
    board = Board(
        id=take(table, "id", str, path),
        name=take(table, "name", str, path),
        kind=take(table, "kind", str, path, among=KINDS),
        device_url=take(table, "device_url", str, path),
        precision=take(table, "precision", str, path, among=PRECISIONS),
        statistic=take(table, "statistic", str, path, among=STATISTICS),
        processes=take(table, "processes", int, path),
        threads=take(table, "threads", int, path),
        ram_bytes=take(limits, "ram_bytes", int, path, default=None),
        flash_bytes=take(limits, "flash_bytes", int, path, default=None),
        file=path,
        facts=take(table, "facts", dict, path, default={}),
        unit=UNITS[take(table, "unit", str, path, default=MS.name, among=tuple(UNITS))],
        prior=read_prior(table, path),
        flash=take(table, "flash", dict, path, default={}),
    )
    if re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", board.id) is None:
        raise damaged(path, "id", f"is {board.id!r}, not small letters, digits, '-', '_' and '.'")
    # Two processes are the fewest that an interval can be estimated from.
    for key, least in (("processes", 2), ("threads", 1), ("ram_bytes", 1), ("flash_bytes", 1)):
        value = getattr(board, key)
        if value is not None and value < least:
            raise damaged(path, key, f"is {value}, which must be at least {least}")
    return board
