# SPDX-License-Identifier: Apache-2.0
"""Small .wav files."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np


def tone(hertz: float, seconds: float = 0.5, rate: int = 16000, level: float = 0.5) -> np.ndarray:
    return level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def write_wave(path: Path, samples: np.ndarray, rate: int = 16000, width: int = 2, channels: int = 1) -> Path:
    """Samples (N,) in -1..1, the same in every channel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.repeat(np.rint(samples * 32767).astype("<i2"), channels)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(values.tobytes() if width == 2 else bytes(width * len(values)))
    return path
