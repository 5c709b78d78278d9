"""A run's folder: what is finished stays finished, so an interrupted command goes on where it was.

`runs/<time>-<board>/` holds run.json (what was asked for), stages/<name>.json (one finished stage each), checkpoints,
the log and in the end result.json. The same command finds the newest unfinished folder with equal questions.
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
from firmware_tools.agent.agent import folder_fault, own_file, trusted_users
from firmware_tools.plain_text import plain
from firmware_tools.reading import read_text

_QUESTION, _RESULT, _LOG = "run.json", "result.json", "log.txt"
_MAX_BYTES = 16 << 20  # of a stage


class Run:
    """One walk's folder."""

    def __init__(self, folder: Path, *, resumed: bool) -> None:
        self.folder = folder
        self.resumed = resumed

    @staticmethod
    def open(root: Path, board: str, question: Mapping[str, Any]) -> Run:
        """The newest unfinished run of the same question under `root`, else a new one.

        Raises UsageError if the folder cannot be made, or if everybody may write `root`.
        """
        if (fault := folder_fault(str(root), team=True)) is not None:
            raise UsageError(f"cannot write runs to {root} ({fault}): mend that, or name another folder with --runs")
        asked = json.loads(json.dumps(question))
        for folder in sorted(root.glob(f"*-{board}*"), reverse=True):
            if not (folder / _RESULT).exists() and _read(folder / _QUESTION) == asked and _is_own(folder):
                return Run(folder, resumed=True)
        stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S")
        folder = root / f"{stamp}-{board}"
        try:
            for count in range(2, 100):
                try:
                    folder.mkdir(parents=True)
                    break
                except FileExistsError:
                    folder = root / f"{stamp}-{board}-{count}"
            resources.write_text(folder / _QUESTION, json.dumps(asked, indent=1))
        except OSError as error:
            raise UsageError(
                f"cannot write runs to {root}: {error.strerror}; name another folder with --runs"
            ) from error
        return Run(folder, resumed=False)

    def stage(self, name: str, compute: Callable[[], Any]) -> Any:
        """The JSON value of a stage: from its file if it is finished, else computed now and written."""
        path = self.folder / "stages" / f"{name}.json"
        if path.exists():
            entry = _entry(path)
            if entry is None:
                raise EdgenasError(f"{path} is damaged: delete it to do that stage again", file=str(path))
            return entry["value"]
        started = time.monotonic()
        value = compute()
        entry = {"seconds": round(time.monotonic() - started, 3), "value": value}
        resources.write_text(path, json.dumps(entry, indent=1))
        return json.loads(json.dumps(value))

    def seconds(self, prefix: str) -> float:
        """How long the finished stages whose names start with `prefix` took, in this and earlier sittings."""
        entries = (_entry(path) for path in (self.folder / "stages").glob(f"{prefix}*.json"))
        return round(sum(float(entry["seconds"]) for entry in entries if entry), 3)

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


def _entry(path: Path) -> Any:
    """A finished stage's table, None if the file is none."""
    table = _read(path)
    return table if isinstance(table, dict) and {"seconds", "value"} <= table.keys() else None


def _read(path: Path) -> Any:
    try:
        return json.loads(read_text(path, _MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
