# SPDX-License-Identifier: Apache-2.0
"""A file's plan is compiled once and kept, up to a few plans."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from helpers.tflite_builder import Op, T, model

from firmware_tools.errors import PlanError
from firmware_tools.plan import compile, compile_plan

_read = compile.tflite_file.read


def _relu(values: int) -> bytes:
    return model([T((1, values), 0.1), T((1, values), 0.1)], [Op("RELU", [0], [1])], [0], [1])


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """Every file that is compiled, from an empty store on."""
    files: list[bytes] = []

    def read(tflite: bytes, known: frozenset[str]) -> object:
        files.append(tflite)
        return _read(tflite, known)

    monkeypatch.setattr(compile.tflite_file, "read", read)
    compile._compiled.cache_clear()
    yield files
    compile._compiled.cache_clear()


def test_the_same_bytes_are_compiled_once(compiled: list[bytes]) -> None:
    first = compile_plan(_relu(4))
    assert compile_plan(bytes(bytearray(_relu(4)))) is first
    assert compile_plan(_relu(5)).blob != first.blob
    assert len(compiled) == 2


def test_few_plans_are_kept(compiled: list[bytes]) -> None:
    for values in range(1, 10):
        compile_plan(_relu(values))
    compile_plan(_relu(9))
    assert len(compiled) == 9
    compile_plan(_relu(1))
    assert len(compiled) == 10


def test_a_refusal_is_not_kept(compiled: list[bytes]) -> None:
    for _ in range(2):
        with pytest.raises(PlanError):
            compile_plan(b"no model")
    assert len(compiled) == 2
