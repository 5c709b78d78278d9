# SPDX-License-Identifier: Apache-2.0
"""Of the runtimes that a device has, the fastest: one architecture of the space is timed on each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from edgenas.boards.board import Precision
from edgenas.costs import estimate
from edgenas.errors import ConversionError, UsageError
from edgenas.measuring.session import Session
from edgenas.nas.lattice import Lattice
from edgenas.nas.scaling import scale_to_budget
from edgenas.progress import Reporter
from edgenas.runtimes.registry import unasked
from edgenas.spaces.architecture import Architecture
from edgenas.spaces.space import SearchSpace
from firmware_tools.errors import DeviceError, InferenceError, RuntimeMissingError


@dataclass(frozen=True)
class Compared:
    """A runtime, in which precision its models are, and what the reference architecture took on it, in ms."""

    name: str
    version: str
    precision: Precision
    latency_ms: float


def fastest(
    stack: ExitStack,
    open_on: Callable[[str | None], Session],
    named: str | None,
    space: SearchSpace,
    passed_over: Sequence[str] = (),
) -> tuple[Session, tuple[Compared, ...]]:
    """A session that `stack` closes, on the runtime that is `named`, the only one, or else the fastest but for those
    `passed_over`; and what was compared for that, nothing if there was no choice. Raises as `compare` does.
    """
    session = stack.enter_context(open_on(named))
    names = unasked(session.info)
    if named is not None or len(names) < 2:
        return session, ()
    stack.close()  # a device speaks to one session at a time
    runtimes = compare(open_on, [name for name in names if name not in passed_over], space, session.reporter)
    return stack.enter_context(open_on(runtimes[0].name)), runtimes


def compare(
    open_on: Callable[[str], Session], names: Sequence[str], space: SearchSpace, reporter: Reporter
) -> tuple[Compared, ...]:
    """The runtimes `names` in the order of the reference architecture's latency; those on which it fails are left out.

    `open_on(name)` is a session on the runtime. What the store has of the architecture is believed, so that a command
    that is given again chooses as before. Raises what the last one failed with if it runs on none.
    """
    architecture = reference(space)
    found: list[Compared] = []
    failed: DeviceError | ConversionError | UsageError | None = None
    for name in names:
        try:
            with open_on(name) as session:
                latency_ms = _latency_ms(session, space, architecture)
                found.append(Compared(name, session.key.runtime_version, session.precision, latency_ms))
        except (InferenceError, RuntimeMissingError, ConversionError, UsageError) as error:  # UsageError: the precision
            reporter.say(f"runtime {name} is left out: {error}")
            failed = error
    if failed is not None and not found:
        raise failed
    return tuple(sorted(found, key=lambda one: one.latency_ms))


def reference(space: SearchSpace) -> Architecture:
    """The baseline's template filled half-way, by multiply-accumulates, from the space's smallest to its largest."""
    lattice = Lattice(space, lambda block: float(estimate.macs([block])))
    fastest, slowest = lattice.extremes()
    middle = (lattice.price(fastest) + lattice.price(slowest)) / 2  # a smaller one says more of calls than of kernels
    filled = [
        found
        for template in space.templates
        if template.baseline
        for found in scale_to_budget(lattice, template, middle)
    ]
    return (filled or [slowest])[0]


def _latency_ms(session: Session, space: SearchSpace, architecture: Architecture) -> float:
    for known in reversed(session.store.read(session.key, space=space.name)):
        same = (known.input_shape, known.classes) == (space.input_shape, space.classes)
        if same and known.architecture == str(architecture) and known.origin is None:
            return known.latency_ms
    session.use(space)
    return session.measure_untrained(space, [architecture])[0].latency_ms
