# SPDX-License-Identifier: Apache-2.0
"""Folders of recordings: what is read, how speakers are split, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.recordings import tone, write_wave

from edgenas import tasks
from edgenas.errors import DataError, UsageError
from edgenas.tasks.audio import wave_files
from edgenas.tasks.audio.features import features
from edgenas.tasks.audio.wave_files import read_wave

Keywords = Callable[..., Path]


def speakers(root: Path, part: tasks.Split) -> set[str]:
    """The speakers of a part, found again by their features."""
    names = {features(*read_wave(file)).tobytes(): file.stem.split("_")[1] for file in root.rglob("*.wav")}
    return {names[x.tobytes()] for x in part.x}


def test_a_folder_of_recordings_is_recognised_and_read(keywords: Keywords) -> None:
    root = keywords()
    (root / "LICENSE").write_text("free")
    data = tasks.load(str(root))
    assert (data.task, data.input_shape, data.labels) == ("audio", (1, 49, 40), ("high", "low"))
    assert data.spec == tasks.InputSpec(("frame", "band", "channel"))
    assert data.preprocessing["sample_rate_hz"] == 16000
    assert data.notes[:2] == ("1 file ignored: 1 without a suffix", "2 classes of 10 recordings each")


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_speaker_is_in_one_part(keywords: Keywords, seed: int) -> None:
    root = keywords(speakers=6)
    data = tasks.load(str(root), seed=seed)
    train, validation, test = (speakers(root, part) for part in (data.train, data.validation, data.test))
    assert (len(train), len(validation), len(test)) == (4, 1, 1)
    assert len(train | validation | test) == 6
    note = f"no test part: speaker {test.pop()} (4 recordings) split off by seed {seed}: test accuracy is of speakers"
    assert any(each.startswith(note) for each in data.notes)


def test_the_names_of_speech_commands_tell_the_speaker(keywords: Keywords) -> None:
    data = tasks.load(str(keywords(name="{hash}_nohash_{take}.wav")))
    assert any("no test part: speaker 0000000" in note for note in data.notes)


def test_an_expression_tells_the_speaker(keywords: Keywords) -> None:
    root = keywords(name="take{take}-of-s{speaker}.wav")
    assert any("--group-by says where they stand" in note for note in tasks.load(str(root)).notes)
    data = tasks.load(str(root), group_by=r"-of-(s\d+)")
    assert any("no test part: speaker s" in note for note in data.notes)
    assert not any("--group-by" in note for note in data.notes)


@pytest.mark.parametrize(
    ("group_by", "message"),
    [
        ("(s", "is no regular expression"),
        ("s[0-9]", "has no group: put parentheses"),
        ("_(x[0-9])_", "does not match high/high_s0_0.wav"),
        ("(.)" * 99, "has 297 characters, the limit is 200"),
        ("/.*(wav)", "has 1 speaker in train, of which none can be spared"),
    ],
)
def test_expressions_that_tell_no_speakers(keywords: Keywords, group_by: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        tasks.load(str(keywords()), group_by=group_by)
    assert message in caught.value.message
    assert "\n" not in caught.value.message


def test_given_parts_stay_and_a_speaker_in_two_is_said(keywords: Keywords, tmp_path: Path) -> None:
    keywords(speakers=6).rename(tmp_path / "train")
    root = tmp_path / "set"
    root.mkdir()
    (tmp_path / "train").rename(root / "train")
    for label in ("high", "low"):
        write_wave(root / "test" / label / f"{label}_s0_9.wav", tone(700))
    data = tasks.load(str(root))
    assert len(data.test) == 2
    assert "speakers of test that are also in train: 1 of 1 (first: s0): test accuracy is not of unseen speakers" in (
        data.notes
    )


def test_stereo_at_any_rate_is_read(tmp_path: Path) -> None:
    file = write_wave(tmp_path / "a.wav", tone(440, 0.25, 44100), 44100, channels=2)
    samples, rate = read_wave(file)
    assert (len(samples), rate) == (11025, 44100)
    np.testing.assert_allclose(samples, tone(440, 0.25, 44100), atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("text", "is no .wav of 16-bit PCM (file does not start with RIFF id): convert it to 16-bit PCM (ffmpeg"),
        ("cut", "is no .wav of 16-bit PCM ("),
        ("8 bits", "has 8 bits and 1 channels, not 16 bits and 1 or 2: convert"),
        ("three channels", "has 16 bits and 3 channels"),
        ("slow", "has 800 samples a second, not 4000 to 192000: resample it to 16000"),
        ("empty", "holds no samples: remove it"),
        ("large", "cut it into recordings of one keyword"),
    ],
)
def test_other_files_are_refused_in_one_line(
    keywords: Keywords, monkeypatch: pytest.MonkeyPatch, kind: str, message: str
) -> None:
    root = keywords()
    file = root / "low" / "low_s0_0.wav"
    if kind == "text":
        file.write_text("no sound at all")
    elif kind == "cut":
        file.write_bytes(file.read_bytes()[:14])
    elif kind == "large":
        monkeypatch.setattr(wave_files, "MAX_BYTES", 1000)
    else:
        samples = tone(300) if kind != "empty" else np.zeros(0)
        rate, channels = (800 if kind == "slow" else 16000), (3 if kind == "three channels" else 1)
        write_wave(file, samples, rate, 1 if kind == "8 bits" else 2, channels)
    with pytest.raises(DataError) as caught:
        tasks.load(str(root))
    assert ".wav" in caught.value.message
    assert message in caught.value.message
    assert "\n" not in caught.value.message


def test_what_cannot_be_asked_for(keywords: Keywords, tmp_path: Path) -> None:
    root = str(keywords())
    with pytest.raises(DataError, match="recordings have one input size, 49 x 40 features: leave --size 32 out"):
        tasks.load(root, size=32)
    with pytest.raises(UsageError, match="unknown task 'sounds': choose one of audio, images"):
        tasks.load(root, task="sounds")
    with pytest.raises(DataError, match="is no folder: give a folder that holds one folder of"):
        tasks.load("digits", task="audio")
    (tmp_path / "mp3" / "a").mkdir(parents=True)
    (tmp_path / "mp3" / "a" / "1.mp3").write_bytes(b"")
    with pytest.raises(DataError, match=r"holds no \.wav files: convert recordings to 16-bit PCM"):
        tasks.load(str(tmp_path / "mp3"))
    with pytest.raises(DataError, match="--group-by goes by file names, these data have none: leave it out"):
        tasks.load("digits", group_by="(.)")
