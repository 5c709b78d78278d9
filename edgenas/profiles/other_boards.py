# SPDX-License-Identifier: Apache-2.0
"""What a board without a profile can learn from: the latency models of the boards that have one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from edgenas import latency
from edgenas.errors import ProfileError
from edgenas.latency import LatencyModel
from edgenas.latency.transfer import Source, TransferModel
from edgenas.profiles.profile import BoardProfile, ProfileKey, list_profiles

_LEAST = 30  # measurements that a profile rests on, for others to learn from it


def boards(key: ProfileKey, without: Collection[ProfileKey] = ()) -> tuple[Source, ...]:
    """Of every other board and runtime the user's newest profile in the precision of `key`.

    In any unit: what a source says is scaled to the measurements. Left out are damaged profiles, those of few
    measurements, those that themselves lean on others, and those of the keys `without`.
    """
    found: dict[tuple[str, str], tuple[str, Source]] = {}
    for entry in list_profiles():
        if entry["key"] is None:  # a damaged file
            continue
        other = ProfileKey(**entry["key"])
        place = (other.board, other.runtime)
        if other.precision != key.precision or place == (key.board, key.runtime) or other in without:
            continue
        profile = BoardProfile.load(other)
        if profile is None or profile.measurements < _LEAST or profile.latency.get("model") == "transfer":
            continue
        if place in found and found[place][0] >= profile.refined_utc:
            continue
        try:
            model = latency.load_additive(profile.latency, str(BoardProfile.path(other)))
        except ProfileError:  # damaged, or of no terms: the user has asked for another board
            continue
        found[place] = (profile.refined_utc, Source(str(other), model))
    return tuple(source for _, source in found.values())


def seed(key: ProfileKey, model: str, without: Collection[ProfileKey] = ()) -> TransferModel | None:
    """What the first profile of `key` is fitted with: a model that learns from `boards`; None if there are none."""
    sources = boards(key, without)
    alone = latency.load_additive(latency.create(model).to_json())
    return TransferModel(sources, alone) if sources else None


def settled(fitted: LatencyModel) -> tuple[LatencyModel, dict[str, Any]]:
    """The model that a profile is to hold, and what its provenance says of other boards."""
    if not isinstance(fitted, TransferModel):
        return fitted, {}
    return fitted if fitted.share else fitted.alone, {"other_boards": fitted.provenance()}


def told(provenance: Mapping[str, Any]) -> str | None:
    """A line for people on what `settled` put into a profile's provenance; None if that is nothing."""
    found = provenance.get("other_boards")
    if not found:
        return None
    if "refused" in found:
        return f"other boards' profiles do not help: {found['refused']}"
    weights = ", ".join(f"{name} ({weight:.0%})" for name, weight in found["boards"].items())
    before, after = found["error_alone"], found["error"]
    return f"other boards' profiles help, measurements left out within {after:.1%} instead of {before:.1%}: {weights}"
