# SPDX-License-Identifier: Apache-2.0
"""One .wav file as samples."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgenas.errors import DataError
from edgenas.tasks.raw import shown
from firmware_tools.reading import UnreadableError, read_bytes

Samples = npt.NDArray[np.float32]

MAX_BYTES = 64 << 20  # of one file: over five minutes of stereo at 48 kHz
RATES = (4_000, 192_000)  # Hz that are taken
_CONVERT = "convert it to 16-bit PCM (ffmpeg -i IN -c:a pcm_s16le OUT.wav)"


def read_wave(path: Path) -> tuple[Samples, int]:
    """Samples (N,) in -1..1 and their rate in Hz; channels are averaged.

    Raises DataError for a file that cannot be read, is larger than 64 MiB, is not 16-bit PCM, has another number of
    channels than 1 or 2, has a rate outside 4 to 192 kHz, or is empty.
    """
    try:
        with wave.open(io.BytesIO(read_bytes(path, MAX_BYTES))) as file:
            channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            frames = file.readframes(file.getnframes())
    except OSError as error:
        raise _refused(path, f"cannot be read ({error.strerror})", "mend its permissions") from error
    except UnreadableError as error:
        raise _refused(path, f"cannot be read: {error}", "cut it into recordings of one keyword") from error
    except (wave.Error, EOFError, ValueError, RuntimeError) as error:
        raise _refused(path, f"is no .wav of 16-bit PCM ({error or 'it ends early'})", _CONVERT) from error
    if width != 2 or channels not in (1, 2):
        raise _refused(path, f"has {8 * width} bits and {channels} channels, not 16 bits and 1 or 2", _CONVERT)
    if not RATES[0] <= rate <= RATES[1]:
        raise _refused(path, f"has {rate} samples a second, not {RATES[0]} to {RATES[1]}", "resample it to 16000")
    whole = len(frames) // (2 * channels)
    if not whole:
        raise _refused(path, "holds no samples", "remove it")
    samples = np.frombuffer(frames[: 2 * channels * whole], "<i2").reshape(whole, channels)
    return samples.mean(axis=1, dtype=np.float32) / np.float32(1 << 15), rate


def _refused(path: Path, what: str, mend: str) -> DataError:
    return DataError(f"{shown(path)} {what}: {mend}", file=str(path))
