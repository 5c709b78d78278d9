"""`edgenas profile`: measure sampled architectures with random weights on the device and fit the latency model."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from edgenas import cost
from edgenas.board import Board, BoardProfile
from edgenas.progress import Reporter, Silent
from edgenas.search.candidate import operator_weight
from edgenas.search.exact import Lattice
from edgenas.search.fill import fill
from edgenas.session import Session
from edgenas.space import Architecture, Block, SearchSpace

SECONDS = 60.0  # a profiling run's time unless asked otherwise
_BATCH = 12
_LEAST, _MOST = 24, 72  # architectures of a first profile, of the longest one


@dataclass(frozen=True)
class Profiled:
    """A saved profile, with the space's predicted range on the board in ms."""

    profile: BoardProfile
    fastest_ms: float
    slowest_ms: float
    seconds: float


def profile(
    board: str = "host",
    *,
    device: str | None = None,
    space: str = "tiny",
    input_shape: tuple[int, int, int] = (1, 28, 28),
    classes: int = 10,
    precision: str | None = None,
    statistic: str | None = None,
    seconds: float = SECONDS,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> Profiled:
    """Profile `board` for about `seconds` and save the refined profile in the user's folder.

    Raises UsageError for an unknown board, space or statistic, DeviceError if the device fails.
    """
    reporter = reporter or Silent()
    reporter.stage("profile")
    bound = SearchSpace.load(space, input_shape, classes)
    with Session(Board.load(board), reporter, device=device, precision=precision, statistic=statistic) as session:
        return profile_session(session, bound, seconds=seconds, seed=seed)


def profile_session(session: Session, space: SearchSpace, *, seconds: float = SECONDS, seed: int = 0) -> Profiled:
    """`profile` on an open session: batches of architectures until the time is up, the first ones by a prior.

    Every batch holds the model's own idea of the space's fastest and slowest architecture, where percentages begin and
    end, and templates filled to latencies between them.
    """
    started = time.monotonic()
    session.use(space)
    rng = np.random.default_rng(seed)
    lattice = Lattice(space, _prior_cost, limits=session.limits, precision=session.precision)
    measured: set[Architecture] = set()
    while len(measured) < _MOST:
        batch = [a for a in _batch(lattice, rng) if a not in measured][:_BATCH]
        before = time.monotonic()
        session.measure_untrained(space, batch)
        measured.update(batch)
        lattice = _priced(session, space)
        spent, last = time.monotonic() - started, time.monotonic() - before
        session.reporter.say(f"{len(measured)} architectures measured in {spent:.0f} s")
        if len(measured) >= _LEAST and spent + last > seconds:
            break
    refined = session.refined()
    refined.save()
    fastest, slowest = (lattice.price(a) for a in lattice.extremes())
    return Profiled(refined, fastest, slowest, time.monotonic() - started)


def _priced(session: Session, space: SearchSpace) -> Lattice:
    model = session.model()
    return Lattice(space, model.block_ms, model.bias_ms, session.limits, session.precision)


def _batch(lattice: Lattice, rng: np.random.Generator) -> list[Architecture]:
    """The extremes, filled templates and random architectures, spread evenly over the log of the latency."""
    fastest, slowest = lattice.extremes()
    low, high = lattice.price(fastest), lattice.price(slowest)
    found = [fastest, slowest]
    templates = lattice.space.templates
    for template in rng.permutation(len(templates))[:3]:
        found += fill(lattice, templates[template], _between(rng, low, high))[:1]
    while len(found) < _BATCH:
        aim = _between(rng, low, high)
        drawn = lattice.sample(rng, 0.8 * aim, aim, operator_weight(lattice))
        found.append(drawn if drawn is not None else slowest)
    return list(dict.fromkeys(found))


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(1.2 * low), np.log(high))))


def _prior_cost(block: Block) -> float:
    # Before anything is measured: a multiply-accumulate costs 1, an element written 4, an operator 20,000.
    layers = block.layers()
    return cost.macs([block]) + sum(4.0 * layer.elements_out + 20_000.0 for layer in layers)
