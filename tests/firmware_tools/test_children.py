# SPDX-License-Identifier: Apache-2.0
"""Child processes end with whoever started them; signals wait for what is done as a whole."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import edgenas
import firmware_tools
from firmware_tools import children
from firmware_tools.interrupts import held

# Starts a grandchild, says both process ids, sleeps.
_FAMILY = "import os, subprocess, time; p = subprocess.Popen(['sleep', '60']); print(os.getpid(), p.pid, flush=True)"
_STARTS = re.compile(
    r"\bsubprocess\.(run|Popen|call|check_\w+|getoutput|getstatusoutput)\(|\bmultiprocessing\b|ProcessPool|\bpty\.(spawn|fork)"
    r"|\bos\.(fork\w*|spawn\w+|exec\w+|posix_spawn\w*|system|popen|startfile)\(|create_subprocess"
)
_MODULE = re.compile(r"""sys\.executable[^\n]{0,40}["']-m["']""")
_WHICH = re.compile(r"\bshutil\.which\(")
_EXACT = {"children.py": 1, "processes.py": 1}  # the one place of each; processes.py runs on boards
_DEVELOPERS = {"size.py", "make_images.py"}


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def _interrupt(*_: object) -> None:
    signal.raise_signal(signal.SIGINT)


def test_a_killed_child_takes_what_it_started_along() -> None:
    with children.start([sys.executable, "-c", f"{_FAMILY}; p.wait()"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        pids = [int(pid) for pid in process.stdout.readline().split()]
        assert len(pids) == 2
        assert os.getsid(process.pid) == process.pid
        children.end_all()
        process.wait(60)
    while not all(map(_gone, pids)):
        pass


def test_an_interrupted_wait_and_a_time_out_kill_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        children.run(["sleep", "60"], 0.01)
    started: list[subprocess.Popen[bytes]] = []
    before = subprocess.Popen.communicate

    def interrupted(process: subprocess.Popen[bytes], *arguments: object, **named: object) -> None:
        started.append(process)
        _interrupt()

    monkeypatch.setattr(subprocess.Popen, "communicate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        children.run(["sleep", "60"])
    monkeypatch.setattr(subprocess.Popen, "communicate", before)
    assert started[0].returncode == -signal.SIGKILL
    assert children.run(["printf", "x"]).stdout == b"x"


def test_an_interrupt_in_the_middle_of_a_start_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Interrupted(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *arguments: object, **named: object) -> None:
            super().__init__(*arguments, **named)  # type: ignore[call-overload]
            started.append(self)
            _interrupt()

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        children.start(["sleep", "60"])
    assert started[0].returncode == -signal.SIGKILL


def test_what_is_done_as_a_whole_ends_before_the_interrupt_is_raised() -> None:
    done, heard = [], []

    def work() -> None:
        with held(lambda: heard.append(len(done))):
            done.append(1)
            _interrupt()
            done.append(2)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert (done, heard) == ([1, 2], [1])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_counts_for_more_than_what_fails_meanwhile() -> None:
    def work() -> None:
        with held():
            _interrupt()
            raise ValueError

    with pytest.raises(KeyboardInterrupt):
        work()


def _sources() -> dict[str, str]:
    """Every file of the product by its name, without docstrings and comments."""
    folders = [Path(str(package.__file__)).parent for package in (edgenas, firmware_tools)]
    paths = [path for folder in folders for path in folder.rglob("*.py") if path.name not in _DEVELOPERS]
    return {str(path): re.sub(r"(?s)\"\"\".*?\"\"\"|#[^\n]*", "", path.read_text()) for path in paths}


def test_one_place_starts_processes_and_one_finds_programs() -> None:
    starts = {Path(path).name: len(_STARTS.findall(text)) for path, text in _sources().items() if _STARTS.search(text)}
    assert starts == _EXACT
    finds = {Path(path).name: len(_WHICH.findall(text)) for path, text in _sources().items() if _WHICH.search(text)}
    assert finds == _EXACT  # elsewhere PATH might be read with its relative entries


def test_no_module_is_run_from_the_working_folder() -> None:
    found = {Path(path).name for path, text in _sources().items() if _MODULE.search(text)}
    # environment.py: isolated, by -I before -m
    assert found <= {"environment.py", "children.py"}
    text = next(text for path, text in _sources().items() if path.endswith("conversion/environment.py"))
    assert all('"-I"' in match[0] for match in _MODULE.finditer(text))
