"""A new board from 10 and 20 measurements, with the other devices of its space as known boards and without.

    benchmarks/latency_fewshot.py --data ../shared/data/latency [--device NAME ...] [--seeds N] [--json]

Every known board's model is fitted on 100 of its own measurements. What is measured on the new one is random, in
NAS-Bench-201 of different canonical forms; held out are 500 networks, of other canonical forms. From scratch: each
model on the same measurements, the best of them by device in hindsight.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, spearmanr

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.latency_data import fbnet, nasbench201
from benchmarks.report import publish
from edgenas import latency
from edgenas.latency import Part
from edgenas.latency.transfer import Source, TransferModel

COUNTS = (20, 10)
SEEDS = 5
SCRATCH = ("features", "auto", "gp", "regressed-table")  # those of them that there are
_SOURCE, _SOURCE_SEED = 100, 99
_HELD_OUT = 500
_ALONE = "auto"  # what transfer mixes known boards with, and falls back on; also the known boards' model

Network = Sequence[Part]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Target:
    """A device's networks as they run there, their latencies, and how to draw (measured, held out)."""

    space: str
    device: str
    networks: Sequence[Network]
    latency_ms: Array
    draw: Callable[[int, np.random.Generator], tuple[list[int], list[int]]]


def targets(folder: Path) -> list[Target]:
    """Every device of the files of both spaces in `folder`."""
    found = []
    for file in nasbench201.FILES:
        cells, known = nasbench201.load(folder / file)
        of_graph = {graph: [cell.network(graph) for cell in cells] for graph in nasbench201.GRAPHS}
        for device, ms in known.items():
            networks = of_graph[nasbench201.graph_of(device)]
            found.append(
                Target("nasbench201", device, networks, ms, lambda n, rng, c=cells: nasbench201.split(c, n, rng))
            )
    networks, known = fbnet.load(folder / fbnet.FILE)
    for device, ms in known.items():
        found.append(Target("fbnet", device, networks, ms, lambda n, rng, ms=ms: _any(len(ms), n, rng)))
    return found


def rows(folder: Path, seeds: int = SEEDS, devices: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """One row by device and count: mean and standard deviation over seeds of each model's figures.

    `transfer` and each of SCRATCH has `tau` (Kendall), `spearman` and `mape`; `best` is the from-scratch model with the
    highest mean tau, in hindsight; `gain`, `gain_se` are the mean difference in tau to it and its standard error over
    seeds, `gain_alone`, `gain_alone_se` those to the model that transfer falls back on.
    """
    every = targets(folder)
    known = {(t.space, t.device): _source(t) for t in every}
    scratch = [name for name in SCRATCH if name in latency.MODELS]
    for count, target in product(COUNTS, every):
        if devices and target.device not in devices:
            continue
        others = tuple(Source(d, m) for (s, d), m in known.items() if s == target.space and d != target.device)
        models = {"transfer": TransferModel(others, _new(_ALONE)), **{name: latency.create(name) for name in scratch}}
        runs = [_run(target, models, count, seed) for seed in range(seeds)]
        yield _row(target, count, runs, scratch)


def _row(target: Target, count: int, runs: Sequence[Mapping[str, Any]], scratch: Sequence[str]) -> dict[str, Any]:
    row: dict[str, Any] = {"space": target.space, "device": target.device, "measurements": count, "seeds": len(runs)}
    for name in ("transfer", *scratch):
        table = np.array([run[name] for run in runs])
        row[name] = {
            figure: {"mean": float(values.mean()), "std": float(values.std(ddof=1))}
            for figure, values in zip(("tau", "spearman", "mape"), table.T, strict=True)
        }
    best = max(scratch, key=lambda name: row[name]["tau"]["mean"])
    for key, name in (("gain", best), ("gain_alone", _ALONE)):
        gains = np.array([run["transfer"][0] - run[name][0] for run in runs])
        row |= {key: float(gains.mean()), f"{key}_se": float(gains.std(ddof=1) / np.sqrt(len(gains)))}
    return {**row, "best": best, "refused": sum(run["refused"] for run in runs)}


def _run(target: Target, models: Mapping[str, latency.LatencyModel], count: int, seed: int) -> dict[str, Any]:
    measured, rest = target.draw(count, np.random.default_rng(seed))
    held = np.random.default_rng(seed).permutation(rest)[:_HELD_OUT]
    figures: dict[str, Any] = {}
    for name, model in models.items():
        fitted = model.fit([target.networks[i] for i in measured], target.latency_ms[measured].tolist())
        mean = fitted.predict([target.networks[i] for i in held])[0]
        true = target.latency_ms[held]
        error = 100 * float(np.mean(np.abs(mean / true - 1)))
        figures[name] = (float(kendalltau(mean, true)[0]), float(spearmanr(mean, true)[0]), error)
        if isinstance(fitted, TransferModel):
            figures["refused"] = not fitted.share
    return figures


def _source(target: Target) -> latency.AdditiveModel:
    measured, _ = target.draw(_SOURCE, np.random.default_rng(_SOURCE_SEED))
    networks = [target.networks[i] for i in measured]
    fitted = _new(_ALONE).fit(networks, target.latency_ms[measured].tolist())
    return latency.load_additive(fitted.to_json())


def _new(name: str) -> latency.AdditiveModel:
    return latency.load_additive(latency.create(name).to_json())


def _any(size: int, count: int, rng: np.random.Generator) -> tuple[list[int], list[int]]:
    order = [int(i) for i in rng.permutation(size)]
    return order[:count], order[count:]


def table(found: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """The rows for people."""
    lines = [
        [
            "space",
            "device",
            "n",
            "from scratch: tau",
            "by",
            "transfer: tau",
            "gain",
            "over auto",
            "spearman",
            "MAPE %",
            "refused",
        ]
    ]
    for row in found:
        best, transfer = row[row["best"]], row["transfer"]
        lines.append(
            [
                *(str(row[key]) for key in ("space", "device", "measurements")),
                f"{best['tau']['mean']:.3f} +- {best['tau']['std']:.3f}",
                row["best"],
                f"{transfer['tau']['mean']:.3f} +- {transfer['tau']['std']:.3f}",
                f"{row['gain']:+.3f} +- {row['gain_se']:.3f}",
                f"{row['gain_alone']:+.3f} +- {row['gain_alone_se']:.3f}",
                f"{best['spearman']['mean']:.3f} -> {transfer['spearman']['mean']:.3f}",
                f"{best['mape']['mean']:.1f} -> {transfer['mape']['mean']:.1f}",
                f"{row['refused']} of {row['seeds']}",
            ]
        )
    return lines


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the files")
    parser.add_argument("--device", action="append", default=[], help="only this device as the new board")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = []
    for row in rows(arguments.data, arguments.seeds, arguments.device):
        found.append(row)
        print(" ".join(table([row])[1]), file=sys.stderr, flush=True)
    publish("latency_fewshot", {"rows": found}, table(found), as_json=arguments.json)


if __name__ == "__main__":
    main()
