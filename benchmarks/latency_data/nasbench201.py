# SPDX-License-Identifier: Apache-2.0
"""The NAS-Bench-201 space (Dong and Yang, ICLR 2020): cells of six edges with five operations each, latencies from HELP
(Lee et al., NeurIPS 2021), HW-NAS-Bench (Li et al., ICLR 2021) and Eagle (Dudziak et al., NeurIPS 2020).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, permutations, product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenas.spaces.layer import Layer

FILES = ("nasbench201.npz", "nasbench201_1999.npz")
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))  # from node, to node; 0 is the cell's input, 3 its output
_STAGES = ((16, 32), (32, 16), (64, 8))  # channels, height and width
_CELLS = 5  # of a stage
# Kind of layer and kernel; a skip runs nothing.
_KINDS = {"nor_conv_1x1": ("conv1x1", 1), "nor_conv_3x3": ("conv", 3), "avg_pool_3x3": ("pool", 3), "none": ("zero", 1)}
_IMAGE = 32
_CLASSES = 10

# What of a cell runs is up to who exported it. "written": every edge, as PyTorch does, eager or traced. "needed": what
# the output is computed from, as in every exported graph. "live": of that only what the input reaches, because
# zeros were folded into what they feed. "folded": what is needed, and every convolution that alone feeds a product
# with zero, since TFLite's converter folds that product into its weights and then runs it. Of each device the one
# under which sums of five prices explain it best, by far: on raspi4 Kendall tau is 0.90 and not 0.87 (needed), 0.77 or
# 0.69, on samsung_a50 0.94 and not 0.85 or 0.75.
GRAPHS = ("written", "needed", "live", "folded")
_GRAPH_OF = {
    **dict.fromkeys(("gold_6226", "samsung_a50", "samsung_s7", "1080ti_1", "2080ti_1", "fpga"), "written"),
    "raspi4": "folded",
    "rice_edgegpu": "needed",
    "eagle_jetson": "live",
}


@dataclass(frozen=True)
class Edge:
    """One operation in every cell of the network; `place` is its index in EDGES."""

    operation: str
    place: int

    def layers(self) -> tuple[Layer, ...]:
        """As `edgenas.latency.Part.layers`, over all three stages; a skip runs nothing."""
        return _edge_layers(self.operation)


@dataclass(frozen=True)
class Join:
    """A node that sums `inputs` edges, in every cell of the network."""

    inputs: int

    def layers(self) -> tuple[Layer, ...]:
        """As `edgenas.latency.Part.layers`."""
        return tuple(add for channels, size in _STAGES for add in [_add(channels, size)] * _CELLS * (self.inputs - 1))


@dataclass(frozen=True)
class Frame:
    """What is the same in all networks: stem, the residual blocks between stages, head."""

    def layers(self) -> tuple[Layer, ...]:
        """As `edgenas.latency.Part.layers`."""
        return _frame_layers()


@dataclass(frozen=True)
class Pair:
    """Two operations in one cell: runtimes fuse them, run them side by side, or find the other's data in the cache."""

    one: Edge
    other: Edge

    def layers(self) -> tuple[Layer, ...]:
        """As `edgenas.latency.Part.layers`; nothing that runs by itself."""
        return ()


Network = tuple[Edge | Join | Frame | Pair, ...]
Canonical = tuple[Any, ...]


@dataclass(frozen=True)
class Cell:
    """A cell by its operations, indices into OPERATIONS in the order of EDGES."""

    ops: tuple[int, ...]

    @property
    def connected(self) -> bool:
        """Whether anything gets from the input to the output: otherwise the network is a constant."""
        return self._reached()[3]

    def network(self, graph: str, *, pairs: bool = False) -> Network:
        """The parts that run under one of GRAPHS; with `pairs`, every two of its operations as one part, too."""
        if graph not in GRAPHS:
            raise ValueError(f"graph {graph!r}: choose one of {', '.join(GRAPHS)}")
        run = [place for place in range(len(EDGES)) if self._runs(place, graph)]
        into = [sum(EDGES[place][1] == node for place in run) for node in (1, 2, 3)]
        edges = [Edge(OPERATIONS[self.ops[place]], place) for place in run]
        joins = (Join(inputs) for inputs in into if inputs > 1)
        both = (Pair(one, other) for one, other in combinations(edges, 2)) if pairs else ()
        return (Frame(), *edges, *joins, *both)

    def canonical(self) -> Canonical:
        """Equal for cells that compute the same: without dead edges and skips, whatever the nodes are called.

        (operation, operands) of every edge left, and the operands of the output. An operand is the index of an
        edge left, -1 for the input; two edges with the same operation and operands remain two.
        """
        return _canonical(self.ops)

    def _runs(self, place: int, graph: str) -> bool:
        start, end = EDGES[place]
        needed, reached = self._needed(), self._reached()
        if graph == "written":
            return True
        if graph == "folded":
            return needed[end] or place in self._folded(needed)
        return needed[end] and (graph == "needed" or (reached[start] and self.ops[place] != 0))

    def _folded(self, needed: list[bool]) -> tuple[int, ...]:
        """Edges that are not needed and run nevertheless, see GRAPHS."""
        convolution = [OPERATIONS[op].startswith("nor_conv") for op in self.ops]
        if needed[2]:
            return (0,) if not needed[1] and self.ops[2] == 0 and convolution[0] else ()
        alone = [place for place in (1, 2) if self.ops[place] != 0]  # into node 2, whose product with zero is edge 5
        if len(alone) != 1 or not convolution[alone[0]]:
            return ()
        return (0, 2) if alone[0] == 2 else (1,)

    def _reached(self) -> list[bool]:
        """Of every node, whether anything but zeros gets there."""
        reached = [True, False, False, False]
        for op, (start, end) in sorted(zip(self.ops, EDGES, strict=True), key=lambda edge: edge[1][1]):
            reached[end] = reached[end] or (op != 0 and reached[start])
        return reached

    def _needed(self) -> list[bool]:
        """Of every node, whether the output is computed from it."""
        needed = [False, False, False, True]
        for op, (start, end) in sorted(zip(self.ops, EDGES, strict=True), key=lambda edge: -edge[1][0]):
            needed[start] = needed[start] or (op != 0 and needed[end])
        return needed


def load(file: Path) -> tuple[list[Cell], dict[str, NDArray[np.float64]]]:
    """The connected cells of a file and, by device, their latencies in milliseconds.

    The file holds `ops` or `onehot`: six times five columns in the order of EDGES and OPERATIONS, then a constant.
    """
    with np.load(file) as data:
        ops = data["ops"] if "ops" in data else data["onehot"][:, :30].reshape(-1, 6, 5).argmax(axis=2)
        latency = {str(d): ms.astype(np.float64) for d, ms in zip(data["devices"], data["latency_ms"], strict=True)}
    cells = [Cell(tuple(map(int, row))) for row in ops]
    connected = np.array([cell.connected for cell in cells])
    return [cell for cell in cells if cell.connected], {device: ms[connected] for device, ms in latency.items()}


def graph_of(device: str) -> str:
    """Which of GRAPHS runs on a device; of one that is not known, what every exporter leaves."""
    return _GRAPH_OF.get(device, "needed")


def split(cells: list[Cell], count: int, rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """(measured, held out): indices of `count` cells of different canonical form, and of all cells of other forms."""
    order = rng.permutation(len(cells))
    first: dict[Canonical, int] = {}
    for index in order:
        first.setdefault(cells[index].canonical(), int(index))
    measured = list(first.values())[:count]
    taken = {cells[index].canonical() for index in measured}
    return measured, [index for index, cell in enumerate(cells) if cell.canonical() not in taken]


@lru_cache(maxsize=20_000)
def _canonical(ops: tuple[int, ...]) -> Canonical:
    cell = Cell(ops)
    left: list[tuple[int, tuple[int, ...]]] = []
    operands: dict[int, tuple[int, ...]] = {0: (-1,), 1: (), 2: (), 3: ()}
    for place, (start, end) in enumerate(EDGES):  # every node's inputs come before its outputs
        if not cell._runs(place, "live"):
            continue
        if OPERATIONS[ops[place]] == "skip_connect":
            operands[end] += operands[start]
        else:
            left.append((ops[place], operands[start]))
            operands[end] += (len(left) - 1,)
    return min(_renamed(left, operands[3], order) for order in _orders(left))


def _orders(left: list[tuple[int, tuple[int, ...]]]) -> Iterator[list[int]]:
    """Orders of the edges left by depth and by what they compute; all of them where those are equal."""
    keys: list[tuple[Any, ...]] = []
    for op, operands in left:
        inputs = sorted((0,) if i < 0 else keys[i] for i in operands)
        keys.append((1 + max(key[0] for key in inputs), op, *inputs))
    groups = [[i for i, key in enumerate(keys) if key == one] for one in sorted(set(keys), key=repr)]
    groups.sort(key=lambda group: keys[group[0]][0])
    for choice in product(*(permutations(group) for group in groups)):
        yield [i for group in choice for i in group]


def _renamed(left: list[tuple[int, tuple[int, ...]]], output: tuple[int, ...], order: list[int]) -> Canonical:
    name: Mapping[int, int] = {-1: -1, **{old: new for new, old in enumerate(order)}}
    edges = tuple((left[old][0], tuple(sorted(name[i] for i in left[old][1]))) for old in order)
    return edges, tuple(sorted(name[i] for i in output))


@lru_cache(maxsize=len(OPERATIONS))
def _edge_layers(operation: str) -> tuple[Layer, ...]:
    if operation not in _KINDS:
        return ()
    kind, kernel = _KINDS[operation]
    return tuple(Layer(kind, c, c, kernel, 1, n, n, n, n) for c, n in _STAGES for _ in range(_CELLS))


@lru_cache(maxsize=1)
def _frame_layers() -> tuple[Layer, ...]:
    width, size = _STAGES[0]
    layers = [Layer("conv", 3, width, 3, 1, _IMAGE, _IMAGE, size, size)]
    for c_out, small in _STAGES[1:]:
        layers += [
            Layer("conv", width, c_out, 3, 2, size, size, small, small),
            Layer("conv", c_out, c_out, 3, 1, small, small, small, small),
            Layer("pool", width, width, 2, 2, size, size, small, small),
            Layer("conv1x1", width, c_out, 1, 1, small, small, small, small),
            _add(c_out, small),
        ]
        width, size = c_out, small
    pool = Layer("pool", width, width, size, 1, size, size, 1, 1)
    return (*layers, pool, Layer("dense", width, _CLASSES, 1, 1, 1, 1, 1, 1))


def _add(channels: int, size: int) -> Layer:
    return Layer("add", channels, channels, 1, 1, size, size, size, size)
