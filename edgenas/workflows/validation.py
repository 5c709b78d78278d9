# SPDX-License-Identifier: Apache-2.0
"""How far a latency model is off on networks that it was not fitted on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgenas.profiles.evidence import by_session, evidence
from edgenas.profiles.measurement import Measurement
from edgenas.profiles.review import left_out
from edgenas.spaces.architecture import Architecture, Block
from edgenas.spaces.space import SearchSpace

ENOUGH = 10  # networks of a session of which the error can be told


def cross_validated(space: SearchSpace, measurements: Sequence[Measurement], model: str, exact: bool) -> float | None:
    """The mean absolute relative error of `model` on the last session's networks, each predicted without itself.

    measurements: of one key, in `space`. Networks are left out a fifth at a time; what the device has marked as
    disturbed is no truth, unless all is. None with fewer than ten networks.
    """
    *_, last = by_session(measurements).values()
    if len(last) < ENOUGH:
        return None

    def blocks_of(measurement: Measurement) -> Sequence[Block]:
        return space.blocks(Architecture.parse(measurement.architecture))

    data = evidence(measurements, blocks_of, exact=exact)
    quiet = [name for name, found in last.items() if not all(m.disturbed for m in found)]
    latest = [place for place, row in enumerate(data.rows) if row.age == 0]
    judged = [place for place in latest if data.networks[place] in quiet or len(quiet) < ENOUGH]
    measured = np.array(data.latency_ms)[judged]
    return float(np.mean(np.abs(left_out(data, model)[0][judged] / measured - 1)))
