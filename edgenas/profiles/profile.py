# SPDX-License-Identifier: Apache-2.0
"""A board's profile: the latency model fitted on what was measured on it, as a JSON file of the user's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from edgenas import resources
from edgenas.checks import check_tree, is_whole
from edgenas.errors import EdgenasError, UsageError
from edgenas.tables import damaged, take
from firmware_tools.reading import UnreadableError, read_json

if TYPE_CHECKING:
    pass

_SCHEMA = 2  # of a profile file; keys of version 1 had no setting


_PROVENANCE = (50_000, 8)  # values and depth of a profile's provenance; a session adds one, a file some twenty


_MEASURE_AGAIN = "; delete the file and run `edgenas profile` to measure again"


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
            raise damaged(path, None, str(error), _MEASURE_AGAIN) from error
        return BoardProfile.from_json(table, key, path)

    def to_json(self) -> dict[str, Any]:
        """What the file holds."""
        return {"schema": _SCHEMA, **asdict(self)}

    @staticmethod
    def from_json(table: Any, key: ProfileKey, path: Path | None = None) -> BoardProfile:
        """Read what `to_json` wrote, of `key`. Raises ProfileError naming `path`, key and next step if damaged."""
        path = path or BoardProfile.path(key)
        if not isinstance(table, dict):
            raise damaged(path, None, "does not hold an object", _MEASURE_AGAIN)
        schema = take(table, "schema", int, path, step=_MEASURE_AGAIN)
        if not 1 <= schema <= _SCHEMA:
            step = "; update edgenas" if schema > _SCHEMA else _MEASURE_AGAIN
            raise damaged(
                path, "schema", f"is version {schema!r:.20}, this edgenas reads up to version {_SCHEMA}", step
            )
        stored = take(table, "key", dict, path, step=_MEASURE_AGAIN)
        if {"setting": "", **stored} != asdict(key):
            raise damaged(path, "key", f"is {stored!r:.80}, not that of the file's name ({key})", _MEASURE_AGAIN)
        shape = take(table, "input_shape", list, path, step=_MEASURE_AGAIN)
        if len(shape) != 3 or not all(map(is_whole, shape)):
            raise damaged(path, "input_shape", f"is {shape!r:.60}, not three positive whole numbers", _MEASURE_AGAIN)
        try:
            check_tree(table.get("provenance"), "its value", *_PROVENANCE)
        except UsageError as error:
            raise damaged(path, "provenance", error.message, _MEASURE_AGAIN) from error
        return BoardProfile(
            key=key,
            space_name=take(table, "space_name", str, path, step=_MEASURE_AGAIN),
            input_shape=(shape[0], shape[1], shape[2]),
            latency=take(table, "latency", dict, path, step=_MEASURE_AGAIN),
            measurements=take(table, "measurements", int, path, step=_MEASURE_AGAIN),
            created_utc=take(table, "created_utc", str, path, step=_MEASURE_AGAIN),
            refined_utc=take(table, "refined_utc", str, path, step=_MEASURE_AGAIN),
            provenance=take(table, "provenance", dict, path, step=_MEASURE_AGAIN),
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
