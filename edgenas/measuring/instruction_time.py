# SPDX-License-Identifier: Apache-2.0
"""How long a board takes for the instructions that an emulator counts."""

from __future__ import annotations

from collections.abc import Sequence

from edgenas.measuring.session import Session
from edgenas.runtimes import engine
from edgenas.spaces.architecture import Architecture
from edgenas.spaces.space import SearchSpace


def ms_per_minsn(session: Session, space: SearchSpace, architectures: Sequence[Architecture]) -> float:
    """Milliseconds of a million instructions: by the board's prior if the session counts for it, else as its latency
    model prices `architectures`, of which the instructions are counted in an emulator.

    Raises EmulatorError if there is none.
    """
    assert session.board.prior is not None
    if session.prior is not None:
        return session.scale
    models = session.convert_untrained(space, architectures)
    counted = sum(engine.counted(session.board.prior, model) for model in models)
    mean, _ = session.model().predict([space.blocks(architecture) for architecture in architectures])
    return float(mean.sum() / counted)
