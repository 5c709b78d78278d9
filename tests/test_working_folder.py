# SPDX-License-Identifier: Apache-2.0
"""No child process, of whatever kind, runs code of the folder that edgenas is used in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.shadowing import Trap
from helpers.tflite_builder import Op, T, constant, model

from edgenas import tasks
from edgenas.conversion import environment
from edgenas.conversion.process import OnnxWorker
from edgenas.errors import ConversionError
from edgenas.tasks.arrays import save_arrays
from edgenas.training import Job, Recipe
from edgenas.training.pool import Pool
from firmware_tools import children
from firmware_tools.agent.parts.processes import BOOT
from firmware_tools.bootloader import WAYS, Image, run
from firmware_tools.connect import connect
from firmware_tools.device import TimingPlan
from firmware_tools.errors import FlashError
from firmware_tools.linux.agent_file import packed
from firmware_tools.plan import simulate

BRIEF = TimingPlan(processes=2, warmup_s=0.0, timed_s=0.001)


@pytest.fixture
def trap(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Trap:
    """The working folder, with the environment that leads there."""
    made = Trap(tmp_path / "trap")
    monkeypatch.chdir(made.folder)
    for name, value in made.variables().items():
        monkeypatch.setenv(name, value)
    return made


def _tflite() -> bytes:
    """A fully connected layer of two outputs."""
    rng = np.random.default_rng(0)
    weights, biases = constant(rng.integers(-9, 9, (2, 4)), 0.1), constant(np.zeros(2), 0.01, "int32")
    return model([T((1, 4), 0.1), weights, biases, T((1, 2), 0.1)], [Op("FULLY_CONNECTED", [0, 1, 2], [3])], [0], [3])


def test_training_processes(trap: Trap, tmp_path: Path) -> None:
    arrays = tmp_path / "digits.npz"
    save_arrays(tasks.load("digits"), arrays)
    job = Job(
        "a", "stem-8s2/plain-8x1/plain-16x1/plain-32x1", Recipe(1, {"flip": False, "crop": 4}, batch=512), 1, 0, "a.pt"
    )
    with Pool("tiny", Path(os.path.relpath(arrays)), workers=1) as pool:
        assert pool.run([job])[0].epoch == 1
    assert trap.sprung == ""
    assert (trap.folder / "a.pt").is_file()  # a path of the working folder stays one


@pytest.mark.parametrize("scheme", ["local", "qemu", "unicorn"])
def test_devices_on_this_computer(trap: Trap, tmp_path: Path, home: Path, scheme: str) -> None:
    if scheme == "qemu" and children.which("qemu-system-arm") is None:
        pytest.skip("no qemu-system-arm: apt-get install qemu-system-arm")
    if scheme == "unicorn":
        pytest.importorskip("unicorn")
    root = tmp_path / "root"
    planted = Trap(root)  # whoever may write there, and not into the agent
    with connect(f"{scheme}:?root={root}", home=home) as device:
        device.info()
        assert device.time([_tflite()], BRIEF)[0].n > 0
    assert (trap.sprung, planted.sprung) == ("", "")


def test_an_agent_beside_which_somebody_puts_modules(trap: Trap, tmp_path: Path) -> None:
    copy = trap.folder / "agent-0123.zip"  # as it lies on a board
    copy.write_bytes(packed())
    command = [sys.executable, "-c", BOOT, str(copy), "--root", str(tmp_path / "root")]
    done = subprocess.run(command, input=b'{"id": 1, "do": "hello"}\n', capture_output=True, check=True, env={})
    assert b'"ok"' in done.stdout
    assert trap.sprung == ""


def test_the_converter_and_its_environment(trap: Trap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nothing.lock").write_text("")
    monkeypatch.setenv("EDGENAS_HOME", str(tmp_path / "new"))
    monkeypatch.setattr(environment, "LOCK", tmp_path / "nothing.lock")
    monkeypatch.setattr(environment, "_verify", lambda: None)
    python = environment.ensure()
    with OnnxWorker(python) as worker, pytest.raises(ConversionError, match="No module named 'onnx'"):
        worker.convert(b"")
    assert trap.sprung == ""


def test_programs_that_are_modules(trap: Trap) -> None:
    done = children.run([*children.installed_module("pip"), "--version"])
    assert done.stdout.startswith(b"pip "), done.stderr
    assert trap.sprung == ""


def test_the_programs_that_flash(trap: Trap, tmp_path: Path) -> None:
    (tmp_path / "image.bin").write_bytes(bytes(64))
    image = Image.read(tmp_path / "image.bin")
    facts = {
        "address": 0,
        "target": "cortex_m",
        "chip": "esp32",
        "configs": ["interface/dummy.cfg"],
    }
    for way in ("openocd", "pyocd", "esptool", "stm32flash"):
        if WAYS[way].program() is None:
            continue
        with pytest.raises(FlashError):
            run(WAYS[way].plan(image, facts, "/nowhere"), lambda data: None)
    assert trap.sprung == ""


def test_compilers(trap: Trap) -> None:
    if simulate.available():
        simulate._compile(simulate._compiler(), ["--version"])
    assert trap.sprung == ""


def test_the_program_itself(tmp_path: Path, home: Path) -> None:
    clean = [sys.executable, "-I", "-c", "import runpy, sys; print(*sys.modules)"]
    loaded = subprocess.run(clean, capture_output=True, text=True, check=True).stdout.split()
    before = {name.partition(".")[0] for name in loaded}  # what Python imports before edgenas has a say
    trap = Trap(tmp_path / "trap", without=before)
    command = [sys.executable, "-m", "edgenas", "boards", "--json"]
    done = subprocess.run(command, cwd=trap.folder, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert trap.sprung == ""


def test_a_child_imports_what_its_parent_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "only_there.py").write_text("import sys\nprint(*sys.argv[1:])\n")
    monkeypatch.setattr(sys, "path", [*sys.path, "", ".", str(tmp_path / "elsewhere")])
    done = children.run(children.own_module("only_there", "-x", "a b"), text=True)
    assert (done.stdout, done.stderr) == ("-x a b\n", "")


def test_relative_words_of_the_user_keep_their_meaning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "bin" / "tool"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\npwd\n")
    tool.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    assert children.run(["bin/tool"], text=True).stdout == f"{children.NEUTRAL_FOLDER}\n"
    assert children.which("bin/tool") == str(tool)
    monkeypatch.setenv("PATH", f"bin{os.pathsep}{os.environ['PATH']}")
    assert children.which("tool") is None
    with pytest.raises(FileNotFoundError, match="tool"):
        children.run(["tool"])
