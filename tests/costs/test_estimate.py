# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np
import pytest
import torch
from helpers.conversion_operators import peak_bytes
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edgenas.conversion import Converter, describe
from edgenas.costs import estimate
from edgenas.spaces.architecture import Architecture, Block, Stage
from edgenas.spaces.network import network
from edgenas.spaces.space import SearchSpace

SPACES = {shape: SearchSpace.load("tiny", shape, 10) for shape in [(1, 8, 8), (3, 15, 20), (1, 28, 28), (3, 32, 32)]}
Architectures = Callable[[SearchSpace], st.SearchStrategy[Architecture]]
pytestmark = pytest.mark.usefixtures("one_thread")


def counted_macs(net: nn.Module, shape: tuple[int, int, int]) -> int:
    """Multiply-accumulates of torch's own layers while an image goes through."""
    total = 0

    def count(layer: nn.Module, _: object, output: torch.Tensor) -> None:
        nonlocal total
        if isinstance(layer, nn.Conv2d):
            total += output.numel() * layer.in_channels // layer.groups * prod(layer.kernel_size)
        elif isinstance(layer, nn.Linear):
            total += output.numel() * layer.in_features

    for layer in net.modules():
        layer.register_forward_hook(count)
    with torch.inference_mode():
        net.eval()(torch.zeros(1, *shape))
    return total


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 15, 20)])
@given(data=st.data())
@settings(deadline=None, max_examples=15)
def test_macs_and_parameters_are_those_of_the_torch_module(
    shape: tuple[int, int, int], data: st.DataObject, architectures: Architectures
) -> None:
    space = SPACES[shape]
    blocks = space.blocks(data.draw(architectures(space)))
    net = network(blocks, 0)
    assert estimate.macs(blocks) == counted_macs(net, shape)
    # Folded, a batch normalisation's scale and offset become one bias for each channel.
    folded = sum(layer.num_features for layer in net.modules() if isinstance(layer, nn.BatchNorm2d))
    assert estimate.parameters(blocks) == sum(p.numel() for p in net.parameters()) - folded


def random_architecture(space: SearchSpace, seed: int) -> Architecture:
    """Every operator has the same chance in a stage."""
    rng = np.random.default_rng(seed)
    stages = []
    for choices in space.stages:
        operator = str(rng.choice(space.operators))
        body = [b for b in space.stage_bodies() if b[0] == operator]
        name, blocks, kernel, expansion = body[rng.integers(len(body))]
        stages.append(Stage(name, int(rng.choice(choices.widths)), blocks, kernel, expansion))
    width, stride = int(rng.choice(space.stem_widths)), int(rng.choice(space.stem_strides))
    return Architecture(stride, width, tuple(stages))


@pytest.mark.parametrize(("shape", "seed"), [(shape, seed) for shape in SPACES for seed in (1, 2)])
def test_estimates_against_the_converted_files(converter: Converter, shape: tuple[int, int, int], seed: int) -> None:
    space = SPACES[shape]
    blocks = space.blocks(random_architecture(space, seed))
    images = np.random.default_rng(seed).random((2, shape[1], shape[2], shape[0]), np.float32)
    converted = converter.convert(network(blocks, seed).eval(), shape, "int8", images)
    for precision, tflite in (("int8", converted.tflite), ("float32", converted.float_tflite)):
        assert estimate.flash_bytes(blocks, precision) == pytest.approx(len(tflite), rel=0.01)
        peak = peak_bytes(tflite)
        assert peak <= estimate.ram_bytes(blocks, precision) <= 1.1 * peak
        assert estimate.parameters(blocks) == describe(tflite).parameters


def test_ram_of_a_residual_block_with_a_projection() -> None:
    block = Block("residual", 8, 16, 3, 2, 1, 10, 10)
    source, padded, target = 10 * 10 * 8, 12 * 12 * 8, 5 * 5 * 16
    # While the first convolution runs: the block's input (the projection needs it), its padded copy, the output.
    assert estimate.block_ram_bytes(block, "int8") == source + padded + target
    assert estimate.block_ram_bytes(block, "float32") == 4 * (source + padded + target)


def test_ram_of_a_residual_block_with_a_wide_output_is_at_its_end() -> None:
    block = Block("residual", 4, 16, 3, 1, 1, 8, 8)
    source, target = 8 * 8 * 4, 8 * 8 * 16
    # The addition reads two outputs and writes a third; the second convolution holds the input and two outputs.
    assert source + 2 * target < 3 * target == estimate.block_ram_bytes(block, "int8")


def test_ram_of_an_inverted_bottleneck_holds_its_input_for_the_skip() -> None:
    inside, hidden = 8 * 8 * 16, 8 * 8 * 96
    assert estimate.block_ram_bytes(Block("mbconv", 16, 16, 3, 1, 6, 8, 8), "int8") == inside + 2 * hidden
    assert estimate.block_ram_bytes(Block("mbconv", 16, 24, 3, 1, 6, 8, 8), "int8") == 2 * hidden  # nothing to add


def test_ram_of_a_network_is_its_most_expensive_blocks() -> None:
    blocks = SPACES[(1, 8, 8)].blocks(Architecture.parse("stem-8s1/plain-8x1/mbconv-16x1k3e6/plain-32x1"))
    per_block = [estimate.block_ram_bytes(block, "int8") for block in blocks]
    # The third block, while its depthwise convolution is padded: 8x8 becomes 10x10, both with 48 channels.
    assert estimate.ram_bytes(blocks, "int8") == max(per_block) == per_block[2] == (8 * 8 + 10 * 10) * 48


def test_a_block_is_charged_its_part_of_the_file() -> None:
    blocks = SPACES[(1, 8, 8)].blocks(Architecture.parse("stem-8s1/plain-8x1/mbconv-16x1k3e6/plain-32x1"))
    for precision in ("int8", "float32"):
        parts = [estimate.block_flash_bytes(block, precision) for block in blocks]
        assert estimate.flash_bytes(blocks, precision) - estimate.flash_bytes(blocks[:-1], precision) == parts[-1]
        assert estimate.flash_bytes([], precision) + sum(parts) == estimate.flash_bytes(blocks, precision)
