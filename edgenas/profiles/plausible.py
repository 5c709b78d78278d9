# SPDX-License-Identifier: Apache-2.0
"""What a measurement, a key or a name that a stranger wrote may be: types, lengths and ranges.

The limits are far beyond what an honest computer writes. They keep a file from filling memory, from naming files that
cannot be, and from teaching a profile what cannot be.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from edgenas.boards.board import PRECISIONS, STATISTICS
from edgenas.checks import check_date, check_text, check_tree, is_number, is_whole
from edgenas.errors import UsageError
from edgenas.profiles.profile import ProfileKey
from edgenas.spaces.architecture import Architecture
from edgenas.spaces.space import SearchSpace, Template

_MAX_FILE_NAME = 240  # of a profile or a space, the suffix aside; file systems take 255 bytes
_MAX_SPACE_NAME = 64
_MAX_ARCHITECTURE = 4096  # characters
_MAX_WIDTH, _MAX_GENE, _MAX_NETWORK = 1 << 16, 1 << 8, 128  # channels, other genes, blocks: far beyond any for a board
_MAX_STAGES, _MAX_CHOICES, _MAX_TEMPLATES = 64, 256, 64  # of a space
_MAX_CONDITIONS, _MAX_CONDITIONS_DEPTH = 1500, 4  # values, at all depths; a server names a thousand cores
_MAX_PIXELS = 1 << 28  # of an input
_MIN_LATENCY, _MAX_LATENCY = 1e-6, 3.6e6  # 1 ns and 1 h in ms; an instruction and more than anybody counts, in Minsn
_MIN_RATIO, _MAX_RATIO = 1e-3, 1e3  # of a reference's latency to its first one
_LATENCIES = ("latency_ms", "p10_ms", "p50_ms", "p95_ms")
_FIELDS = {
    *("architecture", "input_shape", "classes", "space", *_LATENCIES, "n", "ci95_ms", "peak_ram_bytes"),
    *("model_sha256", "trained", "session", "taken_utc", "conditions"),
}


def check_key(table: Mapping[str, Any], board: Any) -> ProfileKey:
    """The key of `board` that a table describes. Raises UsageError for what is none, TypeError for other entries."""
    if not isinstance(board, str) or re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,63}", board) is None:
        raise UsageError(f"board {board!r:.80} is not small letters, digits, '-', '_' and '.', at most 64")
    key = ProfileKey(**table)
    known = key.precision in PRECISIONS and key.statistic in STATISTICS
    if key.board != board or not known or not is_whole(key.threads):
        raise UsageError(f"key {dict(table)!r:.120} is no key of board {board}")
    for name in ("runtime", "runtime_version", "setting"):
        check_text(getattr(key, name), name, empty=name == "setting")
    if len(key.slug) > _MAX_FILE_NAME:
        raise UsageError(f"key {str(key)!r:.80} is too long for the name of a file: {len(key.slug)} characters")
    return key


def check_measurement(table: Mapping[str, Any], what: str) -> None:
    """Raise UsageError, which begins with `what`, if the table of a measurement, without its key, holds what cannot be.

    Raises KeyError for an entry that is missing.
    """
    unknown = sorted(set(table) - _FIELDS)
    if unknown:
        raise UsageError(f"{what}: entry {unknown[0]!r:.60} is unknown: update edgenas")
    check_text(table["session"], f"{what}: session")
    check_text(table["space"], f"{what}: space", _MAX_SPACE_NAME)
    check_text(table["architecture"], f"{what}: architecture", _MAX_ARCHITECTURE)
    sha256 = check_text(table["model_sha256"], f"{what}: model_sha256")
    if re.fullmatch(r"[0-9a-f]{64}", sha256) is None:
        raise UsageError(f"{what}: model_sha256 is {sha256!r:.80}, not 64 hexadecimal digits")
    _check_latencies(table, what)
    _check_counts(table, what)
    if not isinstance(table["trained"], bool) or not isinstance(table["conditions"], dict):
        raise UsageError(f"{what}: trained or conditions is of the wrong type")
    _check_conditions(table["conditions"], what)
    check_date(table["taken_utc"], f"{what}: taken_utc")


def _check_latencies(table: Mapping[str, Any], what: str) -> None:
    for name in _LATENCIES:
        value = table[name]
        if not is_number(value) or not _MIN_LATENCY <= value <= _MAX_LATENCY:
            raise UsageError(f"{what}: {name} is {value!r:.60}, not a latency of 1 ns to 1 h")
    low, high = table["ci95_ms"]
    if not (is_number(low) and is_number(high) and 0 <= low <= high <= _MAX_LATENCY):
        raise UsageError(f"{what}: ci95_ms is {table['ci95_ms']!r:.80}, not an interval")


def _check_counts(table: Mapping[str, Any], what: str) -> None:
    shape = table["input_shape"]
    sizes = isinstance(shape, list | tuple) and len(shape) == 3 and all(map(is_whole, shape))
    if not sizes or shape[0] * shape[1] * shape[2] > _MAX_PIXELS:
        raise UsageError(f"{what}: input_shape is {shape!r:.60}, not that of an image")
    ram = table["peak_ram_bytes"]
    if not (is_whole(table["classes"]) and is_whole(table["n"]) and (ram is None or is_whole(ram, 0, 1 << 50))):
        raise UsageError(f"{what}: classes, n or peak_ram_bytes is no such number")


def _check_conditions(conditions: Mapping[str, Any], what: str) -> None:
    check_tree(conditions, f"{what}: conditions", _MAX_CONDITIONS, _MAX_CONDITIONS_DEPTH)
    ratio = conditions.get("reference_ratio")
    if ratio is not None and not (is_number(ratio) and _MIN_RATIO <= ratio <= _MAX_RATIO):
        raise UsageError(f"{what}: reference_ratio is {ratio!r:.60}, not how much slower a reference was")
    host = conditions.get("hostname")
    if host is not None:
        check_text(host, f"{what}: hostname", empty=True)


def check_architecture(architecture: Architecture, space: SearchSpace) -> None:
    """Raise UsageError for an architecture that cannot be of the space.

    A stage may be none of the space's choices, which change from release to release.
    """
    stages = architecture.stages
    genes = [architecture.stem_stride]
    for stage in stages:
        genes += [stage.blocks, stage.kernel, stage.expansion]
    widths = [architecture.stem_width, *(stage.width for stage in stages)]
    fits = len(stages) == len(space.stages) and sum(stage.blocks for stage in stages) <= _MAX_NETWORK
    sane = all(is_whole(gene, 1, _MAX_GENE) for gene in genes) and all(is_whole(w, 1, _MAX_WIDTH) for w in widths)
    if not (fits and sane):
        raise UsageError(f"architecture {str(architecture)!r:.80} is none of the space {space.name!r}")


def check_space(space: SearchSpace) -> None:
    """Raise UsageError for a space with a name that is none of a file's, or with choices beyond any for a board."""
    check_text(space.name, "search space", _MAX_SPACE_NAME)
    if len(quote(space.name, safe="")) > _MAX_FILE_NAME:
        raise UsageError(f"search space {space.name!r:.80} is too long for the name of a file")
    wide = [space.stem_widths, *(stage.widths for stage in space.stages)]
    narrow = [space.stem_strides, space.blocks_choices, space.kernels, space.expansions]
    narrow.append(tuple(stage.stride for stage in space.stages))
    numbers = (space.stage_macs_per_pixel, space.depthwise_weight)
    sizes = len(space.stages) <= _MAX_STAGES and len(space.templates) <= _MAX_TEMPLATES
    lists = all(len(choices) <= _MAX_CHOICES for choices in (*wide, *narrow, space.operators))
    if not (
        sizes
        and lists
        and all(is_whole(width, 1, _MAX_WIDTH) for choices in wide for width in choices)
        and all(is_whole(gene, 1, _MAX_GENE) for choices in narrow for gene in choices)
        and all(is_whole(number, 0) for number in numbers)
        and all(_is_template(template) for template in space.templates)
    ):
        raise UsageError(f"search space {space.name!r}: more choices, or larger ones, than any for a board has")


def _is_template(template: Template) -> bool:
    check_text(template.name, "template")
    genes = (*template.blocks, template.expansion)
    return all(is_whole(gene, 1, _MAX_GENE) for gene in genes) and all(
        is_number(ratio) and 0 < ratio <= _MAX_WIDTH for ratio in template.ratio
    )
