# SPDX-License-Identifier: Apache-2.0
"""torch module to the ONNX file that TensorRT takes, in float32 or with int8 ranges written into it.

int8 is by explicit quantisation: a QuantizeLinear and a DequantizeLinear before every input of a convolution, its
weights included. TensorRT 8 and newer compute between them in int8; a calibration cache, the older way, is unknown to
TensorRT 11, and before it bound to the version that wrote it. By NVIDIA's rules (TensorRT guide, "Explicit
Quantization"): symmetric, weights by channel and stored in float32, the skip of a residual block quantised so that the
addition joins the convolution before it. The dense layer at the end stays in float: it takes next to nothing.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d
from torch.nn.utils.fusion import fuse_conv_bn_weights

from edgenas.conversion.export import to_onnx
from edgenas.spaces.operators.modules import Residual

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

OPSET = 13  # the newest that TensorRT 8.2 (JetPack 4.6) knows, and the oldest with scales by channel
_LEAST, _MOST = -128, 127


def to_tensorrt(module: nn.Module, input_shape: tuple[int, int, int]) -> bytes:
    """The ONNX file of `module`, as it is or as an `int8_network`; see `to_onnx`, which says what is raised."""
    onnx = to_onnx(module, input_shape, opset=OPSET)
    return _with_constants_of_their_own(onnx) if any(isinstance(m, _Quantise) for m in module.modules()) else onnx


def int8_network(module: nn.Module, calibration: npt.NDArray[np.float32]) -> nn.Module:
    """A copy of `module` (in eval mode) that computes as TensorRT does in int8: rounded where that rounds.

    `calibration` is (n, height, width, channels), at least one sample; ranges are the largest absolute values over
    them. Raises ValueError if there is none.
    """
    if len(calibration) == 0:
        raise ValueError("calibration holds no sample")
    copied = copy.deepcopy(module)
    _replace_convolutions(copied)
    for layer in copied.modules():
        if isinstance(layer, Residual):
            layer.projection = nn.Sequential(layer.projection or nn.Identity(), _Quantise())
    with torch.no_grad():
        copied(torch.from_numpy(np.ascontiguousarray(calibration.transpose(0, 3, 1, 2))))
    for layer in copied.modules():
        if isinstance(layer, _Quantise):
            layer.calibrated = True
    return copied.eval()


class _Quantise(nn.Module):
    """Rounds to int8 and back, by one scale; looks for the largest absolute value as long as it is not calibrated."""

    def __init__(self) -> None:
        super().__init__()
        self.largest, self.calibrated = 0.0, False

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, which stays."""
        if not self.calibrated:
            self.largest = max(self.largest, float(x.abs().max()))
            return x
        return torch.fake_quantize_per_tensor_affine(x, (self.largest or 1.0) / _MOST, 0, _LEAST, _MOST)


class _Convolution(nn.Module):
    """A convolution and the normalisation behind it as one, with int8 input and weights."""

    scale: Tensor
    zero_point: Tensor

    def __init__(self, source: nn.Conv2d, norm: nn.BatchNorm2d | None) -> None:
        super().__init__()
        weight, bias = source.weight, source.bias
        if norm is not None:
            assert norm.running_mean is not None
            assert norm.running_var is not None
            weight, bias = fuse_conv_bn_weights(
                weight, bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
            )
        largest = weight.detach().abs().amax((1, 2, 3))
        self.weight, self.bias = weight, bias
        self.register_buffer("scale", torch.where(largest > 0, largest / _MOST, 1.0))
        self.register_buffer("zero_point", torch.zeros(len(weight), dtype=torch.int32))
        self.quantise = _Quantise()
        self.stride, self.padding, self.groups = source.stride, source.padding, source.groups

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W')."""
        weight = torch.fake_quantize_per_channel_affine(self.weight, self.scale, self.zero_point, 0, _LEAST, _MOST)
        return conv2d(self.quantise(x), weight, self.bias, self.stride, self.padding, groups=self.groups)


def _replace_convolutions(module: nn.Module) -> None:
    """Put `_Convolution` in place of every convolution; the normalisation behind it goes into it."""
    children = list(module.named_children())
    for index, (name, child) in enumerate(children):
        if not isinstance(child, nn.Conv2d):
            _replace_convolutions(child)
            continue
        after, norm = children[index + 1] if index + 1 < len(children) else ("", None)
        if isinstance(norm, nn.BatchNorm2d):
            setattr(module, after, nn.Identity())
        setattr(module, name, _Convolution(child, norm if isinstance(norm, nn.BatchNorm2d) else None))


def _with_constants_of_their_own(onnx: bytes) -> bytes:
    """The same graph with every constant input a tensor of its own.

    The exporter lets equal tensors be one, by nodes in between; TensorRT 8 refuses int8 tensors behind a node (issue 16
    of megvii-research/Sparsebit).
    """
    from onnx import load_from_string

    model = load_from_string(onnx)
    graph = model.graph
    known: dict[str, TensorProto] = {tensor.name: tensor for tensor in graph.initializer}
    nodes: list[NodeProto] = []
    for node in graph.node:
        if node.op_type == "Constant":
            known[node.output[0]] = node.attribute[0].t
        elif node.op_type == "Identity" and node.input[0] in known:
            known[node.output[0]] = known[node.input[0]]
        else:
            nodes.append(node)
    constants = [_own(node, at, known[name]) for node in nodes for at, name in enumerate(node.input) if name in known]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(constants)
    graph.node.extend(nodes)
    return bytes(model.SerializeToString())


def _own(node: NodeProto, at: int, tensor: TensorProto) -> TensorProto:
    """A copy of `tensor` that is input `at` of `node` and of no other."""
    mine = copy.deepcopy(tensor)
    mine.name = node.input[at] = f"{node.output[0]}:{at}"
    return mine
