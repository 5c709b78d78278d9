# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.recordings import tone, write_wave


@pytest.fixture
def keywords(tmp_path: Path) -> Callable[..., Path]:
    """`keywords(speakers=5, takes=2)`: two classes, a low and a high tone, by speakers of their own pitch."""

    def make(speakers: int = 5, takes: int = 2, name: str = "{label}_s{speaker}_{take}.wav") -> Path:
        root = tmp_path / "words"
        for label, hertz in (("high", 1500), ("low", 300)):
            for speaker in range(speakers):
                for take in range(takes):
                    file = name.format(label=label, speaker=speaker, take=take, hash=f"{speaker:08x}")
                    write_wave(root / label / file, tone(hertz * (1 + 0.05 * speaker), 0.3 + 0.1 * take))
        return root

    return make
