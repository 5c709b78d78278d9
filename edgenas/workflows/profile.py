"""`edgenas profile`: measure sampled architectures with random weights on the device and fit the latency model."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edgenas import cost, inventory
from edgenas.board import BoardProfile
from edgenas.progress import Reporter, Silent
from edgenas.session import Session
from edgenas.space import Architecture, Block, SearchSpace
from edgenas.strategies.candidate import operator_weight
from edgenas.strategies.exact import Lattice
from edgenas.strategies.fill import fill
from edgenas.units import Unit
from firmware_tools.connect import Access

SECONDS = 60.0  # a profiling run's time unless asked otherwise
_BATCH = 12
_LEAST, _MOST = 36, 72  # architectures of a profiling run
_GOOD = 0.025  # relative error by cross-validation at which a run may stop before its time


@dataclass(frozen=True)
class Profiled:
    """A saved profile, with the space's predicted range on the board in `unit`."""

    profile: BoardProfile
    unit: Unit
    fastest_ms: float
    slowest_ms: float
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        profile = self.profile
        table = {
            **asdict(profile.key),
            "space": profile.space_name,
            "input_shape": list(profile.input_shape),
            "measurements": profile.measurements,
            "fastest_ms": self.fastest_ms,
            "slowest_ms": self.slowest_ms,
            "file": str(BoardProfile.path(profile.key)),
            "seconds": round(self.seconds, 3),
        }
        return self.unit.label(table)


def profile(
    board: str | None = None,
    *,
    device: str | None = None,
    space: str = "tiny",
    input_shape: tuple[int, int, int] = (1, 28, 28),
    classes: int = 10,
    precision: str | None = None,
    statistic: str | None = None,
    seconds: float = SECONDS,
    seed: int = 0,
    set_governor: str | None = None,
    runtime: str | None = None,
    access: Access | None = None,
    reporter: Reporter | None = None,
) -> Profiled:
    """Profile `board` for about `seconds` and save the refined profile in the user's folder.

    set_governor: a frequency governor for the time of every measurement; what was set before is put back. runtime: what
    runs the models on the device (litert, tflite, tensorflow, tensorrt), else its first.

    Raises UsageError for an unknown board, space or statistic, or a governor that cannot be set, DeviceError if the
    device fails.
    """
    reporter = reporter or Silent()
    reporter.stage("profile")
    bound = SearchSpace.load(space, input_shape, classes)
    described, url = inventory.resolve(board, device)
    with Session(
        described,
        reporter,
        device=url,
        access=access,
        precision=precision,
        statistic=statistic,
        governor=set_governor,
        runtime=runtime,
    ) as session:
        return profile_session(session, bound, seconds=seconds, seed=seed)


def profile_session(session: Session, space: SearchSpace, *, seconds: float = SECONDS, seed: int = 0) -> Profiled:
    """`profile` on an open session: batches of architectures until the time is up, the first ones by a prior.

    Every batch holds the model's own idea of the space's fastest and slowest architecture, where percentages begin and
    end, and templates filled to latencies between them.
    """
    started = time.monotonic()
    session.use(space)
    rng = np.random.default_rng(seed)
    measured = _interrupted(session, space)
    lattice = Lattice(space, _prior_cost, limits=session.limits, precision=session.precision)
    if len(measured) >= _BATCH:
        lattice = _priced(session, space)
    while len(measured) < _MOST:
        before = time.monotonic()
        batch = [a for a in _batch(lattice, rng) if a not in measured][:_BATCH]
        if not batch:  # a space of few architectures
            break
        session.measure_fitting(space, batch)
        measured.update(batch)
        lattice = _priced(session, space)
        spent, last = time.monotonic() - started, time.monotonic() - before
        error = _error(session, space, lattice)
        session.reporter.say(f"{len(measured)} architectures measured in {spent:.0f} s, model within {error:.1%}")
        if spent + last > seconds or (len(measured) >= _LEAST and error <= _GOOD):
            break
    refined = session.refined()
    refined.save()
    fastest, slowest = (lattice.price(a) for a in lattice.extremes())
    return Profiled(refined, session.board.unit, fastest, slowest, time.monotonic() - started)


def _interrupted(session: Session, space: SearchSpace) -> set[Architecture]:
    """What a profiling run that never came to its end has measured; nothing once there is a profile."""
    if BoardProfile.load(session.key) is not None:
        return set()
    mine = (m for m in session.store.read(session.key, space=space.name) if m.input_shape == space.input_shape)
    return {Architecture.parse(m.architecture) for m in mine}


def _error(session: Session, space: SearchSpace, lattice: Lattice) -> float:
    """The latency model's relative standard deviation, by cross-validation."""
    mean, std = session.model().predict([space.blocks(lattice.extremes()[1])])
    return float(std[0] / mean[0])


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
    return float(np.exp(rng.uniform(np.log(min(1.2 * low, high)), np.log(high))))


def _prior_cost(block: Block) -> float:
    # Before anything is measured: a multiply-accumulate costs 1, an element written 4, an operator 20,000.
    layers = block.layers()
    return cost.macs([block]) + sum(4.0 * layer.elements_out + 20_000.0 for layer in layers)
