# SPDX-License-Identifier: Apache-2.0
"""A real .tflite file built in place, an agent spoken to in bytes, and eyes on what processes leave behind."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest

from firmware_tools.agent.parts.processes import BOOT
from firmware_tools.device import TimingPlan
from firmware_tools.linux.agent_file import AGENT_FOLDER

SHORT = TimingPlan(processes=2, warmup_s=0.01, timed_s=0.02, repeats=0)


def fully_connected(seed: int, inputs: int = 16, outputs: int = 8) -> bytes:
    """A float32 model of one FULLY_CONNECTED operator, [1, inputs] -> [1, outputs]: 4 * inputs * outputs bytes."""
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    flatbuffers = pytest.importorskip("flatbuffers")
    weights = np.random.default_rng(seed).standard_normal((outputs, inputs)).astype(np.float32)
    contents = [b"", weights.tobytes(), np.arange(outputs, dtype=np.float32).tobytes()]

    def tensor(name: str, shape: list[int], buffer: int) -> Any:
        made = schema.TensorT()
        made.name, made.shape, made.buffer, made.type = name, shape, buffer, schema.TensorType.FLOAT32
        return made

    def buffer(data: bytes) -> Any:
        made = schema.BufferT()
        made.data = np.frombuffer(data, np.uint8) if data else None
        return made

    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.FULLY_CONNECTED
    code.version = 1
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0, 1, 2], [3]
    operator.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
    operator.builtinOptions = schema.FullyConnectedOptionsT()
    graph = schema.SubGraphT()
    graph.name, graph.inputs, graph.outputs, graph.operators = "main", [0], [3], [operator]
    graph.tensors = [
        tensor("input", [1, inputs], 0),
        tensor("weights", [outputs, inputs], 1),
        tensor("bias", [outputs], 2),
        tensor("output", [1, outputs], 0),
    ]
    model = schema.ModelT()
    model.version, model.subgraphs, model.operatorCodes = 3, [graph], [code]
    model.buffers = [buffer(data) for data in contents]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def active_model(root: Path) -> bytes:
    """The active model as an application on the board finds it, after comparing it with its manifest."""
    folder = root / "active"
    data = (folder / "model.tflite").read_bytes()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["sha256"] == sha256(data)
    assert manifest["bytes"] == len(data)
    return data


def agent_pid(root: Path) -> int:
    return int((root / "lock").read_text())


def children(pid: int) -> list[int]:
    """Those that are programs of their own: before that, a child that is stopped stops its parent, too (vfork)."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    if not path.exists():
        pytest.skip("needs Linux's /proc/PID/task/TID/children")
    return [child for child in map(int, path.read_text().split()) if _command(child) not in (b"", _command(pid))]


def _command(pid: int) -> bytes:
    """The command line; nothing of what has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def until(condition: Callable[[], Any], timeout_s: float = 60.0) -> Any:
    """What `condition` returns once it is true; fails after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, "condition not met in time"
        time.sleep(0.01)
    return value


def gone(pid: int) -> bool:
    """Whether no such process runs (a zombie that its parent has not collected does not run)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


class RawAgent:
    """An agent spoken to in bytes; `agent` is the file or folder that it is in."""

    def __init__(self, root: Path, python: str = sys.executable, agent: Path = AGENT_FOLDER) -> None:
        self.process = subprocess.Popen(
            [python, "-c", BOOT, str(agent), "--root", str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.stdin: IO[bytes] = self.process.stdin  # type: ignore[assignment]
        self.stdout: IO[bytes] = self.process.stdout  # type: ignore[assignment]

    def write(self, line: bytes) -> None:
        self.stdin.write(line + b"\n")
        self.stdin.flush()

    def read(self) -> dict[str, Any]:
        answer = json.loads(self.stdout.readline())
        assert isinstance(answer, dict)
        return answer

    def ask(self, do: str, **fields: object) -> dict[str, Any]:
        """The last answer to `do`."""
        self.write(json.dumps({"id": 7, "do": do, **fields}).encode())
        while "progress" in (answer := self.read()):
            pass
        assert answer["id"] == 7
        return answer

    def close(self) -> int:
        with suppress(BrokenPipeError):
            self.stdin.close()
        try:
            return self.process.wait(60)
        finally:
            self.process.kill()
            self.process.wait()
            self.stdout.close()

    def __enter__(self) -> RawAgent:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
