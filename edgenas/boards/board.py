"""A board's facts (written by hand, TOML) and its profile (measured, JSON).

Look-up order of a board: an explicit path, `$EDGENAS_HOME/boards/<name>/board.toml`, the shipped ones.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from edgenas import resources
from edgenas.checks import check_tree, is_whole
from edgenas.errors import EdgenasError, ProfileError, UsageError
from edgenas.units import MS, UNITS, Unit
from firmware_tools.connect import refused_in_data
from firmware_tools.meant import as_device
from firmware_tools.reading import UnreadableError, read_json, read_toml

if TYPE_CHECKING:
    from firmware_tools.device import DeviceInfo

KINDS = ("linux", "mcu")
PRECISIONS = ("int8", "float32")
_EMULATORS = ("qemu", "unicorn")
# The boards that stand for any Linux system of a processor architecture, by what `uname -m` says.
_GENERIC = {"aarch64": "linux-aarch64", "armv7l": "linux-armv7", "x86_64": "linux-x86_64"}
STATISTICS = ("min", "p10", "p50", "p95", "max")
_FILE = "board.toml"
_SCHEMA = 2  # of a profile file; keys of version 1 had no setting
_PROVENANCE = (50_000, 8)  # values and depth of a profile's provenance; a session adds one, a file some twenty
_MEASURE_AGAIN = "; delete the file and run `edgenas profile` to measure again"


@dataclass(frozen=True)
class Prior:
    """What latencies of a board are taken for as long as nothing was measured on it.

    cycles_per_instruction: the board's own cycles for one instruction of the emulated board `counted_on`. clock_mhz:
    the board's. source: where the figure comes from.
    """

    cycles_per_instruction: float
    clock_mhz: float
    counted_on: str
    source: str

    @property
    def ms_per_minsn(self) -> float:
        """Milliseconds of a million counted instructions."""
        return 1e3 * self.cycles_per_instruction / self.clock_mhz

    def to_json(self) -> dict[str, Any]:
        """A part of the objects that `--json` prints."""
        return {**asdict(self), "ms_per_minsn": self.ms_per_minsn}

    def __str__(self) -> str:
        """As in `prior: 1.56 cycles per instruction, not measured`."""
        return f"prior: {self.cycles_per_instruction:g} cycles per instruction, not measured"


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
            raise _damaged(path, None, str(error)) from error
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


MAX_PROFILE_BYTES = 16 << 20  # 15,000 measurements, of which a long search takes some hundred


@dataclass(frozen=True, order=True)
class ProfileKey:
    """What a latency depends on besides the network. Two measurements compare only if their keys are equal.

    setting: of the board's power, as in "performance-1500MHz"; "" where the device reports none.
    """

    board: str
    runtime: str
    runtime_version: str
    precision: str
    threads: int
    statistic: str
    setting: str = ""

    @property
    def slug(self) -> str:
        """A file name without suffix: different keys never share one, and no character needs care in a shell."""
        parts = (self.board, self.runtime, self.runtime_version, self.precision, f"t{self.threads}", self.statistic)
        named = parts if not self.setting else (*parts, self.setting)
        return "+".join(quote(part, safe="") for part in named)

    def __str__(self) -> str:
        """As in `host, ai-edge-litert 2.3.0, int8, 1 thread, p10`."""
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        runtime = f"{self.runtime} {self.runtime_version}"
        return ", ".join(filter(None, (self.board, runtime, self.precision, threads, self.statistic, self.setting)))


@dataclass(frozen=True)
class BoardProfile:
    """A board's fitted latency model and where it comes from.

    It prices layers, so one profile serves every search space and input size; `space_name` and `input_shape`
    (C, H, W) only say what was measured last.

    latency: the model's JSON, for `edgenas.latency.load`. measurements: how many it was fitted on.
    created_utc, refined_utc: ISO 8601.
    """

    key: ProfileKey
    space_name: str
    input_shape: tuple[int, int, int]
    latency: Mapping[str, Any]
    measurements: int
    created_utc: str
    refined_utc: str
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @staticmethod
    def path(key: ProfileKey) -> Path:
        """Where the user's profile of `key` is, whether it exists or not."""
        return resources.home() / "profiles" / f"{key.slug}.json"

    @staticmethod
    def load(key: ProfileKey) -> BoardProfile | None:
        """The user's profile of `key`, None if nothing was profiled yet.

        Raises ProfileError naming file, key and next step if the file is damaged.
        """
        path = BoardProfile.path(key)
        try:
            table = read_json(path, MAX_PROFILE_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise EdgenasError(f"{path}: cannot be read: {error.strerror}", file=str(path)) from error
        except UnreadableError as error:
            raise _damaged(path, None, str(error), _MEASURE_AGAIN) from error
        return BoardProfile.from_json(table, key, path)

    def to_json(self) -> dict[str, Any]:
        """What the file holds."""
        return {"schema": _SCHEMA, **asdict(self)}

    @staticmethod
    def from_json(table: Any, key: ProfileKey, path: Path | None = None) -> BoardProfile:
        """Read what `to_json` wrote, of `key`. Raises ProfileError naming `path`, key and next step if damaged."""
        path = path or BoardProfile.path(key)
        if not isinstance(table, dict):
            raise _damaged(path, None, "does not hold an object", _MEASURE_AGAIN)
        schema = _take(table, "schema", int, path, step=_MEASURE_AGAIN)
        if not 1 <= schema <= _SCHEMA:
            step = "; update edgenas" if schema > _SCHEMA else _MEASURE_AGAIN
            raise _damaged(
                path, "schema", f"is version {schema!r:.20}, this edgenas reads up to version {_SCHEMA}", step
            )
        stored = _take(table, "key", dict, path, step=_MEASURE_AGAIN)
        if {"setting": "", **stored} != asdict(key):
            raise _damaged(path, "key", f"is {stored!r:.80}, not that of the file's name ({key})", _MEASURE_AGAIN)
        shape = _take(table, "input_shape", list, path, step=_MEASURE_AGAIN)
        if len(shape) != 3 or not all(map(is_whole, shape)):
            raise _damaged(path, "input_shape", f"is {shape!r:.60}, not three positive whole numbers", _MEASURE_AGAIN)
        try:
            check_tree(table.get("provenance"), "its value", *_PROVENANCE)
        except UsageError as error:
            raise _damaged(path, "provenance", error.message, _MEASURE_AGAIN) from error
        return BoardProfile(
            key=key,
            space_name=_take(table, "space_name", str, path, step=_MEASURE_AGAIN),
            input_shape=(shape[0], shape[1], shape[2]),
            latency=_take(table, "latency", dict, path, step=_MEASURE_AGAIN),
            measurements=_take(table, "measurements", int, path, step=_MEASURE_AGAIN),
            created_utc=_take(table, "created_utc", str, path, step=_MEASURE_AGAIN),
            refined_utc=_take(table, "refined_utc", str, path, step=_MEASURE_AGAIN),
            provenance=_take(table, "provenance", dict, path, step=_MEASURE_AGAIN),
        )

    def save(self) -> Path:
        """Write the profile into the user's folder, as a whole or not at all. Returns the file."""
        path = BoardProfile.path(self.key)
        try:
            resources.write_text(path, json.dumps(self.to_json(), indent=1) + "\n")
        except OSError as error:
            raise resources.not_written(path, error) from error
        return path


def list_profiles() -> list[dict[str, Any]]:
    """The user's profiles: file, profile, key, measurements, refined_utc, problem.

    `problem` is None, or what is wrong with a damaged file: it does not hide the others.
    """
    found = []
    for file in sorted((resources.home() / "profiles").glob("*.json")):
        entry: dict[str, Any] = {"file": str(file), "profile": file.stem, "measurements": None, "refined_utc": None}
        entry |= {"key": None, "problem": None}
        try:
            key = ProfileKey(**read_json(file, MAX_PROFILE_BYTES)["key"])
            profile = BoardProfile.load(key)
        except (OSError, ValueError, KeyError, TypeError, EdgenasError) as error:
            entry["problem"] = str(error) if isinstance(error, EdgenasError) else f"{file} is damaged: delete it"
        else:
            if profile is not None:
                entry |= {
                    "profile": str(key),
                    "key": asdict(key),
                    "measurements": profile.measurements,
                    "refined_utc": profile.refined_utc,
                }
        found.append(entry)
    return found


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
    limits = _take(table, "limits", dict, path, default={})
    board = Board(
        id=_take(table, "id", str, path),
        name=_take(table, "name", str, path),
        kind=_take(table, "kind", str, path, among=KINDS),
        device_url=_take(table, "device_url", str, path),
        precision=_take(table, "precision", str, path, among=PRECISIONS),
        statistic=_take(table, "statistic", str, path, among=STATISTICS),
        processes=_take(table, "processes", int, path),
        threads=_take(table, "threads", int, path),
        ram_bytes=_take(limits, "ram_bytes", int, path, default=None),
        flash_bytes=_take(limits, "flash_bytes", int, path, default=None),
        file=path,
        facts=_take(table, "facts", dict, path, default={}),
        unit=UNITS[_take(table, "unit", str, path, default=MS.name, among=tuple(UNITS))],
        prior=_prior(table, path),
        flash=_take(table, "flash", dict, path, default={}),
    )
    if re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", board.id) is None:
        raise _damaged(path, "id", f"is {board.id!r}, not small letters, digits, '-', '_' and '.'")
    # Two processes are the fewest that an interval can be estimated from.
    for key, least in (("processes", 2), ("threads", 1), ("ram_bytes", 1), ("flash_bytes", 1)):
        value = getattr(board, key)
        if value is not None and value < least:
            raise _damaged(path, key, f"is {value}, which must be at least {least}")
    return board


def _prior(table: Mapping[str, Any], path: Path) -> Prior | None:
    """What the file says in [prior], and of the clock in [facts]; None if it has no [prior]."""
    if "prior" not in table:
        return None
    given, facts = _take(table, "prior", dict, path), _take(table, "facts", dict, path)
    numbers = []
    for place, name in ((given, "cycles_per_instruction"), (facts, "clock_mhz")):
        value = place.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _LARGEST:
            raise _damaged(path, name, f"is {value!r:.60}, not a positive number, which a [prior] needs")
        numbers.append(float(value))
    counted_on = _take(given, "counted_on", str, path)
    if re.fullmatch("[a-z0-9][a-z0-9_-]*", counted_on) is None:  # a path would lead to another file
        raise _damaged(path, "counted_on", f"is {counted_on!r}, not the name of an emulated board")
    return Prior(numbers[0], numbers[1], counted_on, _take(given, "source", str, path))


_LARGEST = 1e300  # of a number that is to become a float; TOML's whole numbers may have any length
_REQUIRED: Any = object()


def _take(
    table: Mapping[str, Any],
    key: str,
    kind: type,
    path: Path,
    *,
    default: Any = _REQUIRED,
    among: tuple[str, ...] = (),
    step: str = "",
) -> Any:
    """`table[key]` if it is of `kind` and among the allowed values. Raises ProfileError naming file, key and `step`."""
    if key not in table:
        if default is _REQUIRED:
            raise _damaged(path, key, "is missing", step)
        return default
    value = table[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise _damaged(path, key, f"is {value!r:.60}, not {'an' if kind is int else 'a'} {kind.__name__}", step)
    if among and value not in among:
        raise _damaged(path, key, f"is {value!r:.60}, not one of {', '.join(among)}", step)
    return value


def _damaged(path: Path, key: str | None, reason: str, step: str = "") -> ProfileError:
    where = f"key {key!r} {reason}" if key else reason
    return ProfileError(f"{path}: {where}{step}", file=str(path), key=key)
