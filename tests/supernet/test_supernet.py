# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgenas.spaces.architecture import Architecture
from edgenas.spaces.network import network
from edgenas.spaces.operators import STAGE_OPERATORS
from edgenas.spaces.space import SearchSpace
from edgenas.supernet.paths import Paths
from edgenas.supernet.supernet import Supernet


def alone(net: Supernet, architecture: Architecture) -> nn.Sequential:
    """A stand-alone network with the path's weights, using batch statistics."""
    single = network(net.space.blocks(architecture), seed=1)
    layers = [layer for layer in single.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    with torch.no_grad():
        for layer, weight in zip(layers, net.slices(architecture), strict=True):
            layer.weight.copy_(weight)
        assert isinstance(layers[-1], nn.Linear)
        layers[-1].bias.copy_(net.head.bias)
    return single.train()


def images(space: SearchSpace, n: int = 16) -> Tensor:
    return torch.rand(n, *space.input_shape, generator=torch.Generator().manual_seed(0))


def test_every_path_computes_what_a_single_network_does(space: SearchSpace) -> None:
    net, rng, x = Supernet(space, seed=0), np.random.default_rng(0), images(space)
    seen = set()
    for _ in range(80):
        architecture = net.paths.sample(rng)
        seen |= {(index, stage.operator) for index, stage in enumerate(architecture.stages)}
        torch.testing.assert_close(net(x, architecture), alone(net, architecture)(x), rtol=1e-4, atol=1e-4)
    assert seen == {(index, operator) for index in range(2) for operator in STAGE_OPERATORS}


def test_a_path_of_the_shipped_space_computes_what_a_single_network_does() -> None:
    space = SearchSpace.load("tiny", (3, 13, 11), 4)  # odd sizes, colour
    net, rng, x = Supernet(space, seed=0), np.random.default_rng(1), images(space)
    for _ in range(10):
        architecture = net.paths.sample(rng)
        torch.testing.assert_close(net(x, architecture), alone(net, architecture)(x), rtol=1e-4, atol=1e-4)


def test_evaluation_mode_uses_the_batch_too(space: SearchSpace) -> None:
    net, x = Supernet(space, seed=0), images(space)
    architecture = net.paths.sample(np.random.default_rng(0))
    torch.testing.assert_close(net.train()(x, architecture), net.eval()(x, architecture))


def test_every_weight_is_reached_by_some_path(space: SearchSpace) -> None:
    net, rng, x = Supernet(space, seed=0), np.random.default_rng(0), images(space)
    target = torch.arange(len(x)) % space.classes
    for _ in range(150):
        nn.functional.cross_entropy(net(x, net.paths.sample(rng)), target).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_a_small_kernel_is_the_centre_of_the_large_one(space: SearchSpace) -> None:
    net = Supernet(space, seed=0)
    large, small = (Architecture.parse(f"stem-4s1/separable-4x1k{k}/separable-8x1k3") for k in (5, 3))
    torch.testing.assert_close(net.slices(large)[1][..., 1:4, 1:4], net.slices(small)[1])


def test_the_seed_decides_the_weights_and_leaves_the_generator_alone(space: SearchSpace) -> None:
    before = torch.random.get_rng_state()
    first, again, other = Supernet(space, 0), Supernet(space, 0), Supernet(space, 1)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(first.head.weight, again.head.weight)
    assert not torch.equal(first.head.weight, other.head.weight)


def test_paths_are_in_the_space_and_operators_have_equal_chances(space: SearchSpace) -> None:
    paths, rng = Paths(space), np.random.default_rng(0)
    drawn = [paths.sample(rng) for _ in range(2000)]
    assert all(space.contains(a) for a in drawn)
    shares = [sum(a.stages[0].operator == operator for a in drawn) / len(drawn) for operator in STAGE_OPERATORS]
    equal = 1 / len(STAGE_OPERATORS)
    assert shares == pytest.approx([equal] * len(shares), abs=0.04)
    anchored = [paths.sample(rng, anchor=0.5) for _ in range(2000)]
    assert paths.anchor == "residual"
    residual = sum(a.stages[1].operator == "residual" for a in anchored) / len(anchored)
    assert residual == pytest.approx(0.5 + 0.5 * equal, abs=0.04)


def test_the_largest_path_has_the_most_weights(space: SearchSpace) -> None:
    paths, rng = Paths(space), np.random.default_rng(0)

    def weights(architecture: Architecture) -> int:
        walk = space.blocks(architecture)[1:-1]
        return sum(layer.weights for block in walk for layer in block.layers())

    drawn = [paths.sample(rng) for _ in range(3000)]
    for operators in (("plain", "mbconv"), ("residual", "residual"), ("separable", "fused")):
        for stride in space.stem_strides:
            largest = paths.largest(stride, operators)
            assert largest is not None
            assert space.contains(largest)
            rivals = [a for a in drawn if a.stem_stride == stride and tuple(s.operator for s in a.stages) == operators]
            assert weights(largest) >= max(map(weights, rivals))
    assert all(space.contains(paths.sample_largest(rng)) for _ in range(20))


def test_a_space_without_architectures_is_refused(space: SearchSpace) -> None:
    with pytest.raises(ValueError, match="allows no architecture"):
        Paths(replace(space, stage_macs_per_pixel=1))
