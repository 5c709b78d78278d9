# SPDX-License-Identifier: Apache-2.0
"""What a model is refused for: the reason that says most, and the way out, in one short line whatever it names."""

from __future__ import annotations

import ast
import os
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from helpers.plan.refusal_cases import CASES, CUSTOM_OF_TWO, FLOATS, LIMITS, LOOP, STATE, chain, changed, with_graph
from helpers.tflite_builder import Op, T, model, tflite

import firmware_tools.plan
from firmware_tools.errors import PlanError
from firmware_tools.plan import compile_plan
from firmware_tools.plan.lowering.graph import kinds

SHORT = 160  # characters: a file's name stands before them, and both are to be less than 200
LOWERING = ("context", "graph", "elementwise", "move", "weights")
PLAN = Path(firmware_tools.plan.__file__).parent
READS_MODELS = ("tflite_file", "support", "quantization", "tables", *(f"lowering/{name}" for name in LOWERING))
KINDS = {kind for kind in vars(tflite.BuiltinOperator) if not kind.startswith("_")}


def refused(whole: bytes) -> PlanError:
    with pytest.raises(PlanError) as caught:
        compile_plan(whole)
    return caught.value


def line(whole: bytes) -> str:
    """What the model is refused with; one short line."""
    text = str(refused(whole))
    assert "\n" not in text
    assert len(text) < SHORT
    return text


@pytest.mark.parametrize("case", CASES)
def test_the_line_says_the_reason_and_then_the_way_out(case: str) -> None:
    whole, reason, way = CASES[case]
    text = line(whole)
    assert reason in text
    assert way in text.partition(reason)[2]


@pytest.mark.parametrize(("limit", "value", "whole", "reason", "way"), LIMITS)
def test_limits(limit: str, value: int, whole: bytes, reason: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"firmware_tools.plan.{limit}", value)
    text = line(whole)
    assert reason in text
    assert way in text.partition(reason)[2]


@pytest.mark.parametrize("case", [case for case in CASES if case not in ("not a model", "cut off", "no graph")])
def test_long_names_leave_the_line_short(case: str) -> None:
    def lengthen(objects: Any) -> None:
        for number, tensor in enumerate(objects.subgraphs[0].tensors):
            tensor.name = f"model/block_{number}/depthwise;" * 40

    line(changed(CASES[case][0], lengthen))


@pytest.mark.parametrize(
    ("whole", "reason"),
    [
        (with_graph(STATE), "VAR_HANDLE"),
        (with_graph(chain(Op("CUSTOM", [0], [1]), Op("READ_VARIABLE", [0], [2]))), "READ_VARIABLE"),
        (with_graph(LOOP), "WHILE"),
        (with_graph(CUSTOM_OF_TWO), "SignalFftAutoScale"),
        (changed(CUSTOM_OF_TWO, lambda m: setattr(m.subgraphs[0], "outputs", [1, 2])), "SignalFftAutoScale"),
        (model([FLOATS, T((1, -1), None, dtype="float32")], [Op("ELU", [0], [1])], [0], [1]), "ELU"),
        (model([FLOATS] * 3, [Op("SPLIT", [0], [1, 2])], [0], [1]), "SPLIT"),
        (model([FLOATS] * 3, [Op("QUANTIZE", [0], [2]), Op("DEQUANTIZE", [2], [1])], [0], [1]), "input t0 is float32"),
    ],
)
def test_of_several_reasons_the_one_that_says_most(whole: bytes, reason: str) -> None:
    assert reason in line(whole)


@pytest.mark.parametrize("kind", sorted(KINDS - kinds()))
def test_every_other_operator_is_named(kind: str) -> None:
    error = refused(chain(Op(kind, [0], [1])))
    assert f"operator 0 ({kind}) " in line(chain(Op(kind, [0], [1])))
    assert (error.fields["operator"], error.fields["name"]) == (0, kind)


def test_every_refusal_has_a_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """But the one of a missing package, which a test of its own hides."""
    seen = {_place(refused(whole)) for whole, _, _ in CASES.values()}
    for limit, value, whole, _, _ in LIMITS:
        with monkeypatch.context() as patch:
            patch.setattr(f"firmware_tools.plan.{limit}", value)
            seen.add(_place(refused(whole)))
    assert [place for place in _refusals() if not any(place[0] == file and at in place[1] for file, at in seen)] == []


def _place(error: PlanError) -> tuple[str, int]:
    """File, from the folder of the package on, and line of the `raise`."""
    trace: TracebackType | None = error.__traceback__
    found = ("", 0)
    while trace is not None:
        found = os.path.relpath(trace.tb_frame.f_code.co_filename, PLAN), trace.tb_lineno
        trace = trace.tb_next
    return found


def _refusals() -> list[tuple[str, range]]:
    """Every place at which a model is refused: file and lines."""
    found = []
    for name in READS_MODELS:
        for function in ast.walk(ast.parse((PLAN / f"{name}.py").read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef) and function.name != "_schema":
                raises = [node for node in ast.walk(function) if isinstance(node, ast.Raise)]
                found += [
                    (f"{name}.py", range(node.lineno, (node.end_lineno or node.lineno) + 1))
                    for node in raises
                    if any(word in ast.unparse(node) for word in ("refuse(", "PlanError("))
                ]
    return found
