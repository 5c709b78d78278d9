# SPDX-License-Identifier: Apache-2.0
"""Agents that lie: one in a thread, at the other end of real pipes, and one that is a program for local: and ssh:.

A lie is a true answer of a real agent's with one value replaced, left out or added, or any bytes at all.
"""

from __future__ import annotations

import base64
import json
import os
import random
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from firmware_tools.device import TimingPlan
from firmware_tools.linux.agent_device import AgentDevice
from firmware_tools.linux.session import AgentSession
from helpers.firmware_tools.raw_agent import RawAgent, fully_connected, sha256

Reply = Callable[[dict[str, Any]], bytes]
MODELS = (b"model a", b"model b")
REFERENCE = b"the reference"
INPUTS = np.zeros((2, 16), np.float32)
PLAN = TimingPlan(processes=2, warmup_s=0.0, timed_s=0.01, repeats=1)
BESIDE = TimingPlan(processes=2, warmup_s=0.0, timed_s=0.01, repeats=1, reference=REFERENCE)
METHODS: dict[str, Callable[[AgentDevice], object]] = {
    "check": AgentDevice.check,
    "info": AgentDevice.info,
    "status": AgentDevice.status,
    "time": lambda device: device.time(MODELS, PLAN, lambda done, total: None),
    "time beside": lambda device: device.time(MODELS, BESIDE),
    "time_operators": lambda device: device.time_operators(MODELS[0], PLAN),
    "stage": lambda device: device.stage(MODELS[0], {"name": "a model"}),
    "time_staged": lambda device: device.time_staged(PLAN),
    "infer_staged": lambda device: device.infer_staged(INPUTS),
    "commit": AgentDevice.commit,
    "discard": AgentDevice.discard,
    "rollback": AgentDevice.rollback,
}
# What stands in an answer's place, as JSON, or as what only looks like it.
VALUES = (
    *("null", "true", "false", "0", "-1", "1", "1.5", "-0.0", "1e-320", "1e308", "1e999", "-1e999", "NaN", "-Infinity"),
    *(str(2**31), str(2**63), str(2**64), "9" * 400, "9" * 5000, '""', '"x"', '"O"', '"|O"', '"<f4"', '"\\ud800"'),
    *('"\\u001b[2J\\u202e"', f'"{"y" * 70_000}"', "[]", "[0]", "[[]]", "[null]", "{}", '{"self": 1}', '{"": {}}'),
    *("[" * 40 + "]" * 40, "[" * 3000 + "]" * 3000, f"[{'0,' * 3000}0]", f'"{"0" * 64}"', "[2, 3]", "[1, 99999999999]"),
)
_MARK = "value to be replaced"


def recorded(root: Path) -> dict[str, Any]:
    """What a real agent answers to each request."""
    model = fully_connected(1)
    key = sha256(model)
    plan = {"processes": 2, "repeats": 1, "warmup_s": 0.01, "timed_s": 0.02, "threads": 1, "silence_s": 60.0}
    with RawAgent(root) as agent:
        said = {"hello": agent.ask("hello")["ok"]}

        def put(data: bytes) -> str:
            encoded = base64.b64encode(data).decode()
            agent.ask("put", sha256=sha256(data), bytes=len(data), offset=0, data=encoded)
            return sha256(data)

        put(model)
        said["time"] = agent.ask("time", models=[key, key], **plan)["ok"]
        said["time beside"] = agent.ask("time", models=[key, key], reference=key, **plan)["ok"]
        said["stage"] = agent.ask("stage", sha256=key, manifest={"name": "a model", "measured": {"p10": 1.5}})["ok"]
        said["time_staged"] = agent.ask("time_staged", **plan)["ok"]
        fields = {"dtype": "<f4", "shape": [2, 16], "silence_s": 60.0}
        said["infer_staged"] = agent.ask("infer_staged", inputs=put(INPUTS.tobytes()), **fields)["ok"]
        said["activate"] = agent.ask("activate")["ok"]
        said["confirm"] = agent.ask("confirm", sha256=key)["ok"]
        said["status"] = agent.ask("status")["ok"]
        said["rollback"] = said["status"]
        said["discard"] = agent.ask("discard")["ok"]
    said["time_operators"] = {"operators": [["conv", 0.5], ["softmax", 0.0]]}
    return said


def answer(said: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """What an honest agent answers to `request`."""
    do = request["do"]
    if do == "put":
        data = base64.b64decode(request.get("data", ""))
        return {"have": request.get("offset", 0) + len(data)}
    if do == "stage":
        return {**said["stage"], "sha256": request["sha256"]}
    if do == "time" and request["reference"]:
        do = "time beside"
    found = said.get(do, {})
    return dict(found) if isinstance(found, dict) else {}


def truth(said: dict[str, Any], request: dict[str, Any]) -> bytes:
    return json.dumps({"id": request["id"], "ok": answer(said, request)}).encode() + b"\n"


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in `value`."""
    yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in entries:
        yield from places(each, (*path, name))


def changed(value: Any, path: tuple[Any, ...], how: str, text: str) -> str:
    """`value` as JSON, with `text` in place of what is at `path` ("replace"), beside it ("add") or not ("remove")."""
    copy = json.loads(json.dumps({"root": value}))
    holder, *inner = copy, "root", *path
    for name in inner[:-1]:
        holder = holder[name]
    if how == "remove" and path:
        del holder[inner[-1]]
    elif how == "add" and isinstance(holder[inner[-1]], dict):
        holder[inner[-1]]["newer"] = _MARK
    elif how == "add" and isinstance(holder[inner[-1]], list):
        holder[inner[-1]].append(_MARK)
    else:
        holder[inner[-1]] = _MARK
    return json.dumps(copy["root"]).replace(f'"{_MARK}"', text)


def one_lie(said: dict[str, Any], rng: random.Random) -> Reply:
    """An agent that answers some requests honestly, then the others with one lie each."""
    honest = rng.randrange(9)

    def reply(request: dict[str, Any]) -> bytes:
        if request["id"] <= honest:
            return truth(said, request)
        if rng.random() < 0.1:
            error = ", ".join(f'"{name}": {rng.choice(VALUES)}' for name in ("pid", "said", "self", "reason"))
            kind = rng.choice(["busy", "full", "folder", "inference", "runtime", "x"])
            refusal = f'{{"kind": "{kind}", "message": {rng.choice(VALUES)}, {error}}}'
            return f'{{"id": {request["id"]}, "error": {refusal}}}\n'.encode()
        told = answer(said, request)
        path, how, text = rng.choice(list(places(told))), rng.choice(["replace", "remove", "add"]), rng.choice(VALUES)
        return f'{{"id": {request["id"]}, "ok": {changed(told, path, how, text)}}}\n'.encode()

    return reply


@contextmanager
def lied_to(reply: Reply, last: bool = False, child: bool = False) -> Iterator[AgentDevice]:
    """A device whose agent writes what `reply` returns for each request; b"" ends it. `last`: so does the first.

    `child`: something else keeps the agent's stdout open until the device is closed.
    """
    (requests, to_agent), (answers, from_agent), (errors, to_errors) = os.pipe(), os.pipe(), os.pipe()

    def serve() -> None:
        with open(requests, "rb") as asked, open(from_agent, "wb") as said, open(to_errors, "wb"), suppress(OSError):  # noqa: PTH123
            for line in asked:
                if not (data := reply(json.loads(line))):
                    break
                said.write(data)
                said.flush()
                if last:
                    break

    kept = os.dup(from_agent) if child else None
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    files = [open(to_agent, "wb"), open(answers, "rb"), open(errors, "rb")]  # noqa: PTH123, SIM115
    device = AgentDevice("liar:", AgentSession("liar", *files), None, lambda: thread.join(10))
    try:
        yield device
    finally:
        device.close()
        if kept is not None:
            os.close(kept)
            files[1].close()


# What the program says of itself, by its first argument.
PROGRAMS = {
    "endless line": "while True: write(b'x' * 65536)",
    "endless lines": 'while True: write(b\'{"id": 1, "progress": [1, 2]}\\n\' * 1000)',
    "endless stderr": "write(b'', os.write(2, b'last words '), *(os.write(2, b'y' * 65536) for _ in range(20000)))",
    "many values": "write(b'{\"id\": 1, \"ok\": [' + b'[],' * 10_000_000 + b'[]]}\\n')",
    "deep": "write(b'{\"id\": 1, \"ok\": ' + b'[' * 100_000 + b'\\n')",
    "newer": "answer(HELLO); answer(STATUS)",
    "self": 'write(b\'{"id": 1, "error": {"kind": "full", "message": "m\\\\u001b[2J", "self": 1}}\\n\')',
}
_SCRIPT = """#!{python}
import json, os, sys, time
HELLO, STATUS = {hello!r}, {status!r}
number = 0
def write(data, *_):
    view = memoryview(data)
    while view:
        view = view[os.write(1, view):]
def answer(ok):
    global number
    sys.stdin.readline()
    number += 1
    write(json.dumps(dict(id=number, ok=json.loads(ok))).encode() + b"\\n")
try:
    {what}
except OSError:
    pass
"""


def program(path: Path, what: str, hello: object = None, status: object = None) -> Path:
    """An executable that does `what` of PROGRAMS in place of an agent, whatever its arguments."""
    facts = {"python": sys.executable, "hello": json.dumps(hello), "status": json.dumps(status)}
    path.write_text(_SCRIPT.format(what=PROGRAMS[what], **facts))
    path.chmod(0o755)
    return path
