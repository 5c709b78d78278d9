# SPDX-License-Identifier: Apache-2.0
"""Every device of the public data sets: its networks as they run there, and how long they take."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.latency_data import fbnet, nasbench201
from edgenas.latency import Part

Network = tuple[Part, ...]
HELD_OUT = 3000  # networks at most that a model is judged by
_SHARE = 0.35  # of a NAS-Bench-201 file that is held out


@dataclass(frozen=True)
class Data:
    """One device's networks with latencies in milliseconds; `group` is equal for networks that compute the same."""

    space: str
    device: str
    networks: Sequence[Network]
    latency_ms: NDArray[np.float64]
    group: NDArray[np.int64]
    alone_ms: dict[Part, float]  # operators on their own, where the file has such networks


def datasets(folder: Path, devices: Collection[str] = (), *, pairs: bool = True) -> Iterator[Data]:
    """Of every file in the folder those of the devices, all if none is named.

    pairs: whether every two operations of a cell are a part of their own, beside each by itself.
    """
    for file in sorted(folder.glob("*.npz")):
        with np.load(file) as content:
            named = [str(name) for name in content["op_names"]] if "op_names" in content else []
        if any(name.startswith("k3") for name in named):
            networks, latencies = fbnet.load(file)
            for device in _chosen(latencies, devices):
                yield Data("fbnet", device, networks, latencies[device], np.arange(len(networks)), {})
            continue
        cells, latencies = nasbench201.load(file)
        forms: dict[Any, int] = {}
        group = np.array([forms.setdefault(cell.canonical(), len(forms)) for cell in cells])
        for device in _chosen(latencies, devices):
            graph = nasbench201.graph_of(device)
            of_graph = [cell.network(graph, pairs=pairs) for cell in cells]
            alone = operators_alone(cells, latencies[device])
            yield Data("nasbench201", device, of_graph, latencies[device], group, alone)


def _chosen(latencies: Collection[str], devices: Collection[str]) -> list[str]:
    return [device for device in latencies if not devices or device in devices]


def operators_alone(cells: Sequence[nasbench201.Cell], latency_ms: NDArray[np.float64]) -> dict[Part, float]:
    """Each operation by the cell that has it alone, less the one that only skips; empty if the file lacks one."""
    by_cell = {cell.ops: ms for cell, ms in zip(cells, latency_ms, strict=True)}
    single = [(0, 0, 0, index, 0, 0) for index in range(len(nasbench201.OPERATIONS))]
    if any(ops not in by_cell for ops in single[1:]):
        return {}
    least = 1e-3  # milliseconds: a difference of two measurements may be negative
    alone: dict[Part, float] = {nasbench201.Frame(): by_cell[single[1]], nasbench201.Edge("none", 3): least}
    alone |= {nasbench201.Join(inputs): least for inputs in (2, 3)}
    for operation, ops in zip(nasbench201.OPERATIONS[2:], single[2:], strict=True):
        alone[nasbench201.Edge(operation, 3)] = max(float(by_cell[ops] - by_cell[single[1]]), least)
    return alone


def split(data: Data, count: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(measured, held out): indices that share no group."""
    rng = np.random.default_rng(seed)
    rank = rng.permutation(data.group.max() + 1)[data.group]
    order = rng.permutation(len(data.networks))
    kept_out = rank[order] < _SHARE * (data.group.max() + 1)
    return order[~kept_out][:count], order[kept_out][:HELD_OUT]
