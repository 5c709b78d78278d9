"""How far a latency model is off on networks that it was not fitted on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgenas import latency
from edgenas.refine import refine
from edgenas.space import Architecture, Block, SearchSpace
from edgenas.store import Measurement

ENOUGH = 10  # networks of a session of which the error can be told
_FOLDS = 5


def cross_validated(space: SearchSpace, measurements: Sequence[Measurement], model: str, exact: bool) -> float | None:
    """The mean absolute relative error of `model` on the last session's networks, each predicted by all the others.

    measurements: of one key, in `space`. The networks are left out a fifth at a time; the others are fitted as for a
    profile, but without the one that there is, which has seen them. None with fewer than ten networks.
    """
    last = max(measurements, key=lambda m: m.taken_utc).session
    truth = {m.architecture: m.corrected_ms for m in measurements if m.session == last}
    if len(truth) < ENOUGH:
        return None

    def blocks_of(measurement: Measurement) -> Sequence[Block]:
        return space.blocks(Architecture.parse(measurement.architecture))

    names = np.random.default_rng(0).permutation(sorted(truth)).tolist()
    errors: list[float] = []
    for fold in range(_FOLDS):
        out = names[fold::_FOLDS]
        rest = [m for m in measurements if m.architecture not in out]
        fitted = latency.load(refine(None, measurements[0].key, rest, blocks_of, model=model, exact=exact).latency)
        mean, _ = fitted.predict([space.blocks(Architecture.parse(name)) for name in out])
        errors += np.abs(mean / [truth[name] for name in out] - 1).tolist()
    return float(np.mean(errors))
