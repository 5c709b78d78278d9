# SPDX-License-Identifier: Apache-2.0
"""What a block operator declares: its convolutions in order and when its input is added to its output.

Layers, torch modules and the supernet's forward pass follow from that declaration. No torch outside `module`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgenas.spaces.layer import Layer
from edgenas.spaces.operators.convolution import Convolution

if TYPE_CHECKING:
    from torch import nn

DENSE_KERNEL = 3  # of operators without a choice of kernels


@dataclass(frozen=True)
class BlockShape:
    """A block's operator, channels and genes, and the rows and columns of its input."""

    operator: str
    c_in: int
    c_out: int
    kernel: int
    stride: int
    expansion: int
    h_in: int
    w_in: int

    @property
    def h_out(self) -> int:
        """Rows of the output, with "same" padding."""
        return -(-self.h_in // self.stride)

    @property
    def w_out(self) -> int:
        """Columns of the output, with "same" padding."""
        return -(-self.w_in // self.stride)

    @property
    def hidden(self) -> int:
        """Channels inside an expanded block."""
        return self.c_in * self.expansion

    @property
    def same_shape(self) -> bool:
        """Whether the output has the shape of the input."""
        return self.stride == 1 and self.c_in == self.c_out


def never(shape: BlockShape) -> bool:
    """The skip rule of operators without an addition."""
    return False


def where_same_shape(shape: BlockShape) -> bool:
    """The skip rule of operators that add their input where it has the output's shape."""
    return shape.same_shape


def always(shape: BlockShape) -> bool:
    """The skip rule of operators that add their input in every block and project it where shapes differ."""
    return True


def every_expansion(choices: tuple[int, ...]) -> tuple[int, ...]:
    """All the space's expansions."""
    return choices


def smallest_expansion(choices: tuple[int, ...]) -> tuple[int, ...]:
    """The first of the space's expansions, which are sorted."""
    return choices[:1]


@dataclass(frozen=True)
class BlockOperator:
    """One way to build a block, as a chain of convolutions with an optional addition at its end.

    skip: whether the block's input is added to its output. relu_after_skip: whether ReLU6 follows that addition.
    has_kernels: whether the space's kernels are a choice; else the kernel is DENSE_KERNEL. expansions: which of the
    space's expansions are choices; None for an operator without expansion, whose gene is then 1.
    """

    name: str
    convolutions: Callable[[BlockShape], tuple[Convolution, ...]]
    skip: Callable[[BlockShape], bool] = never
    relu_after_skip: bool = False
    has_kernels: bool = False
    expansions: Callable[[tuple[int, ...]], tuple[int, ...]] | None = None

    def projected(self, shape: BlockShape) -> bool:
        """Whether the skip path needs a 1x1 convolution."""
        return self.skip(shape) and not shape.same_shape

    def kernel_choices(self, kernels: tuple[int, ...]) -> tuple[int, ...]:
        """Which of a space's kernels a stage may take."""
        return kernels if self.has_kernels else (DENSE_KERNEL,)

    def expansion_choices(self, expansions: tuple[int, ...]) -> tuple[int, ...]:
        """Which of a space's expansions a stage may take."""
        return (1,) if self.expansions is None else self.expansions(expansions)

    def layers(self, shape: BlockShape) -> tuple[Layer, ...]:
        """The operators of the converted block in the order in which they run: a projection is before the addition."""
        h, w = shape.h_in, shape.w_in
        layers: list[Layer] = []
        for convolution in self.convolutions(shape):
            layers.extend(_converted(convolution, h, w))
            h, w = layers[-1].h_out, layers[-1].w_out
        if self.projected(shape):
            layers.extend(_converted(_projection(shape), shape.h_in, shape.w_in))
        if self.skip(shape):
            layers.append(Layer("add", shape.c_out, shape.c_out, 1, 1, h, w, h, w))
        return tuple(layers)

    def module(self, shape: BlockShape) -> nn.Module:
        """The untrained torch module: (N, c_in, h_in, w_in) -> (N, c_out, h_out, w_out)."""
        from torch import nn

        from edgenas.spaces.operators.modules import Residual, conv_bn

        chain = [conv_bn(convolution) for convolution in self.convolutions(shape)]
        body = chain[0] if len(chain) == 1 else nn.Sequential(*chain)
        if not self.skip(shape):
            return body
        projection = conv_bn(_projection(shape)) if self.projected(shape) else None
        return Residual(body, projection, act=self.relu_after_skip)


def _projection(shape: BlockShape) -> Convolution:
    return Convolution("conv1x1", shape.c_in, shape.c_out, 1, shape.stride, linear=True)


def _converted(convolution: Convolution, h: int, w: int) -> Iterator[Layer]:
    kernel, stride = convolution.kernel, convolution.stride
    rows, columns = -(-h // stride), -(-w // stride)
    if stride > 1 and kernel > 1:
        # torch pads all sides alike, TFLite's "same" only at some sizes: the converter adds a PAD at every size.
        pad = 2 * (kernel // 2)
        yield Layer("pad", convolution.c_in, convolution.c_in, 1, 1, h, w, h + pad, w + pad)
        h, w = h + pad, w + pad
    yield Layer(convolution.kind, convolution.c_in, convolution.c_out, kernel, stride, h, w, rows, columns)
