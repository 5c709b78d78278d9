"""How well each latency model predicts networks that it has not seen, by device and by how many were measured.

    python benchmarks/latency_models.py --data DIR [--device NAME ...] [--model NAME ...] [--seeds 5] [--json]

DIR holds .npz files of the form of NAS-Bench-201's (`ops` or `onehot`) or FBNet's (`op_names` as k3_e1), with `devices`
and `latency_ms`. Means over seeds with the standard deviation. What is held out of NAS-Bench-201 is computed by no
measured cell: canonical forms are divided first.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.latency_data import fbnet, lightnas, nasbench201
from benchmarks.report import publish
from edgenas import latency
from edgenas.latency import LatencyModel, Part
from edgenas.latency.table import TableModel

Network = tuple[Part, ...]
DEVICES = ("raspi4", "rice_edgegpu", "gold_6240", "samsung_s7", "samsung_a50")
MODELS = ("table", "regressed-table", "features", "mlp", "gp", "auto")
COUNTS = {"nasbench201": (100, 300, 1000), "fbnet": (20, 50, 100, 300)}
HELD_OUT = 3000  # networks at most that a model is judged by
_SHARE = 0.35  # of a NAS-Bench-201 file that is held out
# (space, device) -> (figure, least or most of it by count)
LIMITS = {
    ("nasbench201", "raspi4"): ("tau", (0.82, 0.85, 0.88)),
    ("nasbench201", "rice_edgegpu"): ("tau", (0.85, 0.88, 0.90)),
    ("fbnet", "gold_6240"): ("mape", (4.2, 3.5, 3.0, 2.5)),
}
_NORMAL = 1.6448536


@dataclass(frozen=True)
class Figures:
    """tau: Kendall's. mape: mean absolute error, % of the latency. covered: % of held-out measurements within mean +-
    1.645 standard deviations, which should be 90.
    """

    tau: float
    mape: float
    covered: float


@dataclass(frozen=True)
class Data:
    """One device's networks with latencies in milliseconds; `group` is equal for networks that compute the same."""

    space: str
    device: str
    networks: Sequence[Network]
    latency_ms: NDArray[np.float64]
    group: NDArray[np.int64]
    alone_ms: dict[Part, float]  # operators on their own, where the file has such networks


def datasets(folder: Path, devices: Sequence[str]) -> Iterator[Data]:
    """Of every file in the folder that has one of the devices."""
    for file in sorted(folder.glob("*.npz")):
        with np.load(file) as content:
            named = [str(name) for name in content["op_names"]] if "op_names" in content else []
        if any(name.startswith("k3") for name in named):
            networks, latencies = fbnet.load(file)
            for device in latencies.keys() & set(devices):
                yield Data("fbnet", device, networks, latencies[device], np.arange(len(networks)), {})
            continue
        cells, latencies = nasbench201.load(file)
        forms: dict[Any, int] = {}
        group = np.array([forms.setdefault(cell.canonical(), len(forms)) for cell in cells])
        for device in latencies.keys() & set(devices):
            graph = nasbench201.graph_of(device)
            of_graph = [cell.network(graph, meetings=True) for cell in cells]
            alone = operators_alone(cells, latencies[device])
            yield Data("nasbench201", device, of_graph, latencies[device], group, alone)


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


def judge(model: LatencyModel, data: Data, measured: NDArray[np.int64], held_out: NDArray[np.int64]) -> Figures:
    """The figures of a model after it was fitted on the measured networks."""
    from scipy.stats import kendalltau

    y = data.latency_ms
    fitted = model.fit([data.networks[i] for i in measured], y[measured].tolist())
    mean, std = fitted.predict([data.networks[i] for i in held_out])
    error = mean - y[held_out]
    return Figures(
        tau=float(kendalltau(mean, y[held_out])[0]),
        mape=100 * float(np.mean(np.abs(error / y[held_out]))),
        covered=100 * float(np.mean(np.abs(error) < _NORMAL * std)),
    )


def unfitted(name: str, data: Data) -> LatencyModel | None:
    """A model by name; None if this data lacks what it needs."""
    if name != "table":
        return latency.create(name)
    return TableModel().with_operators(data.alone_ms) if data.alone_ms else None


def compared(data: Data, models: Sequence[str], seeds: int) -> Iterator[dict[str, Any]]:
    """One row per count and model."""
    figure, limits = LIMITS.get((data.space, data.device), ("mape" if data.space == "fbnet" else "tau", ()))
    for place, count in enumerate(COUNTS[data.space]):
        for name in models:
            model = unfitted(name, data)
            if model is None:
                continue
            runs = [judge(model, data, *split(data, count, seed)) for seed in range(seeds)]
            row: dict[str, Any] = {
                "space": data.space,
                "device": data.device,
                "n": count,
                "model": name,
                "seeds": seeds,
            }
            for key in asdict(runs[0]):
                values = [getattr(run, key) for run in runs]
                row[key] = {"mean": float(np.mean(values)), "std": float(np.std(values, ddof=1)) if seeds > 1 else 0.0}
            row["judged_by"] = figure
            row["held_to"] = limits[place] if limits else None
            print(" ".join(map(str, cells_of(row))), file=sys.stderr, flush=True)
            yield row


def cells_of(row: dict[str, Any]) -> tuple[object, ...]:
    """A row of the table."""
    said = [f"{row[k]['mean']:.{d}f} +- {row[k]['std']:.{d}f}" for k, d in (("tau", 3), ("mape", 2), ("covered", 1))]
    limit = "" if row["held_to"] is None else f"{row['judged_by']} {row['held_to']}: {'yes' if _met(row) else 'no'}"
    return (row["space"], row["device"], row["n"], row["model"], *said, limit)


def _met(row: dict[str, Any]) -> bool:
    value: float = row[row["judged_by"]]["mean"]
    limit: float = row["held_to"]
    return value >= limit if row["judged_by"] == "tau" else value <= limit


def lightnets(folder: Path) -> list[dict[str, float]]:
    """The published predictor's latency of the published networks, and what is published."""
    if not (folder / lightnas.PREDICTOR).exists():
        return []
    model, networks = lightnas.load(folder)
    mean, _ = model.predict(list(networks.values()))
    asked = zip(networks, mean, strict=True)
    return [
        {"asked_ms": float(k), "predicted_ms": float(ms), "published_ms": lightnas.PUBLISHED_MS[k]} for k, ms in asked
    ]


def main() -> None:
    """Compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of .npz files; ../lightnas beside it if there")
    parser.add_argument("--device", nargs="+", default=DEVICES)
    parser.add_argument("--model", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [
        row for data in datasets(options.data, options.device) for row in compared(data, options.model, options.seeds)
    ]
    if not rows:
        sys.exit(f"no .npz file in {options.data} has one of {', '.join(options.device)}")
    head = ("space", "device", "n", "model", "Kendall tau", "MAPE %", "within 90 % interval", "held to")
    published = lightnets(options.data.parent / "lightnas")
    table = [head, *map(cells_of, rows)]
    table += [
        ("lightnas", "xavier", "", "mlp", f"{p['predicted_ms']:.2f} ms", f"published {p['published_ms']:.2f}", "", "")
        for p in published
    ]
    publish("latency_models", {"rows": rows, "lightnets": published}, table, as_json=options.json)


if __name__ == "__main__":
    main()
