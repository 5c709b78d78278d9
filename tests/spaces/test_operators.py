# SPDX-License-Identifier: Apache-2.0
"""What every block operator in the registry promises: its layers and its torch module are the same network."""

from __future__ import annotations

from itertools import product
from typing import cast

import pytest
import torch
from torch import nn

from edgenas.spaces.architecture import Architecture, Block, Stage
from edgenas.spaces.operators import BLOCK_OPERATORS, STAGE_OPERATORS
from edgenas.spaces.operators.base import DENSE_KERNEL

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("operator", BLOCK_OPERATORS)
@pytest.mark.parametrize(("stride", "c_out"), [(1, 8), (2, 8), (1, 12), (2, 12)])
def test_layers_and_torch_module_are_the_same_network(operator: str, stride: int, c_out: int) -> None:
    block = Block(operator, 8, c_out, 3, stride, 2, 9, 7)
    module = BLOCK_OPERATORS[operator].module(block).eval()
    with torch.inference_mode():
        shape = tuple(module(torch.zeros(2, 8, 9, 7)).shape)
    assert shape == ((2, c_out) if operator == "head" else (2, c_out, block.h_out, block.w_out))
    layers = [layer for layer in block.layers() if layer.weights]
    modules = [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert [layer.weights for layer in layers] == [m.weight.numel() for m in modules]
    assert (block.layers()[-1].kind == "add") == block.skip


@pytest.mark.parametrize("operator", STAGE_OPERATORS)
def test_a_skip_adds_the_input(operator: str) -> None:
    block = Block(operator, 8, 8, 3, 1, 2, 6, 6)
    module = BLOCK_OPERATORS[operator].module(block).eval()
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.zeros_(part.weight)
    x = torch.rand(1, 8, 6, 6)
    with torch.inference_mode():
        assert torch.equal(cast(torch.Tensor, module(x)), x if block.skip else torch.zeros_like(x))


@pytest.mark.parametrize("name", STAGE_OPERATORS)
def test_a_stage_is_written_with_the_genes_that_its_operator_has(name: str) -> None:
    operator = STAGE_OPERATORS[name]
    assert operator.name == name
    choices = list(product(operator.kernel_choices((3, 5)), operator.expansion_choices((3, 6))))
    for kernel, expansion in choices:
        text = f"stem-8s1/{name}-8x1"
        text += f"k{kernel}" if operator.has_kernels else ""
        text += f"e{expansion}" if operator.expansions else ""
        architecture = Architecture(1, 8, (Stage(name, 8, 1, kernel, expansion),))
        assert str(architecture) == text
        assert Architecture.parse(text) == architecture
    assert operator.has_kernels or {kernel for kernel, _ in choices} == {DENSE_KERNEL}
