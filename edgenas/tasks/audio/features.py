# SPDX-License-Identifier: Apache-2.0
"""A recording as log-mel features: one second, 49 frames of 40 bands.

Windows of 30 ms every 20 ms and 40 mel bands from 20 Hz to 4 kHz, of a recording whose peak is 1, are those of keyword
spotting in MLPerf Tiny (Banbury et al., NeurIPS 2021), which follow Warden's Speech Commands (2018); the mel scale is
HTK's. As there, a feature covers 64 dB; here its top is a sine of full scale.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from edgenas.tasks.audio.wave_files import Samples
from edgenas.tasks.raw import Bytes

RATE = 16_000  # Hz
SAMPLES = RATE  # one second
WINDOW, HOP, FFT = 480, 320, 512  # samples: 30 ms, 20 ms
FRAMES, BANDS = (SAMPLES - WINDOW) // HOP + 1, 40
LOWEST_HZ, HIGHEST_HZ = 20.0, 4_000.0
RANGE_DB = 64.0  # below a sine of full scale
_STEP = RATE // 100  # samples between two places where a second may begin

_Floats = npt.NDArray[np.float64]


def features(samples: Samples, rate: int) -> Bytes:
    """(49, 40, 1) uint8 of samples (N,) at `rate` Hz: 255 is a sine of full scale, 0 is 64 dB below and less."""
    second = one_second(resampled(samples, rate))
    peak = float(np.abs(second).max())
    second = second / peak if peak else second
    frames = np.lib.stride_tricks.sliding_window_view(second, WINDOW)[::HOP]
    power = np.abs(np.fft.rfft(frames * _window(), FFT)) ** 2 / (_window().sum() / 2) ** 2
    decibels = 10 * np.log10(np.maximum(power @ mel_bands(), 1e-12))
    scaled: Bytes = np.clip(np.rint((decibels / RANGE_DB + 1) * 255), 0, 255).astype(np.uint8)
    return scaled[..., np.newaxis]


def resampled(samples: Samples, rate: int) -> _Floats:
    """The samples at 16 kHz, by a polyphase filter."""
    if rate == RATE:
        return samples.astype(np.float64)
    from scipy.signal import resample_poly

    common = math.gcd(rate, RATE)
    result: _Floats = resample_poly(samples.astype(np.float64), RATE // common, rate // common)
    return result


def one_second(samples: _Floats) -> _Floats:
    """(16000,): a shorter recording in the middle of silence, of a longer one the second with most energy."""
    if len(samples) <= SAMPLES:
        before = (SAMPLES - len(samples)) // 2
        return np.pad(samples, (before, SAMPLES - len(samples) - before))
    energy = np.concatenate(([0.0], np.cumsum(samples**2)))
    starts = np.arange(0, len(samples) - SAMPLES + 1, _STEP)
    start = int(starts[np.argmax(energy[starts + SAMPLES] - energy[starts])])
    return samples[start : start + SAMPLES]


@lru_cache(maxsize=1)
def mel_bands() -> _Floats:
    """(257, 40): the triangle of each band over the bins of the spectrum, its top 1."""
    edges = np.linspace(_mel(LOWEST_HZ), _mel(HIGHEST_HZ), BANDS + 2)
    bins = _mel(np.arange(FFT // 2 + 1) * RATE / FFT)[:, np.newaxis]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    triangles: _Floats = np.maximum(0, np.minimum(rising, falling))
    return triangles


def _mel(hertz: npt.ArrayLike) -> _Floats:
    mels: _Floats = 1127 * np.log1p(np.asarray(hertz, np.float64) / 700)
    return mels


@lru_cache(maxsize=1)
def _window() -> _Floats:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)  # Hann, periodic
