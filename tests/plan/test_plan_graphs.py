# SPDX-License-Identifier: Apache-2.0
"""Random networks: whatever their operators read on, join or leave unread, the engine gives what TFLite Micro gives."""

from __future__ import annotations

import importlib.util
import shutil

import numpy as np
import pytest
from helpers.plan.engine_here import simulate
from helpers.plan.random_graphs import RandomGraph, expected, generate
from helpers.tflite_builder import Op, T, constant, model, run

from firmware_tools.mcu import measure
from firmware_tools.plan import compile_plan, support
from firmware_tools.plan.compile import Plan
from firmware_tools.plan.graph import Operator
from firmware_tools.plan.lowering.graph import kinds

pytest.importorskip("tflite_micro", reason="tflite-micro has no wheel for this Python")

SEEDS = 50  # `make campaign-graphs` does 1,000
BOARDS = {"qemu": shutil.which("qemu-system-arm"), "unicorn": importlib.util.find_spec("unicorn")}


@pytest.fixture(scope="module")
def graphs() -> list[RandomGraph]:
    return [generate(seed) for seed in range(SEEDS)]


def test_random_graphs(graphs: list[RandomGraph]) -> None:
    for seed, graph in enumerate(graphs):
        plan = compile_plan(graph.tflite)
        np.testing.assert_array_equal(simulate(plan.blob, graph.inputs), expected(graph), f"seed {seed}")
        assert tuple(operator.index for operator in plan.unused) == graph.unused
        assert max(operator.live_bytes for operator in plan.operators) <= plan.arena_bytes


def test_the_graphs_are_what_they_are_for(graphs: list[RandomGraph]) -> None:
    assert {kind for graph in graphs for kind in graph.kinds} == kinds()
    assert sum(len(graph.unused) > 1 for graph in graphs) > SEEDS // 3
    assert sum(graph.read_on for graph in graphs) > SEEDS // 4
    assert sum(len(graph.unused) == 0 for graph in graphs) > 2
    assert sum(len(np.unique(expected(graph), axis=0)) > 1 for graph in graphs) > SEEDS * 3 // 4


def test_lifetimes_are_right_even_where_nothing_is_left_out(
    graphs: list[RandomGraph], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The layout is not right only because others read the output of none of the operators that it sees."""
    monkeypatch.setattr(support, "split", lambda operators, outputs: (tuple(operators), ()))
    for graph in [graph for graph in graphs if graph.read_on][:15]:
        plan = compile_plan(graph.tflite)
        assert len({operator.index for operator in plan.operators}) > len(graph.kinds) // 2
        np.testing.assert_array_equal(simulate(plan.blob, graph.inputs), expected(graph))


@pytest.mark.parametrize("emulator", BOARDS)
def test_boards_compute_the_same(graphs: list[RandomGraph], emulator: str) -> None:
    if not BOARDS[emulator]:
        pytest.skip(f"no {emulator}")
    for graph in [graph for graph in graphs if graph.read_on][:3]:
        blob = compile_plan(graph.tflite).blob
        for machine in ("mps2-an386", "mps2-an385"):
            report = measure(blob, [row.tobytes() for row in graph.inputs], machine, emulator)
            assert report.outputs == tuple(row.tobytes() for row in expected(graph))


def logits(*behind: Op) -> tuple[bytes, Plan]:
    """Logits that are the output, tensor 1, and operators behind them: tensors 2 and 3 are theirs."""
    tensors = [T((1, 8), 0.05, -10), T((1, 8), 0.1, 5), T((1, 8), 1 / 256, -128), T((1, 8), 1 / 256, -128), T((1, 8))]
    first = Op("LEAKY_RELU", [0], [1], {"Alpha": 0.5})
    tflite = model([*tensors, constant([1, 8], None, "int32")], [first, *behind], [0], [1])
    return tflite, compile_plan(tflite)


@pytest.mark.parametrize(
    "behind",
    [
        (Op("SOFTMAX", [1], [2], {"Beta": 1.0}),),
        (Op("SOFTMAX", [1], [2], {"Beta": 1.0}), Op("RELU6", [2], [3])),
        (Op("QUANTIZE", [1], [2]), Op("QUANTIZE", [2], [3])),
        (Op("ADD", [1, 0], [4]),),
        (Op("RESHAPE", [1, 5], [4]), Op("TANH", [4], [2])),
        (Op("DEQUANTIZE", [1], [4]),),  # one that the engine does not run
    ],
)
def test_what_is_behind_the_output_is_left_out(behind: tuple[Op, ...]) -> None:
    _, plan = logits(*behind)
    assert [operator.name for operator in plan.operators] == ["LEAKY_RELU"]
    assert [(op.index, op.name) for op in plan.unused] == [(1 + at, op.kind) for at, op in enumerate(behind)]
    x = np.arange(-64, 64, 16, dtype=np.int8).reshape(1, 1, 8)
    alone = logits()[0]
    assert plan.blob == compile_plan(alone).blob
    np.testing.assert_array_equal(simulate(plan.blob, x).reshape(1, 8), run(alone, x[0]))


def test_a_pad_that_an_unused_operator_reads_is_folded_all_the_same() -> None:
    tensors = [
        *(T((1, 4, 4, 1)), T((1, 6, 6, 1)), T((1, 4, 4, 1)), T((1, 6, 6, 1))),
        *(constant([[0, 0], [1, 1], [1, 1], [0, 0]], None, "int32"), constant(np.ones((1, 3, 3, 1)), 0.1)),
    ]
    window = {"StrideH": 1, "StrideW": 1, "Padding": 1, "DilationHFactor": 1, "DilationWFactor": 1}
    ops = [Op("PAD", [0, 4], [1]), Op("RELU6", [1], [3]), Op("CONV_2D", [1, 5], [2], window)]
    assert [operator.kind for operator in compile_plan(model(tensors, ops, [0], [2])).operators] == ["conv"]


def test_which_operators_are_unused() -> None:
    """Chains, circles, and one whose two results are unread; but not one that writes again what is needed."""
    edges = [
        ((0,), (1,)),
        ((1,), (2, 3)),
        ((3,), (4,)),
        ((5,), (6,)),
        ((6,), (5,)),
        ((1, -1), (7,)),
        ((), ()),
        ((2,), (1,)),
    ]
    operators = [Operator(index, "ADD", *edge) for index, edge in enumerate(edges)]
    used, unused = support.split(operators, [7])
    assert [operator.index for operator in used] == [0, 1, 5, 7]
    assert [operator.index for operator in unused] == [2, 3, 4, 6]
