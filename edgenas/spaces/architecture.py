"""One architecture: its genes, and the one walk that turns it into blocks and layers.

Costs, latency models, torch modules and encodings all consume blocks; nothing else walks an architecture. No
torch here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from edgenas.errors import UsageError

OPERATORS = ("plain", "residual", "mbconv", "fused", "separable")
_KERNELS = ("mbconv", "separable")  # the operators that have a choice of kernels ...
_EXPANDS = ("mbconv", "fused")  # ... and of expansions
_WEIGHTED = ("conv1x1", "conv", "depthwise", "dense")
_DENSE_KERNEL = 3  # of the stem and of plain, residual and fused blocks


@dataclass(frozen=True, order=True)
class Stage:
    """One stage's genes. `kernel` is the depthwise kernel (3 for dense operators), `expansion` is 1 where unused."""

    operator: str
    width: int
    blocks: int
    kernel: int
    expansion: int

    def __str__(self) -> str:
        """As in `mbconv-32x2k5e3`."""
        kernel = f"k{self.kernel}" if self.operator in _KERNELS else ""
        expansion = f"e{self.expansion}" if self.operator in _EXPANDS else ""
        return f"{self.operator}-{self.width}x{self.blocks}{kernel}{expansion}"


@dataclass(frozen=True, order=True)
class Architecture:
    """One point of a space."""

    stem_stride: int
    stem_width: int
    stages: tuple[Stage, ...]

    def __str__(self) -> str:
        """As in `stem-16s2/residual-16x1/mbconv-32x2k5e3`; `parse` reads it back."""
        return "/".join((f"stem-{self.stem_width}s{self.stem_stride}", *map(str, self.stages)))

    @staticmethod
    def parse(text: str) -> Architecture:
        """Read what `str` wrote. Raises UsageError naming the part that is not understood."""
        stem, *stages = text.strip().split("/")
        match = re.fullmatch(r"stem-(\d+)s(\d+)", stem)
        if match is None or not stages:
            raise UsageError(f"architecture {text!r} is not of the form stem-16s2/residual-16x1/...", value=text)
        return Architecture(int(match[2]), int(match[1]), tuple(_parse_stage(part) for part in stages))


def _parse_stage(text: str) -> Stage:
    match = re.fullmatch(r"([a-z]+)-(\d+)x(\d+)(?:k(\d+))?(?:e(\d+))?", text)
    known = match is not None and match[1] in OPERATORS
    # A gene that the operator does not have would be lost, and another architecture trained than was asked for.
    if match is None or not known or (match[4] and match[1] not in _KERNELS) or (match[5] and match[1] not in _EXPANDS):
        raise UsageError(
            f"stage {text!r} is not of the form OPERATOR-WIDTHxBLOCKS[kK][eE], as mbconv-32x2k5e3", value=text
        )
    return Stage(match[1], int(match[2]), int(match[3]), int(match[4] or _DENSE_KERNEL), int(match[5] or 1))


@dataclass(frozen=True)
class Layer:
    """One operator of the converted model. Shapes are NHWC without N; `kind` is what a latency model prices.

    kind: conv1x1, conv, depthwise, add, pad, pool, dense.
    """

    kind: str
    c_in: int
    c_out: int
    kernel: int
    stride: int
    h_in: int
    w_in: int
    h_out: int
    w_out: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        if self.kind not in _WEIGHTED:
            return 0
        per_output = self.kernel**2 * (1 if self.kind == "depthwise" else self.c_in)
        return self.h_out * self.w_out * self.c_out * per_output

    @property
    def weights(self) -> int:
        """Weights without biases."""
        if self.kind not in _WEIGHTED:
            return 0
        return self.kernel**2 * self.c_out * (1 if self.kind == "depthwise" else self.c_in)

    @property
    def elements_in(self) -> int:
        """Input elements; an addition reads two tensors."""
        return self.h_in * self.w_in * self.c_in * (2 if self.kind == "add" else 1)

    @property
    def elements_out(self) -> int:
        """Output elements."""
        return self.h_out * self.w_out * self.c_out


@dataclass(frozen=True)
class Block:
    """One building block with its shapes: what torch modules are made from and costs are counted on.

    operator: stem, head or one of OPERATORS. `skip` says that the block's input is added to its output.
    """

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
    def skip(self) -> bool:
        """Whether there is an addition at the end (a residual block projects its input where shapes differ)."""
        same = self.stride == 1 and self.c_in == self.c_out
        return self.operator == "residual" or (self.operator in ("mbconv", "fused") and same)

    @property
    def projected(self) -> bool:
        """Whether the skip path needs a 1x1 convolution."""
        return self.operator == "residual" and (self.stride != 1 or self.c_in != self.c_out)

    def layers(self) -> tuple[Layer, ...]:
        """The operators of the block in the order in which they run."""
        return _layers(self)


@lru_cache(maxsize=200_000)
def _layers(block: Block) -> tuple[Layer, ...]:
    h, w, stride, k = block.h_in, block.w_in, block.stride, block.kernel
    c_in, c_out, hidden = block.c_in, block.c_out, block.c_in * block.expansion
    if block.operator == "head":
        pool = Layer("pool", c_in, c_in, h, 1, h, w, 1, 1)
        return (pool, Layer("dense", c_in, c_out, 1, 1, 1, 1, 1, 1))
    # (kind, input channels, output channels, kernel, stride) in the order in which they run
    bodies = {
        "stem": [("conv", c_in, c_out, k, stride)],
        "plain": [("conv", c_in, c_out, k, stride)],
        "residual": [("conv", c_in, c_out, k, stride), ("conv", c_out, c_out, k, 1)],
        "mbconv": [
            ("conv1x1", c_in, hidden, 1, 1),
            ("depthwise", hidden, hidden, k, stride),
            ("conv1x1", hidden, c_out, 1, 1),
        ],
        "fused": [("conv", c_in, hidden, k, stride), ("conv1x1", hidden, c_out, 1, 1)],
        "separable": [("depthwise", c_in, c_in, k, stride), ("conv1x1", c_in, c_out, 1, 1)],
    }
    layers: list[Layer] = []
    for kind, c_from, c_to, kernel, step in bodies[block.operator]:
        layers.extend(_convolution(kind, c_from, c_to, kernel, step, h, w))
        h, w = layers[-1].h_out, layers[-1].w_out
    if block.projected:
        layers.extend(_convolution("conv1x1", c_in, c_out, 1, stride, block.h_in, block.w_in))
    if block.skip:
        layers.append(Layer("add", c_out, c_out, 1, 1, h, w, h, w))
    return tuple(layers)


def _convolution(kind: str, c_in: int, c_out: int, kernel: int, stride: int, h: int, w: int) -> Iterator[Layer]:
    rows, columns = -(-h // stride), -(-w // stride)
    if stride > 1 and kernel > 1:
        # torch pads all sides alike, TFLite's "same" only at some sizes: the converter adds a PAD at every size.
        pad = 2 * (kernel // 2)
        yield Layer("pad", c_in, c_in, 1, 1, h, w, h + pad, w + pad)
        h, w = h + pad, w + pad
    yield Layer(kind, c_in, c_out, kernel, stride, h, w, rows, columns)


def stage_blocks(stage: Stage, before: Block, stride: int) -> tuple[Block, ...]:
    """A stage's blocks after the block `before`; the first one takes the stage's stride."""
    walk = [before]
    for index in range(stage.blocks):
        last = walk[-1]
        step = stride if index == 0 else 1
        walk.append(
            Block(stage.operator, last.c_out, stage.width, stage.kernel, step, stage.expansion, last.h_out, last.w_out)
        )
    return tuple(walk[1:])
