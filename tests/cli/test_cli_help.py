# SPDX-License-Identifier: Apache-2.0
"""Help, version and command lines that are not understood: nothing else is imported, nothing is written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.cli.cli_program import Done, Program

_COMMANDS = (
    "deploy",
    "profile",
    "search",
    "train",
    "convert",
    "plan",
    "measure",
    "rollback",
    "flash",
    "devices",
    "boards",
    "doctor",
)


@pytest.fixture
def bare(tmp_path: Path) -> Program:
    """A home that does not exist yet."""
    folder = tmp_path / "folder"
    folder.mkdir()
    return Program(tmp_path / "home", folder)


def test_help_lists_every_command_and_imports_nothing_heavy(bare: Program) -> None:
    done = bare.run("--help", PYTHONPROFILEIMPORTTIME="1")
    assert done.code == 0
    assert all(f"  {name} " in done.stdout for name in _COMMANDS)
    assert "..." not in done.stdout.partition("Commands:")[2], "a command's first line is too long to be listed"
    assert not _imported(done) & {"numpy", "torch", "onnx", "rich", "PIL", "scipy", "ai_edge_litert"}
    assert {name for name in _modules(done) if name.startswith("firmware_tools.")} <= {"firmware_tools.plain_text"}
    assert bare.run().stdout == done.stdout


def _imported(done: Done) -> set[str]:
    """The packages that PYTHONPROFILEIMPORTTIME names on stderr."""
    return {name.partition(".")[0] for name in _modules(done)}


def _modules(done: Done) -> set[str]:
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}


@pytest.mark.parametrize(
    "command", [*_COMMANDS, "board prepare", *(f"profile {name}" for name in ("export", "import", "merge", "show"))]
)
def test_every_command_explains_itself_with_an_example(bare: Program, command: str) -> None:
    done = bare.run(*command.split(), "--help")
    assert done.code == 0
    assert f"Example: edgenas {command}" in done.stdout
    assert "--json" in done.stdout


def test_version_of_the_installed_script(bare: Program) -> None:
    from edgenas import __version__

    script = Path(sys.executable).with_name("edgenas")
    printed = subprocess.run([script, "--version"], capture_output=True, text=True, check=True).stdout
    assert printed == bare.run("--version").stdout == f"edgenas {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["deplyo"], "no such command 'deplyo'"),
        (["--frobnicate"], "no such option: --frobnicate; see edgenas --help"),
        (["deploy", "--latency", "40%"], "missing option '--data'; see edgenas deploy --help"),
        (["deploy", "--data", "digits"], "missing option '--latency'; see edgenas deploy --help"),
        (["deploy", "--data", "digits", "--latency", "40%", "--rounds", "many"], "invalid value for '--rounds'"),
        (["deploy", "--data", "digits", "--latency", "40%", "--rounds", "0"], "rounds is 0, the least is 1"),
        (["deploy", "--data", "digits", "--latency", "40%", "--seed", "-1"], "invalid value for '--seed'"),
        (["deploy", "--data", "digits", "--latency", "40%", "--strategy", "guess"], "unknown strategy 'guess'"),
        (["deploy", "--data", "digits", "--latency", "40"], "'40' has no unit: write 40us, 40ms or 40%"),
        (["deploy", "--data", "digits", "--latency", "40min"], "unknown unit 'min': write us, ms, s or %"),
        (["deploy", "--data", "digits", "--latency", "fast"], "'fast' is not a number with a unit"),
        (["deploy", "--data", "digits", "--latency", "40%", "--board", "hots"], "did you mean host?"),
        (["profile", "--board", "hots"], "did you mean host?"),
        (["profile", "--input-shape", "28"], "write 1x28x28"),
        (["profile", "--board", "host", "show"], "--board before show: write it behind, edgenas profile show --board"),
        (["profile", "show"], "nothing was measured on board host yet: run edgenas profile --board host"),
        (["profile", "export", "--board", "hots"], "did you mean host?"),
        (["profile", "import", "nothing.json"], "nothing.json cannot be read: No such file or directory"),
        (["profile", "merge", "nothing.json"], "missing option '--out'"),
        (["profile", "--space", "tinny"], "no search space 'tinny'"),
        (["profile", "--precision", "int4"], "unknown precision 'int4': choose one of int8, float32"),
        (["profile", "--target-mape", "3"], "target MAPE '3' is not a percentage over 0: write it as in 3%"),
        (["profile", "--minutes", "0"], "should be greater than or equal to 0.01"),
        (["profile", "--statistic", "mean"], "unknown statistic 'mean': choose one of min, p10, p50, p95, max"),
        (["rollback", "--device", "usb:"], "unknown device scheme 'usb'"),
        (["board", "prepare", "--device", "local:"], "local: only boards behind SSH are prepared, write ssh://"),
        (["board", "prepare", "--device", "ssh://x", "--runtime", "torch"], "unknown runtime 'torch': choose one of l"),
        (["measure", "nothing.tflite"], "nothing.tflite cannot be read: No such file or directory"),
        (["measure", "--board", "hots", "x"], "did you mean host?"),
        (["convert", "nothing.pt", "--data", "digits", "--out", "x"], "nothing.pt cannot be read as a checkpoint"),
        (["train", "resnet", "--data", "digits", "--out", "x.pt"], "architecture 'resnet' is not of the form"),
    ],
)
def test_a_line_that_is_not_understood_is_one_line_and_exit_2(
    bare: Program, arguments: list[str], message: str
) -> None:
    done = bare.run(*arguments)
    assert (done.code, done.stdout) == (2, "")
    assert message in done.message
    assert list(bare.folder.glob("[!.]*")) == []
    assert not bare.home.exists()


@pytest.mark.parametrize("command", ["deploy", "search"])
def test_a_mistake_is_told_before_torch_is_imported(bare: Program, command: str) -> None:
    done = bare.run(command, "--data", "./nowhere", "--latency", "40%", PYTHONPROFILEIMPORTTIME="1")
    assert done.code == 2
    assert "'./nowhere'" in done.stderr
    assert "numpy" in _imported(done)
    assert "torch" not in _imported(done)


def test_without_the_search_packages_the_line_says_what_to_install(bare: Program, tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    for name in ("torch", "onnx", "PIL", "ai_edge_litert", "ai_edge_quantizer", "scipy"):
        (hidden / f"{name}.py").write_text(
            f"raise ModuleNotFoundError({f'No module named {name!r}'!r}, name={name!r})\n"
        )
    for arguments in (
        ("deploy", "--data", "digits", "--latency", "40%"),
        ("train", "x", "--data", "digits", "--out", "x"),
    ):
        done = bare.run(*arguments, PYTHONPATH=str(hidden))
        assert (done.code, done.stdout) == (1, "")
        assert "pip install 'edgenas[search]'" in done.message
    assert bare.run("boards", PYTHONPATH=str(hidden)).code == 0
    assert "no previous model" in bare.run("rollback", PYTHONPATH=str(hidden)).message


def test_doctor_says_what_is_missing_and_exits_1(bare: Program) -> None:
    done = bare.run("doctor", "--json")
    assert done.code == 1
    assert "edgenas doctor --mend" in done.stdout
    quiet = bare.run("doctor", "--quiet")
    assert quiet.code == 1
    assert "converter" in quiet.stdout
    assert "torch" not in quiet.stdout


def test_a_reader_that_goes_away_is_no_news(bare: Program) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "edgenas", "boards", "--json"],
        env=bare.environment(),
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")
