# SPDX-License-Identifier: Apache-2.0
"""What is said of bad input: the value, the limit and the way out, in one line of under 200 characters."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edgenas.cli import main

LONG = "a-folder-of-a-long-name/" * 5
DEVICES = """
[[device]]
name = "kitchen"
url = "serial:///dev/ttyACM7"
board = "nucleo-l4r5zi"
"""


@dataclass(frozen=True)
class Bad:
    """A command line of one bad value, the exit code, and what the message says besides the value."""

    line: str
    value: str
    says: str
    code: int = 2


MEASURE, DEPLOY = "measure good.tflite", "deploy --data digits --latency 1ms"
BAD = [
    Bad("{value}", "depoly", "see edgenas --help"),
    Bad("deploy --latency 1ms", "--data", "see edgenas deploy --help"),
    Bad("boards {value}", "--jsno", "see edgenas boards --help"),
    Bad("measure {value}", f"{LONG}no.tflite", "No such file"),
    Bad("measure {value}", "text.tflite", "not a TFLite model"),
    Bad("measure {value}", "empty", "cannot be read"),
    Bad("plan --board nucleo-l4r5zi {value}", f"{LONG}no.tflite", "No such file"),
    Bad("plan good.tflite --board {value}", "host", "`edgenas boards` lists them"),
    Bad("plan --board nucleo-l4r5zi {value}", "text.tflite", "not a TFLite model"),
    Bad(f"{MEASURE} --board {{value}}", "nucleo-l4r5", "did you mean nucleo-l4r5zi"),
    Bad(f"{MEASURE} --board {{value}}", "zzz", "`edgenas boards` lists all"),
    Bad(f"{MEASURE} --board {{value}}", f"{LONG}board.toml", "name a folder that holds board.toml"),
    Bad(f"{MEASURE} --board {{value}}", "/dev/ttyACM0", "--device serial:///dev/ttyACM0"),
    Bad(f"{MEASURE} --board {{value}}", "pi@raspberrypi", "--device ssh://pi@raspberrypi"),
    Bad(f"{MEASURE} --board {{value}}", "kitchen", "say --device kitchen"),
    Bad(f"{MEASURE} --device {{value}}", "kitchn", "did you mean kitchen?"),
    Bad(f"{MEASURE} --device {{value}}", "nucleo-l4r5zi", "say --board nucleo-l4r5zi"),
    Bad(f"{MEASURE} --device {{value}}", "/dev/ttyACM0", "did you mean serial:///dev/ttyACM0?"),
    Bad(f"{MEASURE} --device {{value}}", "COM3", "did you mean serial:COM3?"),
    Bad(f"{MEASURE} --device {{value}}", "pi@raspberrypi", "did you mean ssh://pi@raspberrypi?"),
    Bad(f"{MEASURE} --device {{value}}", "raspberrypi.local", "did you mean ssh://USER@raspberrypi.local?"),
    Bad(f"{MEASURE} --device {{value}}", "192.168.1.5", "did you mean ssh://USER@192.168.1.5?"),
    Bad(f"{MEASURE} --device {{value}}", "localhost", "did you mean local:?"),
    Bad(f"{MEASURE} --device {{value}}", "unicorn", "did you mean unicorn:?"),
    Bad(f"{MEASURE} --device {{value}}", "usb:", "for example ssh://pi@raspberrypi.local"),
    Bad(f"{MEASURE} --device {{value}}", "pi@raspberrypi:22", "did you mean ssh://pi@raspberrypi:22?"),
    Bad(f"{MEASURE} --board rpi-4b --device {{value}}", "ssh:pi@host", "did you mean ssh://pi@host?"),
    Bad(f"{MEASURE} --board rpi-4b --device {{value}}", "ssh://", "write ssh://user@host"),
    Bad(f"{MEASURE} --device {{value}}", "local:?pyton=x", "did you mean python?"),
    Bad(f"{MEASURE} --board mps2-an386 --device {{value}}", "qemu:mps2-an387", "did you mean mps2-an38"),
    Bad(f"{MEASURE} --device local:?root={{value}}", f"/dev/null/{LONG}", "name another by root=DIR", 1),
    Bad(f"{MEASURE} --device unicorn:?root={{value}} --board mps2-an386", f"/dev/null/{LONG}", "root=DIR", 1),
    Bad(f"{MEASURE} --statistic {{value}}", "p51", "choose one of min, p10"),
    Bad(f"{MEASURE} --runtime {{value}}", "tflight", "did you mean tflite?"),
    Bad(f"{DEPLOY}x", "1msx", "write us, ms, s or %"),
    Bad("deploy --data digits --latency {value}", "fast", "350us"),
    Bad(f"{DEPLOY} --strategy {{value}}", "luck", "choose one of"),
    Bad(f"{DEPLOY} --space {{value}}", "huge", "tiny"),
    Bad(f"{DEPLOY} --space {{value}}", f"{LONG}space.toml", "name a .toml file"),
    Bad(f"{DEPLOY} --precision {{value}}", "int4", "choose one of int8, float32"),
    Bad(f"{DEPLOY} --epochs {{value}}", "1", "the least is 2"),
    Bad(f"{DEPLOY} --seed {{value}}", "-1", "see edgenas deploy --help"),
    Bad("profile --minutes {value}", "never", "see edgenas profile --help"),
    Bad("profile import {value}", f"{LONG}profile.json", "No such file"),
    Bad("profile export --board {value}", "hots", "did you mean host"),
    Bad("flash --board {value}", "host", "host"),
    Bad("plan good.tflite --board nucleo-l4r5zi --out {value}", f"text.tflite/{LONG}", "name another", 1),
    Bad("train --data digits --out {value} x", "text.tflite", "name another file"),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands are typed; with a home that names one device."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "devices.toml").write_text(DEVICES)
    monkeypatch.setenv("EDGENAS_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.tflite").write_text("no model")
    (tmp_path / "good.tflite").write_bytes(np.array([0], "<u4").tobytes() + b"TFL3" + bytes(64))
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.line.format(value=bad.value[:40]))
def test_one_short_line_names_the_value_and_the_way_out(
    bad: Bad, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(bad.line.format(value=bad.value).split())
    out, err = capsys.readouterr()
    *progress, last = err.splitlines()
    assert last.startswith("edgenas: "), err
    assert (code, out, [line for line in progress if not line.startswith("[")]) == (bad.code, "", [])
    assert bad.value.rstrip("/") in last
    assert bad.says in last
    longest = 200 + len(bad.value) + (len(str(folder)) if str(folder) in last else 0)
    assert len(last.removeprefix("edgenas: ")) < longest, f"{len(last)}: {last}"


def test_a_password_is_not_repeated(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for url in ("ssh://pi:secret@host", "pi:secret@host"):
        assert main([*MEASURE.split(), "--board", "rpi-4b", "--device", url]) == 2
        err = capsys.readouterr().err
        assert "it is asked for" in err
        assert "secret" not in err
