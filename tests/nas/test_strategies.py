# SPDX-License-Identifier: Apache-2.0
"""What every strategy in the registry promises."""

from __future__ import annotations

from typing import cast

import pytest

from edgenas.nas import STRATEGIES
from edgenas.tasks.dataset import Dataset

NO_DATA = cast(Dataset, None)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_is_made_unless_the_supernet_that_it_needs_is_missing(name: str) -> None:
    entry = STRATEGIES[name]
    if entry.needs_supernet:
        with pytest.raises(ValueError, match=f"{name} needs a trained supernet"):
            entry.make(None, NO_DATA)
    else:
        assert callable(entry.make(None, NO_DATA))
