# SPDX-License-Identifier: Apache-2.0
"""Started without stdin, stdout or stderr, or with a stdout that takes nothing: a sensible exit code, no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="a POSIX shell closes the descriptors")

_JSON_CLOSED = "edgenas: --json prints on stdout, which is closed: send it to a file (>FILE), or leave --json out\n"
_FULL = "edgenas: stdout: the result cannot be written (No space left on device): send it elsewhere\n"


def _run(arguments: str, redirect: str, home: Path, **environment: str) -> tuple[int, str, str]:
    command = f"exec {sys.executable} -m edgenas {arguments} {redirect}"
    done = subprocess.run(
        ["sh", "-c", command],
        capture_output=True,
        text=True,
        env={**os.environ, "EDGENAS_HOME": str(home), **environment},
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("arguments", "redirect", "code", "stderr"),
    [
        ("boards", ">&-", 0, ""),
        ("boards", "<&- >&- 2>&-", 0, ""),
        ("--version", ">&-", 0, ""),
        ("deploy --help", ">&-", 0, ""),
        ("boards --json", ">&-", 1, _JSON_CLOSED),
        ("deploy --data nowhere --latency 1ms --json", ">&-", 1, _JSON_CLOSED),
        ("boards", ">/dev/full", 1, _FULL),
        ("boards --json", ">/dev/full", 1, _FULL),
        ("train --help", ">/dev/full", 1, _FULL),
        ("nonsense", "2>&-", 2, ""),
        ("nonsense", "2>/dev/full", 2, ""),
        ("nonsense", ">/dev/full", 2, "edgenas: no such command 'nonsense'; see edgenas --help\n"),
    ],
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_stream_that_is_closed_or_full(
    arguments: str, redirect: str, code: int, stderr: str, unbuffered: str, tmp_path: Path
) -> None:
    done = _run(arguments, redirect, tmp_path, PYTHONUNBUFFERED=unbuffered)
    assert (done[0], done[2]) == (code, stderr)


def test_a_reader_that_went_away_is_no_fault(tmp_path: Path) -> None:
    done = subprocess.Popen(
        [sys.executable, "-m", "edgenas", "boards", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "EDGENAS_HOME": str(tmp_path)},
    )
    assert done.stdout is not None
    assert done.stderr is not None
    done.stdout.close()
    with done.stderr as errors:
        assert errors.read() == b""
    assert done.wait() == 1


# Prints which files descriptors 0 to 2 are after a database was opened, in this process and in a child's.
_DESCRIPTORS = """
import json, os, subprocess, sys
from pathlib import Path
from edgenas.cli import streams
streams.repair()
from edgenas.profiles.store import Store
with Store(Path(sys.argv[1])) as store:
    store.append([])
    print("text that must not get into the database")
    here = [os.readlink(f"/proc/self/fd/{number}") for number in range(3)]
    code = "import json, os; print(json.dumps([os.path.exists(f'/proc/self/fd/{n}') for n in range(3)]))"
    child = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True).stdout
    Path(sys.argv[2]).write_text(json.dumps({"here": here, "child": json.loads(child)}))
"""


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc")
def test_no_file_that_is_opened_later_becomes_stdout(tmp_path: Path) -> None:
    database, found = tmp_path / "measurements.sqlite", tmp_path / "found.json"
    command = 'exec "$0" "$@" <&- >&- 2>&-'
    subprocess.run(["sh", "-c", command, sys.executable, "-c", _DESCRIPTORS, database, found], check=True)
    assert json.loads(found.read_text()) == {"here": ["/dev/null"] * 3, "child": [True] * 3}
    assert b"text that must not" not in database.read_bytes()
