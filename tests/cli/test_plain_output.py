# SPDX-License-Identifier: Apache-2.0
"""What the program shows and keeps besides its tables: a bar, a log, warnings, a flash tool's colours, a picture."""

from __future__ import annotations

import io
import logging
import sys
import traceback
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.cli.hostile_text import ACTING, acts
from helpers.recorded import KEY, taken

from edgenas import show_profile
from edgenas.cli import output, streams
from edgenas.profiles.store import Store
from edgenas.seals import Seals
from edgenas.workflows.run_folder import Logged, Run

_MARKUP = "[/bold] [link=file:///x] :bomb:"


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_and_a_log_show_texts_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "2000")
    seen = _Terminal()
    with output.LiveReporter(seen) as live:
        reporter = Logged(live, Run(Seals(tmp_path, ""), resumed=False))
        for tell in (reporter.stage, reporter.status, reporter.say):
            tell(f"{_MARKUP}\n{ACTING}")
        reporter.progress(1, 2, f"{_MARKUP}\n{ACTING}")
        live._progress.refresh()
    shown = seen.getvalue()
    assert acts(shown.encode(), live=True) == []
    assert shown.count(f"{_MARKUP}\\n\\x1b]0;owned\\x07") >= 4
    log = (tmp_path / "log.txt").read_bytes()
    assert acts(log, live=False) == []
    assert len(log.splitlines()) == 3


def test_warnings_loggers_and_tracebacks_are_plain(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with streams.guarded():
        sys.stderr.write(warnings.formatwarning(ACTING, UserWarning, "x.py", 1))  # pytest keeps real ones to itself
        logging.lastResort.emit(logging.LogRecord("x", logging.ERROR, "x", 1, ACTING, (), None))  # type: ignore[union-attr]
        traceback.print_exception(ValueError(ACTING))
        print(ACTING)
        assert not isinstance(streams.unguarded(sys.stderr), streams.PlainStream)
    out, err = capfdbinary.readouterr()
    assert acts(out + err, live=False) == []
    assert err.count(b"owned") >= 3
    assert b"owned" in out


def test_a_flash_tools_colours_are_left_out_also_in_pieces(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    said = output.Relay()
    for byte in "\x1b[1;32m50 % ü\x1b[0m\r100 %\x1b[K\n\x1b[2J\tend\n".encode():
        said(bytes([byte]))
    assert capfdbinary.readouterr().err.decode() == "50 % ü\r100 %\n\\x1b[2J\tend\n"


def test_a_picture_takes_a_name_that_is_no_formula(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("EDGENAS_HOME", str(tmp_path))
    key = replace(KEY, runtime_version="$\\frac{$\x1b[2J")
    with Store() as store:
        store.append([taken(index, key=key) for index in range(3)])
    show_profile(picture=tmp_path / "drawn.svg")
    assert b"\x1b" not in (tmp_path / "drawn.svg").read_bytes()
