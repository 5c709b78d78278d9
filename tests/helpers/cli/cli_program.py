# SPDX-License-Identifier: Apache-2.0
"""The real `edgenas` program in processes of its own, with a home and a working folder of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.short_deploys import SMALL

# A budget that a busy computer meets, too: how well budgets are filled is a matter of benchmarks.
DEPLOY = ("deploy", "--data", "digits", "--space", SMALL, "--latency", "1ms", "--epochs", "8", "--rounds", "1")


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def message(self) -> str:
        """The last line on stderr: what went wrong. The lines before it are progress, never a traceback."""
        assert "Traceback" not in self.stderr, self.stderr
        last = self.stderr.splitlines()[-1]
        assert last.startswith("edgenas: "), self.stderr
        return last.removeprefix("edgenas: ")

    def json(self) -> dict[str, Any]:
        """The one object on stdout of a command that succeeded."""
        assert self.code == 0, self.stderr
        found = json.loads(self.stdout)  # refuses a second object and any other text
        assert isinstance(found, dict)
        return found


class Program:
    """`edgenas` as a user has it: `home` is $EDGENAS_HOME, `folder` where the commands are typed."""

    def __init__(self, home: Path, folder: Path) -> None:
        self.home, self.folder = home, folder

    def run(self, *arguments: str | Path, timeout_s: float = 300.0, **environment: str) -> Done:
        """Run a command to its end."""
        return self.start(*arguments, **environment).wait(timeout_s)

    def start(self, *arguments: str | Path, **environment: str) -> Running:
        """Start a command in a process group of its own, as a shell does."""
        return Running(self, [str(argument) for argument in arguments], environment)

    def environment(self, **more: str) -> dict[str, str]:
        """What the program's processes inherit, the way to recognise them included."""
        return {**os.environ, "EDGENAS_HOME": str(self.home), **more}

    def processes(self) -> dict[int, str]:
        """All processes with this home, pid and command line: the program and whatever it started."""
        mark = f"EDGENAS_HOME={self.home}".encode()
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    found[int(folder.name)] = command
            except OSError:
                continue
        return found

    def device(self) -> dict[str, bytes]:
        """The active slot's name and files: equal before and after, the active model was not touched."""
        root = self.home / "devices" / "local"
        slot = (root / "active").resolve()
        files = {path.name: path.read_bytes() for path in slot.iterdir()}
        assert set(files) == {"model.tflite", "manifest.json"}
        return {"active": slot.name.encode(), **files}


class Running:
    """A command that runs; its stdout and stderr are files, so that they can be looked at meanwhile."""

    def __init__(self, program: Program, arguments: list[str], environment: dict[str, str]) -> None:
        self._out, self._err = program.folder / ".stdout", program.folder / ".stderr"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "edgenas", *arguments],
                cwd=program.folder,
                env=program.environment(**environment),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def until(self, text: str, timeout_s: float = 240.0) -> Running:
        """Wait until `text` is on stderr."""
        end = time.monotonic() + timeout_s
        while text not in self._err.read_text():
            assert time.monotonic() < end, f"{text!r} is not on stderr after {timeout_s} s: {self._err.read_text()}"
            assert self.process.poll() is None, f"ended before {text!r}: {self._err.read_text()}"
            time.sleep(0.02)
        return self

    def until_it_listens(self, timeout_s: float = 60.0) -> Running:
        """Wait until the program has said what becomes of SIGTERM: the first that it does, Python leaves it alone."""
        end = time.monotonic() + timeout_s
        while not self._catches(signal.SIGTERM):
            assert time.monotonic() < end, f"no handler after {timeout_s} s"
            time.sleep(0.001)
        return self

    def _catches(self, number: int) -> bool:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (caught,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
        return bool(int(caught, 16) >> (number - 1) & 1)

    def signal(self, number: int = signal.SIGINT) -> Running:
        """Send a signal to the process group, as a terminal does."""
        os.killpg(self.process.pid, number)
        return self

    def wait(self, timeout_s: float = 300.0) -> Done:
        """Wait for the end."""
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise
        return Done(code, self._out.read_text(), self._err.read_text())


# stderr's line of a stage, and how long after it the interrupt comes
STAGES = (("] data", 0.0), ("] search", 2.0), ("] convert", 1.0), ("] measure", 1.0), ("] install and measure", 0.5))


@dataclass(frozen=True)
class Interrupted:
    """One sitting of the deploy that `deployed` interrupts in every stage."""

    stage: str
    done: Done
    left: dict[int, str]
    installed: bool


@dataclass(frozen=True)
class Deployed:
    """A finished `edgenas deploy --json`: where, what it printed, and how it was interrupted on its way."""

    program: Program
    done: Done
    interrupted: tuple[Interrupted, ...]

    @property
    def result(self) -> dict[str, Any]:
        return self.done.json()
