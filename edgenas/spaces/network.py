"""One architecture as a torch module, built from its blocks.

Activations are ReLU6 (fused by every TFLite engine, and bounded, which int8 likes). Inputs are (N, C, H, W) float32 in
[0, 1]; outputs are (N, classes) logits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from edgenas.spaces.architecture import Block


def conv_bn(
    c_in: int, c_out: int, kernel: int = 3, stride: int = 1, *, depthwise: bool = False, act: bool = True
) -> nn.Sequential:
    """Convolution with "same" padding, batch normalisation and, if `act`, ReLU6."""
    groups = c_in if depthwise else 1
    conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    layers: list[nn.Module] = [conv, nn.BatchNorm2d(c_out)]
    if act:
        layers.append(nn.ReLU6())
    return nn.Sequential(*layers)


class Residual(nn.Module):
    """`body` plus its input (projected where shapes differ), then an optional ReLU6."""

    def __init__(self, body: nn.Module, projection: nn.Module | None, *, act: bool) -> None:
        super().__init__()
        self.body = body
        self.projection = projection
        self.act = nn.ReLU6() if act else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W')."""
        body: Tensor = self.body(x)
        total = body + (x if self.projection is None else self.projection(x))
        return total if self.act is None else self.act(total)


def module(block: Block) -> nn.Module:
    """The torch module of one block."""
    c_in, c_out, k, stride = block.c_in, block.c_out, block.kernel, block.stride
    hidden = c_in * block.expansion
    if block.operator == "head":
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c_in, c_out))
    if block.operator in ("stem", "plain"):
        return conv_bn(c_in, c_out, k, stride)
    if block.operator == "separable":
        return nn.Sequential(conv_bn(c_in, c_in, k, stride, depthwise=True), conv_bn(c_in, c_out, 1))
    if block.operator == "residual":
        body = nn.Sequential(conv_bn(c_in, c_out, k, stride), conv_bn(c_out, c_out, k, act=False))
        projection = conv_bn(c_in, c_out, 1, stride, act=False) if block.projected else None
        return Residual(body, projection, act=True)
    if block.operator == "mbconv":
        expand, depth = conv_bn(c_in, hidden, 1), conv_bn(hidden, hidden, k, stride, depthwise=True)
        body = nn.Sequential(expand, depth, conv_bn(hidden, c_out, 1, act=False))
    elif block.operator == "fused":
        body = nn.Sequential(conv_bn(c_in, hidden, k, stride), conv_bn(hidden, c_out, 1, act=False))
    else:
        raise ValueError(f"unknown operator {block.operator!r}")
    return Residual(body, None, act=False) if block.skip else body


def network(blocks: Sequence[Block], seed: int) -> nn.Sequential:
    """A freshly initialised network; the same seed gives the same weights and leaves torch's generator alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = nn.Sequential(*(module(block) for block in blocks))
        for layer in net.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return net


@contextmanager
def one_thread() -> Iterator[None]:
    """torch on one thread: on small tensors several wait for each other, and for a core that others are on.

    A few hundred numbers took two threads of a busy computer 8 times as long as one (8 s against 1 s).
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
