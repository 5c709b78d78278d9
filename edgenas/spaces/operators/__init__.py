# SPDX-License-Identifier: Apache-2.0
"""Block operators by name: those that a stage may take, and with stem and head those that a network consists of."""

from __future__ import annotations

from collections.abc import Mapping

from edgenas.spaces.operators.base import BlockOperator
from edgenas.spaces.operators.fused import FUSED
from edgenas.spaces.operators.head import HEAD
from edgenas.spaces.operators.mbconv import MBCONV
from edgenas.spaces.operators.plain import PLAIN
from edgenas.spaces.operators.residual import RESIDUAL
from edgenas.spaces.operators.separable import SEPARABLE
from edgenas.spaces.operators.stem import STEM

STAGE_OPERATORS: Mapping[str, BlockOperator] = {
    operator.name: operator
    for operator in (
        PLAIN,
        RESIDUAL,
        MBCONV,
        FUSED,
        SEPARABLE,
    )
}
BLOCK_OPERATORS: Mapping[str, BlockOperator] = {STEM.name: STEM, **STAGE_OPERATORS, HEAD.name: HEAD}
