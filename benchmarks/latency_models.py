# SPDX-License-Identifier: Apache-2.0
"""How well each latency model predicts networks that it has not seen, by device and by how many were measured; what
known boards are worth to a new one; and what the published LightNAS predictor says through our encoding.

    python benchmarks/latency_models.py --data DIR [--device NAME ...] [--model NAME ...] [--seeds 5] [--json]

DIR holds .npz files of the form of NAS-Bench-201's (`ops` or `onehot`) or FBNet's (`op_names` as k3_e1), with `devices`
and `latency_ms`. Means over seeds with the standard deviation. What is held out of NAS-Bench-201 is computed by no
measured cell: canonical forms are divided first. Without --device the models are compared on five devices, and every
device is the new board once.
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

from benchmarks.latency_data import fewshot, lightnas
from benchmarks.latency_data.devices import Data, datasets, split
from benchmarks.report import print_table, publish
from edgenas import latency
from edgenas.latency import LatencyModel
from edgenas.latency.table import TableModel

PARTS = ("models", "few-shot", "lightnets")
MODELS = ("table", "regressed-table", "features", "mlp", "gp", "auto")
COUNTS = {"nasbench201": (100, 300, 1000), "fbnet": (20, 50, 100, 300)}
# (space, device) -> (figure, least or most of it by count); no limits: the best of the other models
LIMITS: dict[tuple[str, str], tuple[str, tuple[float, ...]]] = {
    ("nasbench201", "raspi4"): ("tau", (0.82, 0.85, 0.88)),
    ("nasbench201", "rice_edgegpu"): ("tau", (0.85, 0.88, 0.90)),
    ("fbnet", "gold_6240"): ("mape", (4.2, 3.5, 3.0, 2.5)),
    ("fbnet", "samsung_s7"): ("mape", ()),
    ("fbnet", "samsung_a50"): ("mape", ()),
}
HEAD = ("space", "device", "n", "model", "Kendall tau", "MAPE %", "within 90 % interval", "held to")
_NORMAL = 1.6448536


@dataclass(frozen=True)
class Figures:
    """tau: Kendall's. mape: mean absolute error, % of the latency. covered: % of held-out measurements within mean +-
    1.645 standard deviations, which should be 90.
    """

    tau: float
    mape: float
    covered: float


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
        rows = []
        for name in models:
            model = unfitted(name, data)
            if model is None:
                continue
            runs = [judge(model, data, *split(data, count, seed)) for seed in range(seeds)]
            row: dict[str, Any] = {"space": data.space, "device": data.device, "n": count, "model": name}
            row |= {"seeds": seeds, "judged_by": figure, "held_to": limits[place] if limits else None}
            row["best_of_others"] = False
            for key in asdict(runs[0]):
                values = [getattr(run, key) for run in runs]
                row[key] = {"mean": float(np.mean(values)), "std": float(np.std(values, ddof=1)) if seeds > 1 else 0.0}
            rows.append(row)
            others = [row[figure]["mean"] for row in rows[:-1]]
            if name == latency.DEFAULT and not limits and others:
                row["held_to"] = round(max(others) if figure == "tau" else min(others), 2)
                row["best_of_others"] = True
            print(" ".join(map(str, cells_of(row))), file=sys.stderr, flush=True)
        yield from rows


def cells_of(row: dict[str, Any]) -> tuple[object, ...]:
    """A row of the table."""
    said = [f"{row[k]['mean']:.{d}f} +- {row[k]['std']:.{d}f}" for k, d in (("tau", 3), ("mape", 2), ("covered", 1))]
    limit = "" if row["held_to"] is None else f"{row['judged_by']} {row['held_to']}: {'yes' if _met(row) else 'no'}"
    return (row["space"], row["device"], row["n"], row["model"], *said, limit)


def _met(row: dict[str, Any]) -> bool:
    value: float = row[row["judged_by"]]["mean"]
    limit: float = row["held_to"]
    if row["best_of_others"]:  # as good as the best other model: equal to two decimals
        value = round(value, 2)
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
    parser.add_argument("--device", nargs="+", default=[])
    parser.add_argument("--model", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--part", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    every = list(datasets(options.data, pairs=False))
    known = {data.device for data in every}
    if not known or (unknown := set(options.device) - known):
        sys.exit(f"no .npz file in {options.data} has {', '.join(sorted(unknown)) if known else 'any device'}")
    figures: dict[str, Any] = {}
    tables: list[Sequence[Sequence[object]]] = []
    if "models" in options.part:
        chosen = [
            d
            for d in datasets(options.data)
            if (d.device in options.device if options.device else (d.space, d.device) in LIMITS)
        ]
        figures["rows"] = [row for data in chosen for row in compared(data, options.model, options.seeds)]
        tables.append([HEAD, *map(cells_of, figures["rows"])])
    if "few-shot" in options.part:
        figures["few_shot"] = []
        for row in fewshot.rows(every, options.device or sorted(known), options.seeds):
            figures["few_shot"].append(row)
            print(" ".join(fewshot.table([row])[1]), file=sys.stderr, flush=True)
        tables.append(fewshot.table(figures["few_shot"]))
    if "lightnets" in options.part:
        figures["lightnets"] = lightnets(options.data.parent / "lightnas")
        head = ("LightNet", "asked, ms", "predicted", "published")
        tables.append(
            [
                head,
                *(
                    ("", f"{p['asked_ms']:.0f}", f"{p['predicted_ms']:.2f}", f"{p['published_ms']:.2f}")
                    for p in figures["lightnets"]
                ),
            ]
        )
    publish("latency_models", figures, tables[0], as_json=options.json)
    for table in tables[1:]:
        print_table(table, sys.stderr if options.json else sys.stdout)


if __name__ == "__main__":
    main()
