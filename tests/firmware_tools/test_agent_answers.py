# SPDX-License-Identifier: Apache-2.0
"""Whatever an agent answers, a method of AgentDevice ends, in a DeviceError of one line or in what can be."""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.firmware_tools import lying_agent
from helpers.firmware_tools.lying_agent import METHODS, answer, changed, lied_to, places, program, truth
from helpers.peak_memory import measured, peak_kb
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_tools.answers import streams
from firmware_tools.device import Timing
from firmware_tools.errors import DeviceError, DeviceLostError, ProtocolError

MEMORY_MB = 512


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return lying_agent.recorded(tmp_path_factory.mktemp("agent") / "root")


def held(device: Any, method: str) -> None:
    """Call it: what it raises is told in a line, what it returns can be."""
    refusal: DeviceError | None = None
    try:
        believed(METHODS[method](device))
    except DeviceError as error:
        refusal = error
    if refusal is not None:
        assert len(refusal.message) < 800, refusal.message
        assert refusal.exit_code == 4


def believed(found: object) -> None:
    if isinstance(found, np.ndarray):
        assert found.dtype.kind in "biuf"
        assert len(found) == len(lying_agent.INPUTS)
    for timing in found if isinstance(found, list) else [found]:
        if isinstance(timing, Timing):
            values = (timing.min_ms, timing.p10_ms, timing.latency_ms, timing.max_ms, *timing.per_process_ms)
            assert all(0 < value < math.inf for value in values)
            assert timing.processes == 2


@pytest.mark.parametrize("method", METHODS)
def test_the_truth_is_believed_and_what_a_newer_agent_adds_is_ignored(method: str, said: dict[str, Any]) -> None:
    def newer(request: dict[str, Any]) -> bytes:
        told: Any = answer(said, request)
        for path in [path for path in places(told) if "manifest" not in path]:
            holder = told
            for name in path:
                holder = holder[name]
            if isinstance(holder, dict) and path[-1:] != ("tools",):
                holder["newer"] = {"of": ["any", "kind"]}
        return truth({request["do"]: told, "time beside": told}, request)

    with lied_to(lambda request: truth(said, request)) as device:
        first = METHODS[method](device)
        believed(first)
    with lied_to(newer) as device:
        second = METHODS[method](device)
    assert repr(first) == repr(second)


@given(st.sampled_from(sorted(METHODS)), st.integers(0, 2**32))
@settings(deadline=None, max_examples=150)
def test_an_answer_with_one_lie(said: dict[str, Any], method: str, seed: int) -> None:
    with lied_to(lying_agent.one_lie(said, random.Random(seed))) as device:
        held(device, method)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
_errors = st.dictionaries(st.sampled_from(["kind", "message", "said", "self", "pid", "reason", "do", ""]), _json)


@given(
    st.sampled_from(sorted(METHODS)),
    st.one_of(
        st.binary(max_size=200),
        _json.map(lambda value: lying_agent.json.dumps(value).encode() + b"\n"),
        _json.map(lambda value: lying_agent.json.dumps({"id": 1, "ok": value}).encode() + b"\n"),
        _json.map(lambda value: lying_agent.json.dumps({"id": 1, "progress": value}).encode() + b"\n"),
        _errors.map(lambda value: lying_agent.json.dumps({"id": 1, "error": value}).encode() + b"\n"),
    ),
)
@settings(deadline=None, max_examples=150)
def test_any_bytes(method: str, line: bytes) -> None:
    with lied_to(lambda request: line, last=True) as device:
        held(device, method)


@pytest.mark.parametrize(
    ("method", "do", "path", "text", "says"),
    [
        ("info", "hello", ("cores",), "-1", "cores is -1, not a whole number from 1 to 4096"),
        ("info", "hello", ("runtimes", 0), "[]", "runtimes[0] is [], not a list of two"),
        ("time", "time", ("runs", 0, 1, "p10"), "NaN", "runs[0][1].p10 is None, not a number"),
        ("time", "time", ("runs", 1, 0, "min"), "0", "runs[1][0].min is 0, not above 0"),
        ("time", "time", ("runs", 1, 0, "min"), "-1", "runs[1][0].min is -1, not a number from 0"),
        ("time", "time", ("runs", 1, 0, "max"), "1e999", "runs[1][0].max is inf, not a number"),
        ("time", "time", ("runs", 0), "[]", "runs[0] has 0 entries, not 2"),
        ("time", "time", ("marked",), "[]", "marked has 0 entries, not 2"),
        ("time", "time", ("conditions", "tools"), "[]", "conditions.tools is [], not an object"),
        ("time beside", "time", ("runs", 0, 0, "relative"), "null", "runs[0][0].relative is missing"),
        ("infer_staged", "infer_staged", ("dtype",), '"O"', "dtype is 'O', no type of numbers"),
        ("infer_staged", "infer_staged", ("shape",), "[2, 1]", "data has 64 bytes, not the [2, 1] of <f4"),
        ("infer_staged", "infer_staged", ("shape",), "[1, 8]", "shape is [1, 8] for 2 inputs"),
        ("stage", "put", ("have",), "99", "have is 99, not a whole number from 0 to 7"),
        ("status", "status", ("active", "sha256"), '"none"', "active.sha256 is 'none', not a sha256"),
        ("status", "status", ("commits",), '"many"', "commits is 'many', not a whole number"),
    ],
)
def test_what_cannot_be_is_refused_by_value(
    method: str, do: str, path: tuple[Any, ...], text: str, says: str, said: dict[str, Any]
) -> None:
    def reply(request: dict[str, Any]) -> bytes:
        if request["do"] != do:
            return truth(said, request)
        return f'{{"id": {request["id"]}, "ok": {changed(answer(said, request), path, "replace", text)}}}\n'.encode()

    with lied_to(reply) as device, pytest.raises(ProtocolError) as caught:
        METHODS[method](device)
    assert f"liar: the agent's answer to {do} cannot be: {says}" in caught.value.message
    assert len(caught.value.message) < 200


def test_a_manifest_that_rotted_takes_nothing_else_away(said: dict[str, Any]) -> None:
    def reply(request: dict[str, Any]) -> bytes:
        slot = {**said["status"]["active"], "sha256": "?", "bytes": -1, "manifest": {}, "valid": False}
        return truth({request["do"]: {**said["status"], "active": slot}}, request)

    with lied_to(reply) as device:
        active = device.status().active
        assert active is not None
        assert (active.valid, active.sha256, active.bytes) == (False, "", 0)
        device.rollback()


def test_reports_of_progress_give_no_more_time_than_they_may(said: dict[str, Any]) -> None:
    def flood(report: str) -> Callable[[dict[str, Any]], bytes]:
        def reply(request: dict[str, Any]) -> bytes:
            line = f'{{"id": {request["id"]}, "progress": {report}}}\n'.encode()
            return truth(said, request) if request["do"] in ("hello", "put") else line * 10

        return reply

    for report in ("[0, 6]", "[7, 9]", "[3, 2]", "[1, 6]", "[-1, 6]", "1", "[NaN, 6]"):
        with lied_to(flood(report)) as device, pytest.raises(ProtocolError, match="to time cannot be"):
            METHODS["time"](device)
    endless = lied_to(lambda request: b'{"id": 1, "progress": [1, 2]}\n' * 100_000)
    with endless as device, pytest.raises(DeviceLostError, match=r"no answer for 0\.2 s during status"):
        device._session.request("status", answer=dict, timeout_s=0.2)


def test_a_child_of_the_agents_that_keeps_its_streams_does_not_hold_the_end_up(
    said: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firmware_tools.linux.session._CLOSE_TIMEOUT_S", 0.1)
    with lied_to(lambda request: truth(said, request), child=True) as device:
        device.info()


def test_a_long_line_is_not_kept() -> None:
    with (
        pytest.raises(DeviceLostError, match="a line of more than 32 MiB"),
        lied_to(lambda request: b"x" * (streams.MAX_LINE_BYTES + 1)) as device,
    ):
        device.info()


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("endless line", "a line of more than 32 MiB during hello"),
        ("many values", 'not an answer: b\'{"id": 1, "ok": [[],[],['),
        ("deep", 'not an answer: b\'{"id": 1, "ok": [[[['),
        ("endless stderr", "the agent ended during hello (yyy"),
    ],
)
def test_a_program_in_place_of_the_agent_takes_no_memory(what: str, says: str, tmp_path: Path) -> None:
    code, line, memory_mb = rolled_back(f"local:?python={program(tmp_path / 'agent', what)}", tmp_path)
    assert code == 4
    assert says in line
    assert memory_mb < MEMORY_MB


def rolled_back(url: str, folder: Path) -> tuple[int, str, float]:
    """`edgenas rollback`: its exit code, its one line and the most memory that it took."""
    log = folder / "said"
    with log.open("wb") as file:
        process = subprocess.Popen(
            measured(
                [sys.executable, "-m", "edgenas", "rollback", "--board", "host", "--device", url], folder / "peak"
            ),
            stderr=file,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "EDGENAS_HOME": str(folder / "home")},
            start_new_session=True,
        )
    try:
        process.wait(120)
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, 9)
    (line,) = log.read_text().splitlines()[-1:]
    assert "Traceback" not in log.read_text()
    return process.returncode, line, peak_kb(folder / "peak") / 1024
