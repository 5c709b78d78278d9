# SPDX-License-Identifier: Apache-2.0
"""The planned arena against the one that TensorFlow Lite allocates, to the byte."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from torch import nn

from edgenas.conversion import Converter
from edgenas.costs.tflite_arena import arena_bytes
from edgenas.spaces.architecture import Architecture
from edgenas.spaces.network import network
from edgenas.spaces.space import SearchSpace

# Of every operator; scratch buffers decide some, the order of placing others (the last one).
ARCHITECTURES = [
    "stem-8s2/separable-8x1k3/separable-16x1k3/separable-32x1k3",
    "stem-24s1/residual-8x3/fused-24x2e3/fused-32x3e3",
    "stem-16s2/mbconv-24x1k3e6/mbconv-48x2k5e6/mbconv-64x2k3e3",
    "stem-24s2/plain-16x3/fused-48x2e3/plain-32x2",
    "stem-24s2/separable-32x2k3/separable-64x2k3/separable-128x2k3",
]


@pytest.fixture(scope="module")
def converter() -> Iterator[Converter]:
    with Converter() as opened:
        yield opened


def allocated(tflite: bytes) -> int:
    """From the first to the last byte of the tensors that the interpreter placed; constants are elsewhere."""
    interpreter = Interpreter(
        model_content=tflite, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    interpreter.allocate_tensors()
    model = schema.ModelT.InitFromPackedBuf(tflite)
    tensors = model.subgraphs[0].tensors
    spans = []
    for detail in interpreter.get_tensor_details():
        index = detail["index"]  # scratch buffers come after the file's own tensors
        if index < len(tensors) and model.buffers[tensors[index].buffer].data is not None:
            continue
        view = interpreter.tensor(index)()
        start = view.__array_interface__["data"][0]
        spans.append((start, start + view.nbytes))
    return max(end for _, end in spans) - min(start for start, _ in spans)


def settled(net: nn.Module, images: np.ndarray) -> nn.Module:
    """With the statistics of the images: else activations vanish with depth, and int8 scales are refused."""
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        net.train()(torch.from_numpy(images).permute(0, 3, 1, 2))
    return net.eval()


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 15, 20)])
def test_the_arena_is_the_one_that_tensorflow_lite_plans(shape: tuple[int, int, int], converter: Converter) -> None:
    space = SearchSpace.load("tiny", shape, 10)
    images = np.random.default_rng(0).random((8, *shape[1:], shape[0]), np.float32)
    walks = [space.blocks(Architecture.parse(text)) for text in ARCHITECTURES]
    modules = (settled(network(blocks, 0), images) for blocks in walks)
    for blocks, converted in zip(walks, converter.convert_many(modules, shape, "int8", images), strict=True):
        assert arena_bytes(blocks, "int8") == allocated(converted.tflite)
        assert arena_bytes(blocks, "float32") == allocated(converted.float_tflite)
