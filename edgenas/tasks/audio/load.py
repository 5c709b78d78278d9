# SPDX-License-Identifier: Apache-2.0
"""Keywords from a folder of class folders of .wav files, split by speaker."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgenas.errors import DataError
from edgenas.tasks.audio.features import BANDS, FRAMES, features
from edgenas.tasks.audio.preprocessing import preprocessing
from edgenas.tasks.audio.wave_files import read_wave
from edgenas.tasks.build import build
from edgenas.tasks.class_folders import check_names, collected
from edgenas.tasks.dataset import Dataset, InputSpec
from edgenas.tasks.groups import Groups, groups_named, groups_of, matched
from edgenas.tasks.layout import decide
from edgenas.tasks.names import name_notes
from edgenas.tasks.raw import Bytes, Raw, counted, listed, shown
from edgenas.tasks.splits import check_classes
from edgenas.tasks.tree import Folder, read_tree

SUFFIXES = frozenset({".wav"})
_MAX_FILES = 500_000  # a GB of features
_LEAST_SPEAKERS = 3  # one for each part
# Speech Commands (bed/0a7c2a8d_nohash_0.wav), and label_speaker_take (3/3_theo_41.wav).
_SPEAKERS = (
    re.compile(r"(?:^|/)([0-9a-f]{8})_nohash_\d+\.wav$", re.IGNORECASE),
    re.compile(r"(?:^|/)[^_/]+_([^_/]+)_\d+\.wav$", re.IGNORECASE),
)
_ITEM = "recording"


def load(
    source: str, *, seed: int, size: int | None, group_by: str | None, progress: Callable[[int, int], None] | None
) -> Dataset:
    """Read the folder `source` of class folders of .wav files and split it by speaker.

    The folder is laid out as for images: one folder for each class, or train/, val/ and test/ with such folders. Files
    are 16-bit PCM of one or two channels at 4 to 192 kHz; each becomes one second of log-mel features
    (`edgenas.tasks.audio.features`). A part that is missing is split off train by whole speakers, so that its accuracy
    is of unseen ones. Speakers are the first group of `group_by` in a file's path; without it they are told by names as
    0_theo_12.wav or 0a7c2a8d_nohash_0.wav, and where names tell fewer than three, recordings are split one by one.

    `progress(done, total)` counts files. Raises DataError: no folder, no recordings, a file that is not such a .wav,
    classes or speakers that cannot be split, any `size`.
    """
    if size is not None:
        raise DataError(
            f"recordings have one input size, {FRAMES} x {BANDS} features: leave --size {size} out", size=size
        )
    raw = _read(source, progress)
    groups = groups_of(raw.files, group_by, "speaker") if group_by else _speakers(raw.files)
    if groups is None:
        raw = replace(raw, notes=(*raw.notes, "speakers are not told by file names: --group-by says where they stand"))
    spec = InputSpec(("frame", "band", "channel"))
    return build(
        raw,
        task="audio",
        seed=seed,
        spec=spec,
        preprocessing=preprocessing(spec),
        alike_in="in every feature",
        groups=groups,
    )


def _read(source: str, progress: Callable[[int, int], None] | None) -> Raw:
    root = Path(source).expanduser()
    if not source or not root.is_dir():
        raise DataError(
            f"{shown(source)} is no folder: give a folder that holds one folder of .wav files for each class"
        )
    try:
        tree, links = read_tree(root, SUFFIXES)
    except OSError as error:
        raise DataError(
            f"{shown(error.filename or root)} cannot be listed ({error.strerror}): mend its permissions", path=str(root)
        ) from error
    if not tree.count:
        raise DataError(f"{shown(root)} holds no .wav files: convert recordings to 16-bit PCM .wav", path=str(root))
    layout = decide(tree, _ITEM)
    found = collected(layout)
    labels = tuple(sorted(found.others))
    check_names(labels, found)
    index = {label: number for number, label in enumerate(labels)}
    y = np.array([index[label] for label in found.label], np.int64)
    part = np.array(found.part, np.int64)
    check_classes(str(root), y, part, labels, item=_ITEM)  # before the long work
    notes = [*layout.notes, *links.notes(root), *name_notes(labels), *_ignored(tree)]
    files = [file.relative_to(root).as_posix() for file in found.files]
    x = _features(root, found.files, progress)
    return Raw(root.resolve().name or str(root), x, y, part, labels, tuple(notes), files, _ITEM)


def _features(root: Path, files: Sequence[Path], progress: Callable[[int, int], None] | None) -> Bytes:
    """(N, 49, 40, 1) of the files."""
    if len(files) > _MAX_FILES:
        raise DataError(
            f"{shown(root)} holds {len(files)} recordings, the limit is {_MAX_FILES}: give a part of them",
            count=len(files),
            limit=_MAX_FILES,
        )
    x = np.empty((len(files), FRAMES, BANDS, 1), np.uint8)
    for index, file in enumerate(files):
        x[index] = features(*read_wave(file))
        if progress:
            progress(index + 1, len(files))
    return x


def _speakers(files: Sequence[str]) -> Groups | None:
    """The speakers, if a usual form of file names tells at least three."""
    for pattern in _SPEAKERS:
        names = matched(files, pattern)
        if not isinstance(names, str) and len(set(names)) >= _LEAST_SPEAKERS:
            return groups_named(names, "speaker")
    return None


def _ignored(tree: Folder) -> list[str]:
    others = +tree.others_below()
    if not others:
        return []
    kinds = [f"{count} {kind or 'without a suffix'}" for kind, count in others.most_common()]
    return [f"{counted(others.total(), 'file')} ignored: {listed(kinds)}"]
