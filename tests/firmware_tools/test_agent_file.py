# SPDX-License-Identifier: Apache-2.0
"""What a board gets: the agent's parts in one file that any Python from 3.7 on runs, wherever it lies."""

from __future__ import annotations

import ast
import io
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from helpers.firmware_tools.raw_agent import RawAgent, active_model

from firmware_tools.agent.parts.processes import BOOT
from firmware_tools.connect import connect
from firmware_tools.linux.agent_file import AGENT_FOLDER, packed

PARTS = sorted((AGENT_FOLDER / "parts").rglob("*.py"))
FOREIGN = ("numpy", "ai_edge", "tflite", "tensorflow", "onnxruntime", "firmware_tools", "parts")


@pytest.mark.parametrize("path", PARTS, ids=[path.name for path in PARTS])
def test_a_part_is_in_the_syntax_of_python_3_7_and_imports_parts_and_the_standard_library_only(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text, feature_version=(3, 7))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level == 0}
    assert not any(name.startswith(FOREIGN) for name in imported - {"numpy"})
    at_once = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    assert "numpy" not in at_once
    # What is imported later may be gone by then: a host of another release removes the file of this one.
    deferred = set(ast.walk(tree)) - set(tree.body)
    assert path.name == "main.py" or not any(isinstance(node, ast.ImportFrom) and node.level > 0 for node in deferred)


def test_the_agent_reads_the_wall_clock_for_people_only() -> None:
    """A clock that jumps moves no limit and no latency."""
    texts = [path.read_text(encoding="utf-8") for path in PARTS]
    attributes = [node for text in texts for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)]
    clocks = {node.attr for node in attributes if isinstance(node.value, ast.Name) and node.value.id == "time"}
    assert clocks <= {"monotonic", "perf_counter_ns", "process_time", "thread_time_ns", "sleep", "strftime", "gmtime"}
    assert sum(text.count("gmtime") for text in texts) == 1  # for the log and started_utc


def test_the_same_sources_make_the_same_bytes_and_every_part_is_in_them() -> None:
    first = packed()
    packed.cache_clear()
    assert packed() == first
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert archive.namelist() == [path.relative_to(AGENT_FOLDER).as_posix() for path in PARTS]
        assert all(archive.read(path.relative_to(AGENT_FOLDER).as_posix()) == path.read_bytes() for path in PARTS)
        kinds = {(one.date_time, one.compress_type, one.create_system, one.extra) for one in archive.infolist()}
    assert kinds == {((1980, 1, 1, 0, 0, 0), zipfile.ZIP_STORED, 3, b"")}


def interpreter(version: str) -> str:
    kept = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    python = str(kept[0]) if kept else shutil.which(f"python{version}")
    if python is None or subprocess.run([python, "-V"], capture_output=True, check=False).returncode != 0:
        pytest.skip(f"no python{version} here")
    return python


def hello(python: str, agent: Path, root: Path) -> dict[str, object]:
    command = [python, "-c", BOOT, str(agent), "--root", str(root)]
    done = subprocess.run(command, input=b'{"id": 1, "do": "hello"}\n', capture_output=True, check=True)
    answer: dict[str, object] = json.loads(done.stdout)["ok"]
    return answer


@pytest.mark.parametrize("version", ["3.7", "3.8", "3.9"])
def test_the_agent_runs_on_an_old_python(root: Path, models: list[bytes], tmp_path: Path, version: str) -> None:
    python = interpreter(version)
    with connect(f"local:?root={root}&python={python}", home=root) as device:
        assert device.info().python_version.startswith(version)
        device.stage(models[0], {})
        assert device.commit().confirmed
    assert active_model(root) == models[0]
    (tmp_path / "agent.zip").write_bytes(packed())
    assert str(hello(python, tmp_path / "agent.zip", root)["python_version"]).startswith(version)


@pytest.mark.parametrize("name", ["agent.zip", "agent", "an agent's $x;y.zip", "ágent-ü.zip", "agent.py"])
def test_the_file_may_have_any_name(root: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "an odd 'folder'.zip"
    folder.mkdir()
    (folder / name).write_bytes(packed())
    assert hello(sys.executable, folder / name, root)["protocol"] == 2
    assert [path.name for path in folder.iterdir()] == [name]


def test_no_bytecode_is_written_beside_the_agent(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    copy = tmp_path / "agent"
    shutil.copytree(AGENT_FOLDER / "parts", copy / "parts", ignore=shutil.ignore_patterns("__pycache__"))
    hello(sys.executable, copy, root)
    assert not list(tmp_path.rglob("__pycache__"))


def test_an_agent_outlives_its_file(root: Path, tmp_path: Path) -> None:
    agent = tmp_path / "agent.zip"
    agent.write_bytes(packed())
    with RawAgent(root, agent=agent) as opened:
        assert "ok" in opened.ask("status")
        agent.unlink()
        assert "ok" in opened.ask("hello")
        assert opened.ask("put")["error"]["kind"] == "request"
