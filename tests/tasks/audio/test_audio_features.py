# SPDX-License-Identifier: Apache-2.0
"""The log-mel features of tones are where the tones are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenas.tasks.audio import features as front
from edgenas.tasks.audio.features import BANDS, FRAMES, HOP, RATE, SAMPLES, features, mel_bands, one_second, resampled


def sine(hertz: float, seconds: float = 1.0, rate: int = RATE) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate).astype(np.float32)


def band_of(hertz: float) -> int:
    return int(mel_bands()[round(hertz * front.FFT / RATE)].argmax())


@pytest.mark.parametrize("hertz", [250, 1000, 3000])
@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100])
def test_a_tone_is_in_its_band_at_every_rate(hertz: int, rate: int) -> None:
    x = features(sine(hertz, rate=rate), rate)
    assert (x.shape, x.dtype) == ((FRAMES, BANDS, 1), np.uint8)
    assert (FRAMES, BANDS) == (49, 40)
    assert set(x[5:-5, :, 0].argmax(axis=1)) == {band_of(hertz)}


def test_a_sine_of_full_scale_is_nearly_the_top_however_loud_the_file_is() -> None:
    hertz = np.argmax(mel_bands()[:, 20]) * RATE / front.FFT
    loud, quiet = features(sine(hertz), RATE), features(0.01 * sine(hertz), RATE)
    np.testing.assert_array_equal(loud, quiet)
    assert loud.max() >= 245


def test_silence_is_zero() -> None:
    assert not features(np.zeros(100, np.float32), RATE).any()


@given(st.integers(1, 3 * SAMPLES))
def test_every_length_becomes_a_second(length: int) -> None:
    samples = np.zeros(length)
    samples[length // 2] = 1
    second = one_second(samples)
    assert second.shape == (SAMPLES,)
    assert second.sum() == 1


def test_a_short_recording_is_in_the_middle_and_a_long_one_is_cut_to_its_loudest_second() -> None:
    short = features(sine(1000, 0.2), RATE)
    frames = np.flatnonzero(short[:, band_of(1000), 0] > 128)
    assert abs(frames.mean() - 24) < 2
    assert 0.2 * RATE / HOP - 2 < len(frames) < 0.2 * RATE / HOP + 4
    long = np.concatenate([0.1 * sine(300, 2), sine(1000, 1), 0.1 * sine(300, 1)])
    assert set(features(long, RATE)[5:-5, :, 0].argmax(axis=1)) == {band_of(1000)}


def test_resampling_keeps_the_duration() -> None:
    assert len(resampled(sine(440, 0.5, 44100), 44100)) == pytest.approx(RATE / 2, abs=1)
