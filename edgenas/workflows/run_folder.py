# SPDX-License-Identifier: Apache-2.0
"""A run's folder: what is finished stays finished, so an interrupted command goes on where it was.

`runs/<time>-<board>/` holds run.json (what was asked for), stages/<name>.json (one finished stage each), checkpoints,
the log and in the end result.json. The same command finds the newest unfinished folder with equal questions.

`runs/` may have come with a repository that somebody else wrote: what is read back carries this user's seal, so that
nobody else chooses what is trained, believed or installed (see `edgenas.seals`).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgenas import resources
from edgenas.errors import EdgenasError, UsageError
from edgenas.progress import Reporter
from edgenas.seals import Seals
from firmware_tools import reading
from firmware_tools.agent.parts.files import own_file
from firmware_tools.agent.parts.folders import folder_fault, trusted_users
from firmware_tools.plain_text import plain

_QUESTION, _RESULT, _LOG = "run.json", "result.json", "log.txt"
_NOT_OURS = "is damaged, or not written by edgenas for you"


class Run:
    """One walk's folder.

    `passed_over`: the newest folder that asks the same, but without this user's seal: another's, or an old edgenas'.
    """

    def __init__(self, seals: Seals, *, resumed: bool, passed_over: Path | None = None) -> None:
        self.folder, self.seals = seals.folder, seals
        self.resumed, self.passed_over = resumed, passed_over

    @staticmethod
    def open(root: Path, board: str, question: Mapping[str, Any]) -> Run:
        """The newest unfinished run of the same question under `root`, else a new one.

        Raises UsageError if the folder cannot be made, or if everybody may write `root`.
        """
        if (fault := folder_fault(str(root), team=True)) is not None:
            raise UsageError(f"cannot write runs to {root} ({fault}): mend that, or name another folder with --runs")
        asked = json.loads(json.dumps(question))
        named, passed_over = json.dumps(asked, sort_keys=True), None
        for folder in sorted(root.glob(f"*-{board}*"), reverse=True):
            if (folder / _RESULT).exists():
                continue
            seals = Seals(folder, named)
            if _is_own(folder) and seals.read(folder / _QUESTION) is not None:
                return Run(seals, resumed=True)
            if passed_over is None and _read(folder / _QUESTION) == asked:
                passed_over = folder
        stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S")
        folder = root / f"{stamp}-{board}"
        try:
            for count in range(2, 100):
                try:
                    folder.mkdir(parents=True)
                    break
                except FileExistsError:
                    folder = root / f"{stamp}-{board}-{count}"
            seals = Seals(folder, named)
            seals.write(folder / _QUESTION, json.dumps(asked, indent=1).encode())
        except OSError as error:
            raise UsageError(
                f"cannot write runs to {root}: {error.strerror}; name another folder with --runs"
            ) from error
        return Run(seals, resumed=False, passed_over=passed_over)

    def stage(self, name: str, compute: Callable[[], Any]) -> Any:
        """The JSON value of a stage: from its file if it is finished, else computed now and written.

        Raises EdgenasError for a file that is damaged or that somebody else wrote.
        """
        path = self.folder / "stages" / f"{name}.json"
        if path.exists():
            entry = self._entry(path)
            if entry is None:
                raise EdgenasError(f"{path} {_NOT_OURS}: delete it to do that stage again", file=str(path))
            return entry["value"]
        started = time.monotonic()
        value = compute()
        entry = {"seconds": round(time.monotonic() - started, 3), "value": value}
        self.seals.write(path, json.dumps(entry, indent=1).encode())
        return json.loads(json.dumps(value))

    def seconds(self, prefix: str) -> float:
        """How long the finished stages whose names start with `prefix` took, in this and earlier sittings."""
        entries = (self._entry(path) for path in (self.folder / "stages").glob(f"{prefix}*.json"))
        return round(sum(float(entry["seconds"]) for entry in entries if entry), 3)

    def check(self, path: Path) -> None:
        """Raise EdgenasError for a file of this run's that is damaged or that somebody else wrote."""
        if self.seals.read(path) is None:
            raise EdgenasError(f"{path} {_NOT_OURS}: delete {self.folder} to begin anew", file=str(path))

    def _entry(self, path: Path) -> Any:
        """A finished stage's table, None if the file is none."""
        data = self.seals.read(path)
        return None if data is None else json.loads(data)

    def log(self, line: str) -> None:
        """Append a line with the time. A full disk stops nothing here: the stages' own files will say so."""
        stamp = datetime.now(timezone.utc).isoformat(timespec="seconds")
        with suppress(OSError):
            log = own_file(str(self.folder / _LOG), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            with os.fdopen(log, "a", encoding="utf-8") as file:
                file.write(f"{stamp} {plain(line)}\n")

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write result.json: the run is over and will not be resumed."""
        resources.write_text(self.folder / _RESULT, json.dumps(result, indent=1))


class Logged:
    """A Reporter that passes everything on and writes stages and sentences into the run's log."""

    def __init__(self, reporter: Reporter, run: Run) -> None:
        self._reporter, self._run = reporter, run

    def stage(self, name: str) -> None:
        """Log and pass on."""
        self._run.log(f"stage {name}")
        self._reporter.stage(name)

    def progress(self, done: int, total: int, unit: str) -> None:
        """Pass on: a log of every epoch helps nobody."""
        self._reporter.progress(done, total, unit)

    def say(self, line: str) -> None:
        """Log and pass on."""
        self._run.log(line)
        self._reporter.say(line)

    def status(self, text: str) -> None:
        """Log and pass on."""
        self._run.log(text)
        self._reporter.status(text)


def _is_own(folder: Path) -> bool:
    """Whether what is in a run's folder is this user's: no link, nobody else's, not for everybody to write."""
    if os.name == "posix" and os.geteuid() != 0 and folder.lstat().st_uid not in trusted_users():
        return False
    return not folder.is_symlink() and folder_fault(str(folder), team=True) is None


def _read(path: Path) -> Any:
    try:
        return reading.read_json(path)
    except (OSError, ValueError):
        return None
