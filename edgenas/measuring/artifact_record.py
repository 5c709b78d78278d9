# SPDX-License-Identifier: Apache-2.0
"""The measurement of an artifact: recorded under its key, so that the board's profile learns from it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from typing import Any

from edgenas.artifacts.artifact import Artifact
from edgenas.boards.board import PRECISIONS
from edgenas.checks import check_text, is_whole, printable
from edgenas.errors import EdgenasError, UsageError
from edgenas.measuring.connection import Connection
from edgenas.measuring.notes import Notes
from edgenas.measuring.recorder import Recorder
from edgenas.measuring.refinement import Refinement
from edgenas.profiles.disagreement import FACTOR
from edgenas.profiles.exchange import exportable
from edgenas.profiles.plausible import check_architecture, check_space
from edgenas.profiles.profile import BoardProfile, ProfileKey
from edgenas.profiles.store import Store
from edgenas.progress import Reporter
from edgenas.spaces import catalogue
from edgenas.spaces.architecture import Architecture
from edgenas.spaces.space import SearchSpace
from firmware_tools.device import Timing

_MAX_NAME = 64  # characters of a search space's name, as in files that people exchange
_MAX_NOTE = 400  # characters


@dataclass(frozen=True)
class Record:
    """What became of an artifact's measurement. note: why it was not recorded, or why no profile was refined.

    key: None if it was not recorded. profile: the file of the refined profile; measurements: how many it rests on.
    """

    key: ProfileKey | None = None
    architecture: str | None = None
    space: str | None = None
    profile: str | None = None
    measurements: int | None = None
    note: str | None = None

    def to_json(self) -> dict[str, Any]:
        """A part of the object that `--json` prints."""
        return asdict(self)

    def __str__(self) -> str:
        """One line for people."""
        if self.key is None:
            return f"no: {self.note}"
        refined = f"the profile was refined on {self.measurements} measurements"
        return f"yes; {refined if self.note is None else self.note}"


def record(connection: Connection, artifact: Artifact, timing: Timing, reporter: Reporter) -> Record:
    """Store `timing` of a trained network under the key that a deploy of it has, and refine and save the profile.

    What stands in the way becomes the note: the measurement was made, and is worth its while without that.
    """
    try:
        space, architecture = network_of(artifact.manifest)
        key = replace(connection.key, precision=_precision(connection, artifact.manifest))
        with Store() as store:
            return _record(connection, store, key, space, architecture, timing, reporter)
    except EdgenasError as error:
        return Record(note=printable(error.message, _MAX_NOTE))


def network_of(manifest: Mapping[str, Any]) -> tuple[SearchSpace, Architecture]:
    """The search space, bound to its input and classes, and the architecture of an artifact.

    Raises UsageError if the manifest does not say, as in artifacts of older versions, or says what cannot be.
    """
    text, named = manifest.get("architecture"), manifest.get("space")
    if text is None or named is None:
        raise UsageError("its manifest names no architecture and search space: deploy or convert again")
    shape, outputs = manifest["input"]["shape"], manifest["output"]["shape"]
    if (len(shape), len(outputs)) != (4, 2) or not all(map(is_whole, (*shape, *outputs))):
        raise UsageError(f"its input {shape!r:.60} is none of a search space: deploy or convert again")
    _, height, width, channels = shape
    space = _space(named, (channels, height, width), outputs[1])
    architecture = Architecture.parse(text)
    check_architecture(architecture, space)
    return space, architecture


def _space(named: Mapping[str, Any], input_shape: tuple[int, int, int], classes: int) -> SearchSpace:
    name, table = check_text(named["name"], "its search space", _MAX_NAME), named.get("table")
    known = catalogue.recall(name, input_shape, classes)
    if table is None or catalogue.is_shipped(name):
        if known is None:
            raise UsageError(f"its search space {name!r:.80} is not known here: deploy or convert again")
        return known
    space = catalogue.bound(table, input_shape, classes)
    check_space(space)
    if space.name != name:
        raise UsageError(f"its search space is called {name!r:.80} and {space.name!r:.80}: deploy or convert again")
    if known is not None and catalogue.to_table(known) != catalogue.to_table(space):
        yours = catalogue.path(name)
        raise UsageError(f"its search space {name!r} is not yours of that name, in {yours}: move yours away to take it")
    return space


def _precision(connection: Connection, manifest: Mapping[str, Any]) -> str:
    """Of the model that the device timed."""
    onnx = manifest.get("onnx") or {}
    precision = onnx.get("precision", "float32") if connection.runtime.format == "onnx" else manifest["precision"]
    if precision not in PRECISIONS:
        raise UsageError(f"its precision {precision!r:.40} is none of {', '.join(PRECISIONS)}: deploy or convert again")
    return str(precision)


def _record(
    connection: Connection,
    store: Store,
    key: ProfileKey,
    space: SearchSpace,
    architecture: Architecture,
    timing: Timing,
    reporter: Reporter,
) -> Record:
    refinement = Refinement(connection.board, key, store, Notes(reporter.say))
    predicted = refinement.contradicted(space, [architecture], [timing])
    if 0 in predicted and not 1 / FACTOR <= timing.latency_ms / predicted[0] <= FACTOR:
        shown = connection.board.unit.format
        raise UsageError(
            f"the profile predicts {shown(predicted[0])}, more than {FACTOR:g} times off: is it the network that the "
            f"manifest names? If so, measure anew with edgenas profile --board {connection.board.id}"
        )
    recorder = Recorder(key, space, uuid.uuid4().hex[:12], connection.info.hostname, trained=True)
    measurements = recorder.measurements([architecture], [timing], {} if connection.counts else predicted)
    if not all(map(exportable, measurements)):
        raise UsageError("its manifest says what no network for a board can be: deploy or convert again")
    store.append(measurements)
    refinement.use(space)
    found = Record(key, str(architecture), space.name)
    if BoardProfile.load(key) is None:  # one of a single network would keep a deploy from profiling the board
        step = f"edgenas profile --board {connection.board.id}"
        return replace(found, note=f"there is no profile to refine yet, {step} makes one")
    if find_spec("scipy") is None:
        return replace(found, note="the profile was not refined, which needs scipy: pip install 'edgenas[search]'")
    profile = refinement.refined()
    return replace(found, profile=str(profile.save()), measurements=profile.measurements)
