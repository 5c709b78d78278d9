# SPDX-License-Identifier: Apache-2.0
"""The main job through the real program: deploy, interrupt, resume, measure, roll back."""

from __future__ import annotations

import fcntl
import hashlib
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from helpers.cli.cli_program import DEPLOY, STAGES, Deployed, Done, Program
from helpers.short_deploys import SMALL

from edgenas import resources

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("deployed by the program")]

_RESULT = {
    "board": str,
    "device": str,
    "budget": {"latency_ms": float, "statistic": str, "ram_bytes": int, "flash_bytes": int},
    "predicted_ms": float,
    "measured": {"latency_ms": float, "p10_ms": float, "p50_ms": float, "p95_ms": float, "n": int, "ci95_ms": list},
    "rounds": list,
    "projection": (dict, type(None)),
    "accuracy": {"float": float, "int8": float, "baseline": float},
    "balanced_accuracy": {"float": float, "int8": float, "baseline": float},
    "recall": {"labels": list, "float": dict, "int8": dict, "baseline": dict},
    "model": {"path": str, "sha256": str, "bytes": int, "peak_ram_bytes": int, "macs": int},
    "committed": bool,
    "seconds": dict.fromkeys(("profile", "supernet", "search", "train", "convert", "measure"), (int, float)),
    "seed": int,
    "versions": dict,
    "notes": list,
}


def test_json_is_one_object_with_the_documented_keys(deployed: Deployed) -> None:
    result = deployed.result
    for key, kind in _RESULT.items():
        if isinstance(kind, dict):
            assert {k: isinstance(result[key][k], v) for k, v in kind.items()} == dict.fromkeys(kind, True), key
        else:
            assert isinstance(result[key], kind), key
    assert all(set(entry) == {"predicted_ms", "measured_ms"} for entry in result["rounds"])
    assert result["measured"]["latency_ms"] <= result["budget"]["latency_ms"]
    assert result["committed"] is True


def test_what_was_shipped_is_in_the_runs_folder_and_on_the_device(deployed: Deployed) -> None:
    model = deployed.result["model"]
    assert hashlib.sha256((deployed.program.folder / model["path"]).read_bytes()).hexdigest() == model["sha256"]
    on_device = deployed.program.device()["model.tflite"]
    assert hashlib.sha256(on_device).hexdigest() == model["sha256"]


@pytest.mark.parametrize("number", range(len(STAGES)), ids=[stage.removeprefix("] ") for stage, _ in STAGES])
def test_interrupt_ends_in_order_and_the_same_command_goes_on(deployed: Deployed, number: int) -> None:
    sitting = deployed.interrupted[number]
    assert sitting.done.code == 130
    assert sitting.done.message == "interrupted: run the same command again to go on"
    assert sitting.done.stdout == ""
    assert sitting.left == {}
    assert not sitting.installed
    if number >= 2:  # nothing is begun before the data are read
        assert "going on in runs" in sitting.done.stderr
    assert len(list((deployed.program.folder / "runs").iterdir())) == 1


def test_measure_takes_the_folder_of_a_run(deployed: Deployed) -> None:
    measured = deployed.program.run("measure", deployed.result["folder"], "--json").json()
    assert measured["model"]["sha256"] == deployed.result["model"]["sha256"]
    ratio = measured["measured"]["latency_ms"] / deployed.result["measured"]["latency_ms"]
    assert 0.2 < ratio < 5  # of one unit; a computer that others use doubles its speed from one minute to the next


def test_boards_lists_the_profile(deployed: Deployed) -> None:
    found = deployed.program.run("boards", "--json").json()
    names = [board["id"] for board in found["boards"]]
    assert names == sorted(path.parent.name for path in resources.shipped("boards").glob("*/board.toml"))
    assert {"host", "mps2-an386"} <= set(names)
    assert found["profiles"][0]["measurements"] >= 12
    table = deployed.program.run("boards").stdout
    assert "this computer" in table
    assert found["profiles"][0]["profile"] in table


def test_rollback_to_nothing_is_refused(deployed: Deployed) -> None:
    done = deployed.program.run("rollback", "--json")
    assert (done.code, done.stdout) == (4, "")
    assert "no previous model" in done.message


def test_agent_killed_in_mid_measurement_then_finished_on_a_terminal_then_rolled_back(
    program: Program, deployed: Deployed
) -> None:
    """The finished deploy as if its last step had not been: everything is there but the installation."""
    before = program.device()
    shutil.copytree(deployed.program.folder / "runs", program.folder / "runs")
    (program.folder / deployed.result["folder"] / "result.json").unlink()
    running = program.start(*DEPLOY).until("] install and measure")
    time.sleep(0.5)
    agents = [pid for pid, line in program.processes().items() if "firmware_tools/agent" in line]
    assert agents
    for pid in agents:
        os.kill(pid, signal.SIGKILL)
    done = running.wait()
    assert done.code == 4
    assert "the active model is unchanged, run the command again" in done.message
    assert program.processes() == {}
    assert program.device() == before

    finished = _on_a_terminal(program, *DEPLOY)
    assert finished.code == 0, finished.stdout
    assert "\x1b[" in finished.stdout
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", finished.stdout)
    assert "going on in runs" in text
    assert "search: done, " in text
    assert "install and measure, round 1: done, " in text
    for name in (
        "budget",
        "predicted",
        "measured",
        "accuracy",
        "balanced",
        "by class",
        "peak RAM",
        "rounds",
        "committed",
        "model.tflite",
    ):
        assert name in text
    assert re.search(r"^\d\*", text, re.MULTILINE), "the shipped row is marked"
    assert re.search(r"^\d\*?b", text, re.MULTILINE), "the baseline is marked"
    table = re.findall(r"^ +origin .*$|^\d\*?b? +\S+ +[\d.]+ us .*$", text, re.MULTILINE)
    assert len(table) >= 3
    assert max(map(len, table)) <= 140

    assert program.device() != before
    status = program.run("rollback", "--json").json()
    assert status["active"]["sha256"] == hashlib.sha256(before["model.tflite"]).hexdigest()
    assert program.device() == before
    assert status["rollbacks"] == 1


def _on_a_terminal(program: Program, *arguments: str) -> Done:
    """Run with a terminal of 100 columns as stdout and stderr; both come back as stdout."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "edgenas", *arguments],
        cwd=program.folder,
        env=program.environment(TERM="xterm"),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    chunks = []
    while True:
        try:
            chunk = os.read(master, 65536)
        except OSError:  # the last process that had the terminal has ended
            break
        if not chunk:
            break
        chunks.append(chunk)
    os.close(master)
    return Done(process.wait(60), b"".join(chunks).decode().replace("\r\n", "\n"), "")


def test_second_deploy_to_a_device_refuses_and_sigterm_ends_the_first(program: Program, tmp_path: Path) -> None:
    first = program.start(*DEPLOY, "--seed", "2").until("] search")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    second = Program(program.home, elsewhere).run(*DEPLOY, "--json")
    assert (second.code, second.stdout) == (4, "")
    agents = [pid for pid, line in program.processes().items() if "firmware_tools/agent" in line]
    assert any(f"{pid}" in second.message for pid in (*agents, first.process.pid))
    assert not (elsewhere / "runs").exists()
    ended = first.signal(signal.SIGTERM).wait(30)
    assert ended.code == 143
    assert ended.message == "interrupted: run the same command again to go on"
    assert program.processes() == {}


def test_interrupt_while_the_packages_are_being_imported(program: Program) -> None:
    for after_s in (0.0, 0.1, 0.3, 0.6):
        running = program.start(*DEPLOY, "--seed", "5").until_it_listens()
        time.sleep(after_s)
        done = running.signal().wait(30)
        assert done.code == 130
        assert done.message == "interrupted: run the same command again to go on"
    assert program.processes() == {}


@pytest.mark.alone
def test_search_train_convert_measure_in_a_space_of_the_users_own(program: Program) -> None:
    shutil.copy(SMALL, program.folder)
    common = ("--data", "digits", "--space", "small.toml")
    found = program.run("search", *common, "--latency", "80%", "--epochs", "2", "--json").json()
    finalist = found["finalists"][0]
    assert finalist["measured_ms"] <= found["budget"]["latency_ms"]
    net = ("train", finalist["architecture"], *common, "--out", "net.pt")
    trained = program.run(*net, "--epochs", "12", "--json").json()
    assert trained["accuracy"]["test"] > 0.5
    again = program.run(*net)
    assert again.code == 2
    assert "net.pt exists" in again.message
    converted = program.run("convert", "net.pt", *common, "--out", "net", "--json").json()
    assert converted["gate"] == "passed"
    assert (program.folder / "net" / "model.tflite").stat().st_size == converted["model"]["bytes"]
    measured = program.run("measure", "net/model.tflite")
    assert measured.code == 0
    assert "p10" in measured.stdout
