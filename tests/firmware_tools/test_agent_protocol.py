# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64
import platform
import sys
from pathlib import Path

import pytest
from helpers.firmware_tools.raw_agent import RawAgent, active_model, sha256

from firmware_tools.agent.parts import system
from firmware_tools.connect import connect


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    ("kernel", "wide", "said"),
    [
        ("aarch64", True, "aarch64"),
        ("aarch64", False, "armv7l"),
        ("armv7l", False, "armv7l"),
        ("x86_64", False, "i686"),
    ],
)
def test_the_programs_architecture_counts_and_not_the_kernels(
    monkeypatch: pytest.MonkeyPatch, kernel: str, wide: bool, said: str
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: kernel)
    monkeypatch.setattr(sys, "maxsize", 2 ** (63 if wide else 31) - 1)
    assert system.machine() == said


def test_the_first_answer_names_the_protocol_and_eof_ends_the_agent(root: Path) -> None:
    agent = RawAgent(root)
    answer = agent.ask("hello")
    assert answer["ok"]["protocol"] == 2
    assert answer["ok"]["runtimes"][0][0] == "litert"
    assert agent.close() == 0


@pytest.mark.parametrize(
    "line",
    [b" ", b"hello", b"{", b"[]", b"3", b"null", b'{"do": "hello"}', b"\xff\xfe\x00", b"[" * 100_000, b"x" * (9 << 20)],
    ids=["blank", "word", "cut", "list", "number", "null", "no id", "no text", "deep", "too long"],
)
def test_garbage_is_answered_and_the_agent_lives_on(root: Path, line: bytes) -> None:
    with RawAgent(root) as agent:
        agent.write(line)
        answer = agent.read()
        assert answer["id"] is None
        assert answer["error"]["kind"] == "request"
        assert "ok" in agent.ask("status")


def test_an_empty_line_has_no_answer(root: Path) -> None:
    with RawAgent(root) as agent:
        agent.write(b"\n\n")
        assert "ok" in agent.ask("status")


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"do": "dance"}, "unknown request 'dance'"),
        ({"do": ["hello"]}, "field do"),
        ({"do": "put"}, "field sha256"),
        ({"do": "put", "sha256": "../../../etc/passwd", "bytes": 3}, "64 lower-case hex"),
        ({"do": "put", "sha256": "0" * 64 + "\n", "bytes": 3}, "64 lower-case hex"),
        ({"do": "put", "sha256": "0" * 64, "bytes": True}, "field bytes"),
        ({"do": "put", "sha256": "0" * 64, "bytes": 0}, "bytes 0"),
        ({"do": "put", "sha256": "0" * 64, "bytes": 3, "offset": 0, "data": "?"}, "base64"),
        ({"do": "stage", "sha256": "0" * 64, "manifest": {}}, "no bytes with sha256"),
        ({"do": "stage", "sha256": "0" * 64}, "field manifest"),
        ({"do": "time", "models": ["0" * 64]}, "no bytes with sha256"),
        ({"do": "time", "models": []}, "field processes"),
    ],
)
def test_a_request_that_cannot_be_understood_is_answered(root: Path, request_: dict[str, object], says: str) -> None:
    with RawAgent(root) as agent:
        answer = agent.ask(**request_)  # type: ignore[arg-type]
        assert answer["error"]["kind"] == "request"
        assert says in answer["error"]["message"]
        assert "ok" in agent.ask("status")


def test_a_truncated_put_resumes_in_the_next_session(root: Path, models: list[bytes]) -> None:
    model = models[0]
    half = len(model) // 2
    what = {"sha256": sha256(model), "bytes": len(model)}
    agent = RawAgent(root)
    assert agent.ask("put", **what, offset=0, data=encoded(model[:half]))["ok"] == {"have": half}
    agent.process.kill()
    agent.close()
    with RawAgent(root) as agent:
        assert agent.ask("put", **what)["ok"] == {"have": half}
        refused = agent.ask("put", **what, offset=0, data=encoded(model[:1]))["error"]
        assert (refused["kind"], refused["have"]) == ("offset", half)
        assert agent.ask("put", **what, offset=half, data=encoded(model[half:]))["ok"] == {"have": len(model)}
        assert agent.ask("put", **what)["ok"] == {"have": len(model)}
        assert agent.ask("stage", sha256=what["sha256"], manifest={})["ok"]["valid"]


def test_a_partial_upload_that_rotted_is_sent_again_from_the_start(root: Path, models: list[bytes]) -> None:
    with RawAgent(root) as agent:
        agent.ask("put", sha256=sha256(models[0]), bytes=len(models[0]), offset=0, data=encoded(b"rotten"))
    (root / "scratch" / f"{sha256(models[1])}.part").write_bytes(bytes(len(models[1])))
    with connect(f"local:?root={root}", home=root) as device:
        for model in models[:2]:
            device.stage(model, {})
            device.commit()
    assert active_model(root) == models[1]


def test_bytes_that_came_by_another_way_are_compared_and_taken_in(root: Path, models: list[bytes]) -> None:
    with RawAgent(root) as agent:
        for model, brought, have in (
            (models[0], models[0], len(models[0])),
            (models[1], models[1][:-9], len(models[1]) - 9),
            (models[2], models[2] + b"!", 0),
        ):
            what = {"sha256": sha256(model), "bytes": len(model)}
            agent.ask("put", **what)
            (root / "scratch" / f"{what['sha256']}.part").write_bytes(brought)
            assert agent.ask("put", **what)["ok"] == {"have": have}
        assert agent.ask("stage", sha256=sha256(models[0]), manifest={})["ok"]["valid"]
        (root / "scratch" / f"{sha256(models[1])}.part").write_bytes(bytes(len(models[1])))
        assert agent.ask("put", sha256=sha256(models[1]), bytes=len(models[1]))["ok"] == {"have": 0}


def test_bytes_with_another_sha256_are_refused_and_removed(root: Path, models: list[bytes]) -> None:
    with RawAgent(root) as agent:
        what = {"sha256": sha256(models[0]), "bytes": len(models[1])}
        refused = agent.ask("put", **what, offset=0, data=encoded(models[1]))["error"]
        assert refused["kind"] == "transfer"
        assert refused["got"] == sha256(models[1])
        assert agent.ask("put", **what)["ok"] == {"have": 0}


def test_a_folder_that_cannot_be_made_is_the_first_answer(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    agent = RawAgent(tmp_path / "file" / "device")
    assert agent.ask("hello")["error"]["kind"] == "folder"
    assert agent.close() == 1
