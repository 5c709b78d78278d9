# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from math import ceil
from pathlib import Path

import pytest
from helpers.conversion_operators import operators
from hypothesis import given, settings
from hypothesis import strategies as st

from edgenas.conversion import Converter
from edgenas.errors import UsageError
from edgenas.spaces.architecture import Architecture, Block, Stage
from edgenas.spaces.network import network
from edgenas.spaces.operators import STAGE_OPERATORS
from edgenas.spaces.space import SearchSpace

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 96, 96)]
TINY = SearchSpace.load("tiny", (1, 28, 28), 10)
TEXT = (Path(__file__).parents[2] / "models" / "tiny.toml").read_text(encoding="utf-8")
Architectures = Callable[[SearchSpace], st.SearchStrategy[Architecture]]


def stages() -> st.SearchStrategy[Stage]:
    """Any stage that can be written, not only those of a space."""

    def make(operator: str, width: int, blocks: int, kernel: int, expansion: int) -> Stage:
        (kernel,) = STAGE_OPERATORS[operator].kernel_choices((kernel,))
        (expansion,) = STAGE_OPERATORS[operator].expansion_choices((expansion,))
        return Stage(operator, width, blocks, kernel, expansion)

    number = st.integers(1, 999)
    return st.builds(make, st.sampled_from(tuple(STAGE_OPERATORS)), number, number, number, number)


@given(st.builds(Architecture, st.integers(1, 9), st.integers(1, 999), st.lists(stages(), min_size=1).map(tuple)))
@settings(deadline=None, max_examples=100)
def test_what_is_written_is_read_back(architecture: Architecture) -> None:
    assert Architecture.parse(str(architecture)) == architecture


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", ""),
        ("stem-16s2", "stem-16s2"),
        ("16s2/plain-16x1", "16s2/plain-16x1"),
        ("stem-16s2/", ""),
        ("stem-16s2/plain16x1", "plain16x1"),
        ("stem-16s2/dense-16x1", "dense-16x1"),
        ("stem-16s2/plain-16x1/mbconv-16", "mbconv-16"),
        ("stem-16s2/plain--16x1", "plain--16x1"),
        ("stem-16s2/residual-16x1k5", "residual-16x1k5"),  # there is no kernel to choose: it would be dropped
        ("stem-16s2/separable-16x1k5e3", "separable-16x1k5e3"),
    ],
)
def test_a_text_that_is_no_architecture_is_refused(text: str, part: str) -> None:
    with pytest.raises(UsageError, match=re.escape(repr(part)) + " is not of the form") as caught:
        Architecture.parse(text)
    assert caught.value.fields["value"] == part


@pytest.mark.parametrize("shape", SHAPES)
def test_the_shipped_space_is_bound_to_any_input(shape: tuple[int, int, int]) -> None:
    space = SearchSpace.load("tiny", shape, 7)
    assert (space.name, space.input_shape, space.classes) == ("tiny", shape, 7)
    assert set(space.operators) <= set(STAGE_OPERATORS)
    assert any(template.baseline for template in space.templates)
    smallest = Stage("separable", space.stages[0].widths[0], 1, 3, 1)
    small = (replace(smallest, width=choices.widths[0]) for choices in space.stages)
    assert space.contains(Architecture(space.stem_strides[-1], space.stem_widths[0], tuple(small)))


@pytest.mark.parametrize("shape", [*SHAPES, (3, 15, 20), (1, 7, 9)])
@given(data=st.data())
@settings(deadline=None, max_examples=25)
def test_the_walk_is_one_chain(shape: tuple[int, int, int], data: st.DataObject, architectures: Architectures) -> None:
    space = SearchSpace.load("tiny", shape, 10)
    architecture = data.draw(architectures(space))
    walk = space.blocks(architecture)
    stem, *body, head = walk
    assert (stem.c_in, stem.h_in, stem.w_in) == shape
    assert (stem.operator, stem.c_out, stem.stride) == ("stem", architecture.stem_width, architecture.stem_stride)
    assert (head.operator, head.c_out) == ("head", 10)
    assert [b.operator for b in body] == [s.operator for s in architecture.stages for _ in range(s.blocks)]
    for before, after in pairwise(walk):
        assert (before.c_out, before.h_out, before.w_out) == (after.c_in, after.h_in, after.w_in)
    stride = architecture.stem_stride
    for choices in space.stages:
        stride *= choices.stride
    assert (head.h_in, head.w_in) == (ceil(shape[1] / stride), ceil(shape[2] / stride))


@given(data=st.data())
@settings(deadline=None, max_examples=50)
def test_a_blocks_layers_lead_from_its_input_to_its_output(data: st.DataObject, architectures: Architectures) -> None:
    for block in TINY.blocks(data.draw(architectures(TINY))):
        layers = block.layers()
        projection = (block.c_in, block.h_in, block.w_in)
        first, last = layers[0], layers[-1]
        assert (first.c_in, first.h_in, first.w_in) == projection
        assert last.c_out == block.c_out
        if block.operator != "head":
            assert (last.h_out, last.w_out) == (block.h_out, block.w_out)
        assert (last.kind == "add") == block.skip
        chain = [layer for layer in layers if layer.kind != "add"][: -1 if block.projected else None]
        for before, after in pairwise(chain):
            assert (before.c_out, before.h_out, before.w_out) == (after.c_in, after.h_in, after.w_in)


CONVERTED = [
    f"stem-8s{stride}/{body}"
    for stride in (1, 2)
    for body in (
        "residual-8x1/mbconv-16x2k5e3/separable-32x2k5",  # with and without a projection, a skip
        "separable-16x1k3/fused-24x2e3/residual-32x2",
        "mbconv-8x1k3e6/plain-16x2/plain-32x1",
    )
]


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 15, 20), (1, 7, 9), (1, 28, 28)])
@pytest.mark.parametrize("text", CONVERTED)
def test_layers_are_what_the_converted_model_runs(converter: Converter, shape: tuple[int, int, int], text: str) -> None:
    blocks = SearchSpace.load("tiny", shape, 10).blocks(Architecture.parse(text))
    found = operators(converter.to_float(network(blocks, 0).eval(), shape))
    layers = [layer for block in blocks for layer in block.layers()]
    expected = [
        (
            layer.kind,
            (layer.h_in, layer.w_in, layer.c_in),
            (layer.h_out, layer.w_out, layer.c_out),
            layer.kernel if layer.kind in ("conv", "depthwise") else 1,
        )
        for layer in layers
    ]
    # Operators that do not depend on each other (a projection and the body) may come in another order.
    assert sorted((o.kind, o.source, o.target, o.kernel) for o in found) == sorted(expected)
    order = [[o.kind for o in run if o.kind != "conv1x1"] for run in (found, layers)]
    assert order[0] == order[1]


def test_skip_and_projection_follow_the_shapes() -> None:
    def block(operator: str, c_out: int, stride: int) -> Block:
        return Block(operator, 16, c_out, 3, stride, 3, 8, 8)

    for operator in ("mbconv", "fused"):
        assert [block(operator, *how).skip for how in ((16, 1), (16, 2), (24, 1))] == [True, False, False]
        assert not block(operator, 24, 2).projected
    assert [block("residual", *how).projected for how in ((16, 1), (16, 2), (24, 1))] == [False, True, True]
    assert all(block("residual", *how).skip for how in ((16, 1), (16, 2), (24, 1)))
    assert not any(block(operator, 16, 1).skip for operator in ("plain", "separable", "stem", "head"))


GOOD = Architecture.parse("stem-8s2/residual-8x1/mbconv-16x2k5e6/fused-32x1e3")


def changed(index: int, **genes: object) -> Architecture:
    stages = list(GOOD.stages)
    stages[index] = replace(stages[index], **genes)
    return replace(GOOD, stages=tuple(stages))


@pytest.mark.parametrize(
    "other",
    [
        replace(GOOD, stem_stride=3),
        replace(GOOD, stem_stride=0),
        replace(GOOD, stem_width=9),
        replace(GOOD, stages=GOOD.stages[:2]),
        replace(GOOD, stages=(*GOOD.stages, GOOD.stages[2])),
        changed(0, width=64),  # a choice of the next stage
        changed(0, blocks=4),
        changed(0, blocks=0),
        changed(0, blocks=10**9),  # must be refused without walking them
        changed(0, kernel=5),  # dense
        changed(0, expansion=3),
        changed(1, kernel=7),
        changed(1, expansion=4),
        changed(2, expansion=6),  # fused takes the smallest expansion only
        changed(2, operator="dense"),
        changed(2, width=128, blocks=3),  # over the MACs of a stage
    ],
    ids=repr,
)
def test_one_gene_outside_the_choices_is_outside_the_space(other: Architecture) -> None:
    assert TINY.contains(GOOD)
    assert not TINY.contains(other)


@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_chosen_genes_are_contained_unless_a_stage_is_too_expensive(
    data: st.DataObject, architectures: Architectures
) -> None:
    architecture = data.draw(architectures(TINY))
    blocks = TINY.blocks(architecture)
    ends = [1]
    for stage in architecture.stages:
        ends.append(ends[-1] + stage.blocks)
    parts = [blocks[a:b] for a, b in pairwise(ends)]
    spent = [
        sum(x.macs * (TINY.depthwise_weight if x.kind == "depthwise" else 1) for b in part for x in b.layers())
        for part in parts
    ]
    assert TINY.contains(architecture) == all(total <= TINY.stage_macs_per_pixel * 28 * 28 for total in spent)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[stem]", "[stems]"), "key 'stem' is missing"),
        (("operators = ", "operator = "), "key 'operators' is missing"),
        (("kernels = ", "# "), "key 'kernels' is missing"),
        (("stage_macs_per_pixel = ", "macs = "), "key 'stage_macs_per_pixel' is missing"),
        (("name = ", "title = "), "key 'name' is missing"),
        (("[[stages]]", "[[stage]]"), "key 'stages' is missing"),
        (("stride = 2\n", "step = 2\n"), "key 'stride' is missing"),
        (("ratio = [1, 2, 4]", ""), "key 'ratio' is missing"),
        (('"fused"', '"fussed"'), r"operators \['fussed'\] are not among plain, residual"),
        (('operator = "residual"', 'operator = "resnet"'), r"operators \['resnet'\] are not among plain, residual"),
        (('operators = ["plain", "residual", "mbconv", "fused", "separable"]', "operators = []"), "not among plain"),
        (("strides = [1, 2]", "strides = []"), r"strides = \[\] must be a list of positive whole numbers"),
        (("strides = [1, 2]", "strides = 1"), "strides = 1 must be a list of positive whole numbers"),
        (("kernels = [3, 5]", "kernels = [0, 3]"), r"kernels = \[0, 3\] must be"),
        (("kernels = [3, 5]", "kernels = [3, 4.5]"), r"kernels = \[3, 4.5\] must be"),
        (("kernels = [3, 5]", 'kernels = "35"'), "kernels = '35' must be"),
        (("blocks = [1, 1, 1]", "blocks = [1, 1]"), "template 'resnet8' has not one entry .* for each of 3 stages"),
        (('name = "tiny"', 'name = "tiny'), "not valid TOML"),
        (("[[stages]]", "[stages]"), "not valid TOML"),  # twice the same table
    ],
    ids=lambda value: value if isinstance(value, str) else value[0].strip(),
)
def test_a_damaged_space_file_is_named_with_its_key(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    file = tmp_path / "mine.toml"
    assert change[0] in TEXT
    file.write_text(TEXT.replace(*change), encoding="utf-8")
    with pytest.raises(UsageError, match=message) as caught:
        SearchSpace.load(file, (1, 8, 8), 10)
    assert str(caught.value).startswith(f"{file}: ")
    assert caught.value.fields["file"] == str(file)
    assert "\n" not in caught.value.message


def test_a_space_without_stages_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("stages = []\n" + TEXT.split("[[stages]]")[0], encoding="utf-8")
    with pytest.raises(UsageError, match="stages is empty"):
        SearchSpace.load(file, (1, 8, 8), 10)


def test_an_unknown_space_lists_the_shipped_ones(tmp_path: Path) -> None:
    for source in ("tinny", tmp_path / "absent.toml"):
        with pytest.raises(UsageError, match=r"shipped are tiny, or name a \.toml file") as caught:
            SearchSpace.load(source, (1, 8, 8), 10)
        assert repr(str(source)) in caught.value.message


def test_a_space_that_is_no_text_file_is_refused(tmp_path: Path) -> None:
    folder, binary = tmp_path / "folder.toml", tmp_path / "binary.toml"
    folder.mkdir()
    binary.write_bytes(b"\xff\xfe name")
    for path in (folder, binary):
        with pytest.raises(UsageError, match=re.escape(str(path)) + "( cannot be read: |: not UTF-8)"):
            SearchSpace.load(path, (1, 8, 8), 10)


def test_a_users_own_space_is_read(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(TEXT.replace('name = "tiny"', 'name = "mine"').replace("widths = [8, 16, 24, 32]", "widths = [4]"))
    space = SearchSpace.load(str(file), (1, 8, 8), 3)
    assert (space.name, space.stem_widths, space.classes) == ("mine", (4,), 3)
    assert space.templates == replace(TINY).templates
