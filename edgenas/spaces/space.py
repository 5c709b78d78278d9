# SPDX-License-Identifier: Apache-2.0
"""Search spaces as data: genes, architectures, and the one walk that turns an architecture into blocks and layers.

Costs, latency models, torch modules and encodings all consume `SearchSpace.blocks`; nothing else walks an architecture.
This module does not import torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from edgenas import resources
from edgenas.errors import UsageError
from edgenas.spaces.architecture import Architecture, Block, stage_blocks
from edgenas.spaces.operators import STAGE_OPERATORS
from edgenas.spaces.operators.base import DENSE_KERNEL
from firmware_tools.reading import UnreadableError, read_toml


@dataclass(frozen=True)
class Template:
    """A named family of architectures: one operator, widths in a ratio, scaled to a budget by `nas.scaling`."""

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
        return Block("stem", channels, width, DENSE_KERNEL, stride, 1, rows, columns)

    def head(self, c_in: int, h_in: int, w_in: int) -> Block:
        """Global average pooling and the classifier."""
        return Block("head", c_in, self.classes, 1, 1, 1, h_in, w_in)

    def stage_bodies(self) -> tuple[tuple[str, int, int, int], ...]:
        """Every (operator, blocks, kernel, expansion) that a stage may take: a stage without its width."""
        return tuple(self._stage_bodies())

    def _stage_bodies(self) -> Iterator[tuple[str, int, int, int]]:
        for name in self.operators:
            operator = STAGE_OPERATORS[name]
            kernels, expansions = operator.kernel_choices(self.kernels), operator.expansion_choices(self.expansions)
            yield from ((name, *genes) for genes in product(self.blocks_choices, kernels, expansions))

    def allows(self, blocks: tuple[Block, ...]) -> bool:
        """Whether one stage's blocks stay under the space's MACs per input pixel (depthwise ones weighted)."""
        _, height, width = self.input_shape
        layers = [layer for block in blocks for layer in block.layers()]
        spent = sum(layer.macs * (self.depthwise_weight if layer.kind == "depthwise" else 1) for layer in layers)
        return spent <= self.stage_macs_per_pixel * height * width

    def parse(self, text: str) -> Architecture:
        """The architecture of a text as `edgenas search` prints it. Raises UsageError if it is not in the space."""
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
        bodies = set(self.stage_bodies())
        for choices, stage in zip(self.stages, architecture.stages, strict=True):
            genes = (stage.operator, stage.blocks, stage.kernel, stage.expansion)
            if genes not in bodies or stage.width not in choices.widths:
                return False
        walk = self.blocks(architecture)[1:-1]  # only now, because an unchecked number of blocks may be huge
        for stage in architecture.stages:
            mine, walk = walk[: stage.blocks], walk[stage.blocks :]
            if not self.allows(mine):
                return False
        return True


def from_table(table: Mapping[str, Any], input_shape: tuple[int, int, int], classes: int) -> SearchSpace:
    """The space that a .toml file's table describes. Raises KeyError, TypeError or ValueError for an invalid table."""
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
    unknown = [name for name in names if name not in STAGE_OPERATORS]
    if unknown or not names:
        raise ValueError(f"operators {unknown or list(names)} are not among {', '.join(STAGE_OPERATORS)}")


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
