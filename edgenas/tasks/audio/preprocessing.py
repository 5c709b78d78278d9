# SPDX-License-Identifier: Apache-2.0
"""How a recording becomes the input, as the manifest tells it, in the order of the steps:

source              "files"
channels            "mean": stereo becomes mono
sample_rate_hz      to which a recording is resampled
samples             of the window: a shorter recording stands in the middle of zeros; of a longer one the second with
                    most energy is taken
peak                the window is scaled so that its largest magnitude is this
frame_samples       of each frame, under a periodic Hann window (`window`)
hop_samples         from one frame to the next
fft                 length of the transform, frames are padded with zeros at their end
power               "|fft|^2 / (sum(window) / 2)^2": 1 for a sine of full scale
mel                 bands: triangles in mel (1127 * ln(1 + hz / 700)) with a top of 1, edges evenly from lowest_hz to
                    highest_hz
decibels            "10 * log10(band)"
feature             the byte: "clip(round((decibels / 64 + 1) * 255), 0, 255)", halves to the even integer
axes                of the input (height, width, channels)
"""

from __future__ import annotations

from typing import Any

from edgenas.tasks.audio.features import BANDS, FFT, HIGHEST_HZ, HOP, LOWEST_HZ, RANGE_DB, RATE, SAMPLES, WINDOW
from edgenas.tasks.dataset import InputSpec


def preprocessing(spec: InputSpec) -> dict[str, Any]:
    """The task's part of the manifest's `preprocessing`."""
    return {
        "source": "files",
        "channels": "mean",
        "sample_rate_hz": RATE,
        "samples": SAMPLES,
        "peak": 1.0,
        "frame_samples": WINDOW,
        "hop_samples": HOP,
        "window": "hann, periodic",
        "fft": FFT,
        "power": "|fft|^2 / (sum(window) / 2)^2",
        "mel": {"bands": BANDS, "lowest_hz": LOWEST_HZ, "highest_hz": HIGHEST_HZ},
        "decibels": "10 * log10(band)",
        "feature": f"clip(round((decibels / {RANGE_DB:g} + 1) * 255), 0, 255)",
        "axes": list(spec.axes),
    }
