"""Search spaces as data: genes, architectures, and the one walk that turns an architecture into blocks and layers.

Costs, latency models, torch modules and encodings all consume `SearchSpace.blocks`; nothing else walks an architecture.
No torch here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

from edgenas import resources
from edgenas.errors import UsageError
from firmware_tools.reading import UnreadableError, read_toml

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


@dataclass(frozen=True)
class Template:
    """A named family of architectures: one operator, widths in a ratio, scaled to a budget by `strategies.fill`."""

    name: str
    operator: str
    blocks: tuple[int, ...]
    ratio: tuple[float, ...]
    expansion: int
    baseline: bool


@dataclass(frozen=True)
class StageChoices:
    """A stage's stride and the widths to choose from."""

    stride: int
    widths: tuple[int, ...]


@dataclass(frozen=True)
class SearchSpace:
    """A space of architectures, bound to the input (C, H, W) and the number of classes of a task."""

    name: str
    stem_strides: tuple[int, ...]
    stem_widths: tuple[int, ...]
    operators: tuple[str, ...]
    blocks_choices: tuple[int, ...]
    kernels: tuple[int, ...]
    expansions: tuple[int, ...]
    stage_macs_per_pixel: int
    depthwise_weight: int
    stages: tuple[StageChoices, ...]
    templates: tuple[Template, ...]
    input_shape: tuple[int, int, int]
    classes: int

    @staticmethod
    def load(source: str | Path, input_shape: tuple[int, int, int], classes: int) -> SearchSpace:
        """Read a space from a TOML file, or a shipped one by name ("tiny").

        Raises UsageError naming the file and the key that is missing or wrong, or listing the shipped spaces.
        """
        path = Path(source)
        if path.suffix != ".toml":
            path = resources.shipped("models") / f"{source}.toml"
        try:
            table = read_toml(path)
        except FileNotFoundError:
            known = ", ".join(sorted(p.stem for p in resources.shipped("models").glob("*.toml")))
            raise UsageError(f"no search space {str(source)!r}: shipped are {known}, or name a .toml file") from None
        except UnreadableError as error:
            raise UsageError(f"{path}: {error}", file=str(path)) from error
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}", file=str(path)) from error
        try:
            return from_table(table, input_shape, classes)
        except KeyError as error:
            raise UsageError(f"{path}: key {error.args[0]!r} is missing", file=str(path), key=error.args[0]) from error
        except (TypeError, ValueError, OverflowError) as error:
            raise UsageError(f"{path}: {error}", file=str(path)) from error

    def blocks(self, architecture: Architecture) -> tuple[Block, ...]:
        """The one walk over an architecture: stem, every stage's blocks, head."""
        stem = self.stem(architecture.stem_stride, architecture.stem_width)
        walk = [stem]
        for choices, stage in zip(self.stages, architecture.stages, strict=True):
            walk.extend(stage_blocks(stage, walk[-1], choices.stride))
        last = walk[-1]
        walk.append(self.head(last.c_out, last.h_out, last.w_out))
        return tuple(walk)

    def stem(self, stride: int, width: int) -> Block:
        """The first convolution."""
        channels, rows, columns = self.input_shape
        return Block("stem", channels, width, _DENSE_KERNEL, stride, 1, rows, columns)

    def head(self, c_in: int, h_in: int, w_in: int) -> Block:
        """Global average pooling and the classifier."""
        return Block("head", c_in, self.classes, 1, 1, 1, h_in, w_in)

    def bodies(self) -> tuple[tuple[str, int, int, int], ...]:
        """Every (operator, blocks, kernel, expansion) that a stage may take: a stage without its width."""
        return tuple(self._bodies())

    def _bodies(self) -> Iterator[tuple[str, int, int, int]]:
        for operator in self.operators:
            kernels = self.kernels if operator in _KERNELS else (_DENSE_KERNEL,)
            # A fused block's dense expansion costs nine times a pointwise one: only the smallest is worth its price.
            expansions = {"mbconv": self.expansions, "fused": self.expansions[:1]}.get(operator, (1,))
            yield from ((operator, *genes) for genes in product(self.blocks_choices, kernels, expansions))

    def allows(self, blocks: tuple[Block, ...]) -> bool:
        """Whether one stage's blocks stay under the space's MACs per input pixel (depthwise ones weighted)."""
        _, height, width = self.input_shape
        layers = [layer for block in blocks for layer in block.layers()]
        spent = sum(layer.macs * (self.depthwise_weight if layer.kind == "depthwise" else 1) for layer in layers)
        return spent <= self.stage_macs_per_pixel * height * width

    def parse(self, text: str) -> Architecture:
        """The architecture that `text` names, as `edgenas search` prints it. Raises UsageError if it is none."""
        architecture = Architecture.parse(text)
        if not self.contains(architecture):
            raise UsageError(f"architecture {text} is not in the space {self.name!r}", value=text)
        return architecture

    def contains(self, architecture: Architecture) -> bool:
        """Whether every gene is one of the choices and every stage is within the space's MACs."""
        if len(architecture.stages) != len(self.stages):
            return False
        if architecture.stem_stride not in self.stem_strides or architecture.stem_width not in self.stem_widths:
            return False
        bodies = set(self.bodies())
        for choices, stage in zip(self.stages, architecture.stages, strict=True):
            genes = (stage.operator, stage.blocks, stage.kernel, stage.expansion)
            if genes not in bodies or stage.width not in choices.widths:
                return False
        walk = self.blocks(architecture)[1:-1]  # only now: a number of blocks that is no choice may be any number
        for stage in architecture.stages:
            mine, walk = walk[: stage.blocks], walk[stage.blocks :]
            if not self.allows(mine):
                return False
        return True


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


def from_table(table: Mapping[str, Any], input_shape: tuple[int, int, int], classes: int) -> SearchSpace:
    """The space that a .toml file's table describes. Raises KeyError, TypeError or ValueError for what is none."""
    stem, body = table["stem"], table["body"]
    stages = tuple(StageChoices(int(s["stride"]), _sorted_ints(s["widths"], "widths")) for s in table["stages"])
    operators = tuple(str(name) for name in body["operators"])
    if not stages:
        raise ValueError("stages is empty: a space has at least one [[stages]]")
    _check_operators(operators)
    return SearchSpace(
        name=str(table["name"]),
        stem_strides=_sorted_ints(stem["strides"], "strides"),
        stem_widths=_sorted_ints(stem["widths"], "widths"),
        operators=operators,
        blocks_choices=_sorted_ints(body["blocks"], "blocks"),
        kernels=_sorted_ints(body["kernels"], "kernels"),
        expansions=_sorted_ints(body["expansions"], "expansions"),
        stage_macs_per_pixel=int(body["stage_macs_per_pixel"]),
        depthwise_weight=int(body["depthwise_weight"]),
        stages=stages,
        templates=tuple(_template(t, len(stages)) for t in table.get("templates", ())),
        input_shape=input_shape,
        classes=classes,
    )


def _check_operators(names: Sequence[str]) -> None:
    unknown = [name for name in names if name not in OPERATORS]
    if unknown or not names:
        raise ValueError(f"operators {unknown or list(names)} are not among {', '.join(OPERATORS)}")


def _template(table: Mapping[str, Any], stages: int) -> Template:
    _check_operators([str(table["operator"])])
    blocks, ratio = tuple(map(int, table["blocks"])), tuple(map(float, table["ratio"]))
    if len(blocks) != stages or len(ratio) != stages:
        raise ValueError(
            f"template {table['name']!r} has not one entry of blocks and ratio for each of {stages} stages"
        )
    expansion, baseline = int(table.get("expansion", 1)), bool(table.get("baseline", False))
    return Template(str(table["name"]), str(table["operator"]), blocks, ratio, expansion, baseline)


def _sorted_ints(values: Any, key: str) -> tuple[int, ...]:
    whole = isinstance(values, list) and all(isinstance(v, int) and not isinstance(v, bool) for v in values)
    numbers = tuple(sorted(set(values))) if whole else ()
    if not numbers or numbers[0] < 1:
        raise ValueError(f"{key} = {values!r} must be a list of positive whole numbers")
    return numbers
