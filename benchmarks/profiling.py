# SPDX-License-Identifier: Apache-2.0
"""Profiling sessions, live: is a profile made in minutes right for networks that it has not seen, and does it learn?

For each board, in a fresh EDGENAS_HOME: `edgenas profile --minutes`, then the error (MAPE) on 30 fresh architectures,
then 5 refinements, each with what a deploy adds (6 networks near one budget, in a session of their own), and the error
on the same 30 again. They are measured twice by the board's full protocol, after the profile and at the end, on a Linux
board in turn with the profile's reference network and as many times what the profile holds that to take; the mean is
held to be true, and half of how far the two are apart is the noise below which no error can be. `absolute` is the error
before the refinements against what they took by themselves: on a computer that others share it holds how much busier
that has become as well.

Before that, conversions: how many untrained architectures the warm converter makes a minute. `--design` compares, on
recorded networks, the choice of what to measure (half of it drawn) with a random draw at equal numbers.

    python benchmarks/profiling.py [--minutes 5] [--board host mps2-an386] [--json]
    python benchmarks/profiling.py --design
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from program import edgenas, share_converter
from report import ROOT, publish

from edgenas import latency
from edgenas.boards.board import Board
from edgenas.measuring.session import Session
from edgenas.nas import sampling
from edgenas.nas.lattice import Lattice
from edgenas.nas.problem import operator_weight
from edgenas.profiles.evidence import evidence
from edgenas.progress import Silent
from edgenas.spaces.architecture import Architecture, Block
from edgenas.spaces.space import SearchSpace

DEVICES = {"host": "local:", "mps2-an386": "unicorn:"}
SPACE = SearchSpace.load("tiny", (1, 28, 28), 10)
CONVERSIONS, FRESH, REFINEMENTS, CANDIDATES = 60, 30, 5, 6
RECORDED = {"host int8": ("host_measured", "int8_ms"), "host float32": ("host_measured", "float32_ms")}
RECORDED["mps2-an386"] = ("mps2_an386_counted", "instructions")
HEAD = ("board", "measured", "cross-val.", "fresh 30", "refined", "noise", "absolute", "minutes")
BATCH, SEEDS = 8, 20  # of the 34 recorded networks of one shape, 27 can be drawn


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--board", nargs="+", choices=sorted(DEVICES), default=sorted(DEVICES))
    parser.add_argument("--design", action="store_true", help="only the comparison on recorded networks")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.design:
        designs(options.json)
        return
    figures: dict[str, Any] = {}
    table: list[Sequence[object]] = [HEAD]
    for board in options.board:
        with tempfile.TemporaryDirectory(prefix="edgenas-profiling-") as folder:
            share_converter(Path(folder) / "home")
            with patch.dict(os.environ, EDGENAS_HOME=str(Path(folder) / "home")):
                figures[board] = found = live(board, options.minutes, Path(folder))
        errors = [f"{100 * found[name]:.2f} %" for name in ("mape", "fresh", "refined", "noise", "absolute")]
        table.append((board, found["measured"], *errors, f"{found['seconds'] / 60:.1f}"))
        print(f"{board}: {found['conversions_per_minute']:.0f} conversions a minute", file=sys.stderr)
    publish("profiling", {"boards": figures}, table, as_json=options.json)


def live(board: str, minutes: float, folder: Path) -> dict[str, Any]:
    """All figures of one board."""
    home, device = folder / "home", DEVICES[board]
    rate = conversions(board)
    found = edgenas(["profile", "--board", board, "--device", device, "--minutes", str(minutes)], home, folder).result
    with Session(Board.load(board), Silent(), device=device) as session:
        known = {Architecture.parse(m.architecture) for m in session.store.read(session.key)}
        lattice, rng = priced(session), np.random.default_rng(1000)
        fresh = [a for a in sampling.pool(lattice, rng) if a not in known][:FRESH]
        models = list(session.convert_untrained(SPACE, fresh))
        reference = known_reference(session)
        first = truth(session, models, reference)
        alone = np.array([timing.latency_ms for timing in session.device.time(models, session.plan())])
        before, held = session.model(), speed(session, reference)
    for seed in range(REFINEMENTS):
        refine(board, device, seed, set(fresh))
    with Session(Board.load(board), Silent(), device=device) as session:
        second, after, held_after = truth(session, models, reference), session.model(), speed(session, reference)
    true, blocks = np.sqrt(first * second), [SPACE.blocks(a) for a in fresh]
    names = ("mape", "measured", "coverage", "drift", "repeated", "stopped_by", "seconds")
    return {
        **{name: found[name] for name in names},
        "networks": [
            {"architecture": str(a), "measured": [float(one), float(other)]}
            for a, one, other in zip(fresh, first, second, strict=True)
        ],
        "fresh": error(before, blocks, held * true),
        "refined": error(after, blocks, held_after * true),
        "absolute": error(before, blocks, alone),
        "noise": float(np.mean(np.abs(first / second - 1)) / 2),
        "conversions_per_minute": rate,
    }


def conversions(board: str) -> float:
    """Untrained architectures converted a minute, the converter being warm."""
    with Session(Board.load(board), Silent(), device=DEVICES[board]) as session:
        drawn = sampling.pool(prior(session), np.random.default_rng(2000))[: CONVERSIONS + 1]
        list(session.convert_untrained(SPACE, drawn[:1]))
        started = time.monotonic()
        list(session.convert_untrained(SPACE, drawn[1:]))
        return 60 * CONVERSIONS / (time.monotonic() - started)


def prior(session: Session) -> Lattice:
    """The space priced by its operators, before anything is measured."""
    return Lattice(SPACE, lambda block: float(len(block.layers())), limits=session.limits)


def priced(session: Session) -> Lattice:
    """The space priced by the profile."""
    model = session.model()
    return Lattice(SPACE, model.block_ms, model.bias_ms, session.limits, session.precision)


def known_reference(session: Session) -> bytes | None:
    """The model that the profiling session timed the others in turn with; None where nothing drifts."""
    found = [m.architecture for m in session.store.read(session.key) if m.conditions.get("reference")]
    if not found or session.counts:
        return None
    (model,) = session.convert_untrained(SPACE, [Architecture.parse(found[0])])
    return model


def truth(session: Session, models: Sequence[bytes], reference: bytes | None) -> np.ndarray[Any, Any]:
    """Latencies by the board's full protocol, in those of the reference where there is one; they are not stored."""
    timings = session.device.time(models, replace(session.plan(), reference=reference))
    return np.array([timing.latency_ms if reference is None else timing.relative for timing in timings])


def speed(session: Session, reference: bytes | None) -> float:
    """What the reference takes on the board as the profile holds it to be; 1 without one."""
    if reference is None:
        return 1.0
    measured = session.store.read(session.key)
    names = {m.architecture for m in measured if m.conditions.get("reference")}
    data = evidence(measured, lambda m: SPACE.blocks(Architecture.parse(m.architecture)))
    return next(ms for one, ms in zip(data.networks, data.latency_ms, strict=True) if one.architecture in names)


def refine(board: str, device: str, seed: int, hidden: set[Architecture]) -> None:
    """What a deploy adds: a few networks just below one budget, in a session of its own; none of the `hidden`."""
    rng = np.random.default_rng(3000 + seed)
    with Session(Board.load(board), Silent(), device=device) as session:
        lattice = priced(session)
        low, high = map(lattice.price, lattice.extremes())
        budget = float(np.exp(rng.uniform(np.log(2 * low), np.log(high))))
        drawn = lattice.samples(rng, [(0.9 * budget, budget)] * (2 * CANDIDATES), operator_weight(lattice))
        candidates = [a for a in dict.fromkeys(drawn) if a not in hidden][:CANDIDATES]
        session.measure_fitting(SPACE, candidates)
        session.refined().save()


def error(model: latency.LatencyModel, blocks: Sequence[Sequence[Block]], true: np.ndarray[Any, Any]) -> float:
    """Mean absolute relative error."""
    mean, _ = model.predict(blocks)
    return float(np.mean(np.abs(mean / true - 1)))


def designs(as_json: bool) -> None:
    """Means over seeds with standard errors, at 16 and 24 networks: drawn at random; chosen after the first 8."""
    table: list[Sequence[object]] = [("recorded", "model", "way", "16 networks", "24 networks")]
    figures = []
    for recorded, (file, key) in RECORDED.items():
        name = "engine" if key == "instructions" else "features"
        networks = json.loads((ROOT / "tests" / "latency" / f"{file}.json").read_text())["networks"]
        networks = [m for m in networks if tuple(m.get("input_shape", (1, 28, 28))) == (1, 28, 28)]
        known = {Architecture.parse(m["architecture"]): float(m[key]) for m in networks}
        for way in ("random", "chosen"):
            rows = 100 * np.array([learnt(known, name, way == "chosen", seed) for seed in range(SEEDS)])
            mean, spread = rows.mean(axis=0), rows.std(axis=0, ddof=1) / np.sqrt(SEEDS)
            figures.append({"recorded": recorded, "model": name, "way": way, "mape": list(mean), "error": list(spread)})
            table.append((recorded, name, way, *(f"{m:.2f} +- {s:.2f} %" for m, s in zip(mean, spread, strict=True))))
    publish("profiling, choice of what to measure", {"seeds": SEEDS, "designs": figures}, table, as_json=as_json)


def learnt(known: dict[Architecture, float], name: str, chosen: bool, seed: int) -> list[float]:
    """Error on a fifth of `known`, after 16 and after 24 others."""
    order = [list(known)[i] for i in np.random.default_rng(seed).permutation(len(known))]
    held, pool = order[: len(order) // 5], order[len(order) // 5 :]
    taken, errors = pool[:BATCH], []
    while len(taken) < 3 * BATCH:
        rest = [a for a in pool if a not in taken]
        taken = taken + (choose(fitted(known, name, taken), taken, rest) if chosen else rest[:BATCH])
        model = fitted(known, name, taken)
        errors.append(error(model, [SPACE.blocks(a) for a in held], np.array([known[a] for a in held])))
    return errors


def fitted(known: dict[Architecture, float], name: str, taken: Sequence[Architecture]) -> latency.LatencyModel:
    """The model fitted on `taken`."""
    return latency.create(name).fit([SPACE.blocks(a) for a in taken], [known[a] for a in taken])


def choose(model: latency.LatencyModel, taken: Sequence[Architecture], rest: Sequence[Architecture]) -> Any:
    """The next batch."""
    mean, _ = model.predict([SPACE.blocks(a) for a in (*taken, *rest)])
    prices = dict(zip((*taken, *rest), mean.tolist(), strict=True))
    return sampling.choose(SPACE, prices.__getitem__, taken, rest, BATCH)


if __name__ == "__main__":
    main()
