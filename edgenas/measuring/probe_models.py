# SPDX-License-Identifier: Apache-2.0
"""Networks with random weights, converted: latency does not depend on weights, so none are trained to be measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgenas.boards.board import Precision
from edgenas.conversion import Converter
from edgenas.runtimes.runtime import Format
from edgenas.spaces.architecture import Architecture
from edgenas.spaces.space import SearchSpace

if TYPE_CHECKING:  # torch is heavy
    from torch import nn

_CALIBRATION_IMAGES = 4  # random weights need ranges, not good ones


def convert(
    format: Format,
    converter: Converter,
    space: SearchSpace,
    architectures: Sequence[Architecture],
    precision: Precision,
) -> Iterator[bytes]:
    """A model file of random weights for each architecture, one by one. Raises ConversionError."""
    return _CONVERTERS[format](converter, space, architectures, precision)


def _tflite(
    converter: Converter, space: SearchSpace, architectures: Sequence[Architecture], precision: Precision
) -> Iterator[bytes]:
    """A .tflite file for each, one by one. Raises ConversionError."""
    from edgenas.spaces.network import one_thread

    modules = (_random_network(space, architecture) for architecture in architectures)
    with one_thread():
        for converted in converter.convert_many(modules, space.input_shape, precision, _images(space)):
            yield converted.tflite


def _onnx(
    converter: Converter, space: SearchSpace, architectures: Sequence[Architecture], precision: Precision
) -> Iterator[bytes]:
    """An ONNX file for each, one by one. Raises ConversionError."""
    from edgenas.conversion.tensorrt import int8_network, to_tensorrt

    for architecture in architectures:
        net = _random_network(space, architecture)
        yield to_tensorrt(int8_network(net, _images(space)) if precision == "int8" else net, space.input_shape)


def _images(space: SearchSpace) -> NDArray[np.float32]:
    channels, height, width = space.input_shape
    return np.random.default_rng(0).random((_CALIBRATION_IMAGES, height, width, channels), np.float32)


def _random_network(space: SearchSpace, architecture: Architecture) -> nn.Module:
    """Random weights with the statistics of random images.

    With a fresh network's statistics, activations vanish with depth; tflite-runtime then refuses the tiny int8 scales.
    """
    import torch

    from edgenas.spaces.network import network

    net = network(space.blocks(architecture), seed=0).train()
    for layer in net.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        net(torch.rand((8, *space.input_shape), generator=torch.Generator().manual_seed(0)))
    return net.eval()


_CONVERTERS: dict[Format, Callable[[Converter, SearchSpace, Sequence[Architecture], Precision], Iterator[bytes]]] = {
    "tflite": _tflite,
    "onnx": _onnx,
}
