# SPDX-License-Identifier: Apache-2.0
"""A new board from 10 and 20 measurements, with the other devices of its space as known boards and without.

Every known board's model is fitted on 100 of its own measurements. What is measured on the new one is random; held out
are 500 networks, of other canonical forms. `without prior` are models that know nothing but operators: what is known
as learning a board from scratch. `auto` begins with what layers cost everywhere, so it has less left to learn from
other boards; `ceiling` is what it reaches from 300 measurements of the board itself, and `source` is the best known
board's model taken as it is, by hindsight.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, spearmanr

from benchmarks.latency_data.devices import Data, Network, split
from edgenas import latency
from edgenas.latency.parts import counts, vocabulary
from edgenas.latency.transfer import Source, TransferModel

COUNTS = (20, 10)
ALONE = "auto"  # what transfer mixes known boards with, and falls back on; also the known boards' model
WITHOUT_PRIOR = ("regressed-table", "one-hot gp")
LEAST_SPEARMAN = {("raspi4", 10): 0.91}  # published, HELP: .890
_SOURCE, _SOURCE_SEED = 100, 99
_HELD_OUT, _CEILING = 500, 300
_FIGURES = ("tau", "spearman", "mape")

Array = NDArray[np.float64]


def rows(every: Sequence[Data], devices: Sequence[str], seeds: int) -> Iterator[dict[str, Any]]:
    """One row by device and count: mean and standard deviation over seeds of each model's figures.

    every: all devices, the known boards; devices: the new boards among them. `gain` and `gain_se` are the mean
    difference in tau between transfer and `auto` and its standard error over seeds, `gain_over_none` that to the better
    of WITHOUT_PRIOR.
    """
    known = {(data.space, data.device): _source(data) for data in every}
    for count, data in product(COUNTS, every):
        if data.device not in devices:
            continue
        others = tuple(Source(d, m) for (s, d), m in known.items() if s == data.space and d != data.device)
        yield _row(data, count, [_run(data, others, count, seed) for seed in range(seeds)])


def _row(data: Data, count: int, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {"space": data.space, "device": data.device, "n": count, "seeds": len(runs)}
    for name in ("transfer", ALONE, "ceiling", "source", *WITHOUT_PRIOR):
        table = np.array([run[name] for run in runs])
        row[name] = {
            figure: {"mean": float(values.mean()), "std": float(values.std(ddof=1)) if len(runs) > 1 else 0.0}
            for figure, values in zip(_FIGURES, table.T, strict=True)
        }
    gains = np.array([run["transfer"][0] - run[ALONE][0] for run in runs])
    row["gain"] = float(gains.mean())
    row["gain_se"] = float(gains.std(ddof=1) / np.sqrt(len(gains))) if len(runs) > 1 else 0.0
    best = max(WITHOUT_PRIOR, key=lambda name: row[name]["tau"]["mean"])
    row["gain_over_none"] = row["transfer"]["tau"]["mean"] - row[best]["tau"]["mean"]
    return {**row, "without_prior": best, "refused": sum(run["refused"] for run in runs)}


def _run(data: Data, others: Sequence[Source], count: int, seed: int) -> dict[str, Any]:
    measured, held = split(data, count, seed)
    held = held[:_HELD_OUT]
    networks, y = [data.networks[i] for i in measured], data.latency_ms[measured]
    left, true = [data.networks[i] for i in held], data.latency_ms[held]
    transfer = TransferModel(tuple(others), _new()).fit(networks, y.tolist())
    more = split(data, _CEILING, seed)[0]
    ceiling = _new().fit([data.networks[i] for i in more], data.latency_ms[more].tolist())
    predicted = {
        "transfer": transfer.predict(left)[0],
        ALONE: _new().fit(networks, y.tolist()).predict(left)[0],
        "ceiling": ceiling.predict(left)[0],
        "regressed-table": latency.create("regressed-table").fit(networks, y.tolist()).predict(left)[0],
        "one-hot gp": _one_hot(networks, y, left),
    }
    taken = [source.model.predict(left)[0] for source in others]
    predicted["source"] = max(taken, key=lambda mean: float(kendalltau(mean, true)[0]))
    return {**{name: _judged(mean, true) for name, mean in predicted.items()}, "refused": not transfer.share}


def _judged(mean: Array, true: Array) -> tuple[float, float, float]:
    error = 100 * float(np.mean(np.abs(mean / true - 1)))
    if np.ptp(mean) == 0.0:  # one latency for all ranks nothing
        return 0.0, 0.0, error
    return float(kendalltau(mean, true)[0]), float(spearmanr(mean, true)[0]), error


def _one_hot(networks: Sequence[Network], y: Array, left: Sequence[Network]) -> Array:
    """A Gaussian process (RBF and noise) on which operator is where, as predictors without a prior are compared."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    names = vocabulary([*networks, *left], "place")
    kernel = ConstantKernel(1.0, (1e-3, 1e3)) * RBF(3.0, (0.1, 100.0)) + WhiteKernel(0.1, (1e-6, 10.0))
    process = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0)
    with warnings.catch_warnings():  # where there is little noise it ends at its lower bound
        warnings.simplefilter("ignore", ConvergenceWarning)
        process.fit(counts(networks, "place", names)[0], y)
    mean: Array = process.predict(counts(left, "place", names)[0])
    return mean


def _source(data: Data) -> latency.AdditiveModel:
    measured, _ = split(data, _SOURCE, _SOURCE_SEED)
    fitted = _new().fit([data.networks[i] for i in measured], data.latency_ms[measured].tolist())
    return latency.load_additive(fitted.to_json())


def _new() -> latency.AdditiveModel:
    return latency.load_additive(latency.create(ALONE).to_json())


def table(found: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """The rows for people, the means by count behind them."""
    head = "space device n,no prior,by,source,auto,transfer,over no prior,over auto,ceiling,spearman,MAPE %,refused"
    lines: list[tuple[str, ...]] = [tuple(head.replace(" ", ",", 2).split(","))]
    for row in found:
        none, transfer = row[row["without_prior"]], row["transfer"]
        least = LEAST_SPEARMAN.get((row["device"], row["n"])) if row["space"] == "nasbench201" else None
        met = "" if least is None else f" ({least}: {'yes' if transfer['spearman']['mean'] >= least else 'no'})"
        lines.append(
            (
                *(str(row[key]) for key in ("space", "device", "n")),
                _cell(none["tau"]),
                row["without_prior"],
                *(_cell(row[name]["tau"]) for name in ("source", ALONE, "transfer")),
                f"{row['gain_over_none']:+.3f}",
                f"{row['gain']:+.3f} +- {row['gain_se']:.3f}",
                _cell(row["ceiling"]["tau"]),
                f"{row[ALONE]['spearman']['mean']:.3f} -> {transfer['spearman']['mean']:.3f}{met}",
                f"{row[ALONE]['mape']['mean']:.1f} -> {transfer['mape']['mean']:.1f}",
                f"{row['refused']} of {row['seeds']}",
            )
        )
    for count in COUNTS:
        rows_of = [row for row in found if row["n"] == count]
        if len(rows_of) > 1:
            lines.append(_mean(count, rows_of))
    return lines


def _mean(count: int, found: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    def mean(name: str) -> str:
        return f"{np.mean([row[name]['tau']['mean'] for row in found]):.3f}"

    none = f"{np.mean([row[row['without_prior']]['tau']['mean'] for row in found]):.3f}"
    gains = [f"{np.mean([row[key] for row in found]):+.3f}" for key in ("gain_over_none", "gain")]
    return (
        "mean",
        "",
        str(count),
        none,
        "",
        mean("source"),
        mean(ALONE),
        mean("transfer"),
        *gains,
        mean("ceiling"),
        "",
        "",
        "",
    )


def _cell(figure: Mapping[str, float]) -> str:
    return f"{figure['mean']:.3f} +- {figure['std']:.3f}"
