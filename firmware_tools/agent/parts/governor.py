# SPDX-License-Identifier: Apache-2.0
"""A governor that is set for a timing and always comes back."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from typing import IO, NoReturn

from .cores import governor_files, offered_by
from .files import read_json, remove, write_json
from .locks import wait_locked
from .processes import itself, start
from .refusal import Refusal
from .system import boot_id, first_line

GOVERNOR = "governor.json"  # what was set before --set-governor, while that is in force


class Governor:
    """A context in which `cores` have the governor `name`; None changes nothing.

    What was there before comes back at its end, by a process of its own if this one is killed, and if both are, by the
    next agent: `record` is the file that keeps it until then.
    """

    def __init__(self, name: str | None, cores: list[int] | None, record: str) -> None:
        self._name = name
        self._record = record
        self._files = [] if name is None or cores is None else governor_files(cores)
        self._watcher: subprocess.Popen[bytes] | None = None
        self._held: IO[str] | None = None

    def __enter__(self) -> None:
        if self._name is None:
            return
        if not self._files:
            raise Refusal("governor", f"governor {self._name}: the device has no cpufreq governor, leave it out")
        try:
            # Another agent's watcher may just be restoring what that one had set.
            self._held = open(self._files[0], "r+", encoding="ascii")
            if not wait_locked(self._held):
                raise Refusal("governor", "another agent has set the governor: wait for it to end")
            old = {path: first_line(path) or "" for path in self._files}
            write_json(self._record, {"boot_id": boot_id(), "files": old})
            self._watch(self._held.fileno())
            for path in self._files:
                write_text(path, self._name)
        except OSError as error:
            self._restore()
            offered = " ".join(offered_by(self._files[0]))
            message = (
                f"governor {self._name} cannot be set ({error.strerror}; the device offers {offered}): "
                "name another one, connect as root, or leave it out"
            )
            raise Refusal("governor", message, governor=self._name, offered=offered) from error
        except BaseException:
            self._restore()
            raise

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _watch(self, held: int) -> None:
        self._watcher = start(
            itself("--restore"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # what ends the agent's session must not end it
            pass_fds=(held,),  # and with it the lock
        )
        assert self._watcher.stdin is not None
        assert self._watcher.stdout is not None
        self._watcher.stdin.write(json.dumps(self._record).encode() + b"\n")
        self._watcher.stdin.flush()
        if self._watcher.stdout.readline() != b"ready\n":
            raise OSError(errno.ECHILD, "the process that would restore it does not start")

    def _restore(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            assert watcher.stdin is not None
            assert watcher.stdout is not None
            try:
                watcher.stdin.close()
            except OSError:  # it was killed
                pass
            watcher.stdout.close()
            if watcher.wait() != 0:
                put_back(self._record)
        if self._held is not None:
            self._held.close()


def restore(answers: IO[bytes]) -> NoReturn:
    """Read a record's path and, when stdin ends because the agent did, however it did, put back what it keeps."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    record = json.loads(sys.stdin.buffer.readline().decode("utf-8"))
    answers.write(b"ready\n")
    answers.flush()
    sys.stdin.buffer.read()
    os._exit(0 if put_back(record) else 1)


def put_back(record: str) -> bool:
    """Write the settings that `record` keeps and remove it; False, and it stays, if one could not be written.

    It is a file, which somebody may have written: nothing but the governors that there are is set, to one on offer.
    """
    kept = read_json(record)
    done = True
    if kept.get("boot_id") == boot_id():  # a boot has put everything back by itself
        files = kept["files"] if isinstance(kept.get("files"), dict) else {}
        for path in governor_files(None):
            if files.get(path) not in offered_by(path):
                continue
            try:
                write_text(path, files[path])
            except OSError:
                done = False
    if done:
        remove(record)
    return done


def write_text(path: str, text: str) -> None:
    """Write a setting of the system's."""
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
