# SPDX-License-Identifier: Apache-2.0
"""What a user chooses by name, held against what there is: precision, statistic, governor, runtime."""

from __future__ import annotations

import shlex

from edgenas.boards.board import PRECISIONS, Board, Precision
from edgenas.errors import UsageError
from edgenas.runtimes.registry import of_kind
from firmware_tools.device import STATISTICS, DeviceInfo, RuntimeInfo, Statistic
from firmware_tools.errors import RuntimeMissingError


def precision_of(name: str, board: Board | None = None) -> Precision:
    """`name` as a precision. Raises UsageError listing the known ones, or if `board` computes in another one alone."""
    precision = next((known for known in PRECISIONS if known == name), None)
    if precision is None:
        raise UsageError(f"unknown precision {name!r}: choose one of {', '.join(PRECISIONS)}", value=name)
    if board is not None and precision not in (runtime := of_kind(board.kind)).precisions:
        only = " or ".join(runtime.precisions)
        raise UsageError(
            f"precision {name} on board {board.id}: {runtime.title} computes in {only} alone, "
            f"leave --precision out or say {only}",
            value=name,
        )
    return precision


def governor_of(name: str | None, info: DeviceInfo) -> str | None:
    """`name`, if the device can set it. Raises UsageError listing what it offers."""
    if name is None or name in info.governors:
        return name
    offers = f"choose one of {', '.join(info.governors)}"
    if not info.governors:
        offers = "it has none that this user may set: connect as root, or leave --set-governor out"
    raise UsageError(f"governor {name!r} cannot be set on {info.url.rstrip(':')}: {offers}", value=name)


def setting_of(info: DeviceInfo, governor: str | None = None) -> str:
    """The device's power setting for a profile's key, `governor` being set while models are timed.

    Not the clock of the moment, which the governor changes all the time.
    """
    clock = None if info.max_clock_mhz is None else f"{info.max_clock_mhz:.0f}MHz"
    return "-".join(filter(None, (governor or info.governor, clock, info.power_mode)))


def runtime_of(info: DeviceInfo) -> RuntimeInfo:
    """The runtime that models run with. Raises RuntimeMissingError, which says how to get one, if there is none."""
    if info.runtimes:
        return info.runtimes[0]
    why = "".join(f" ({note})" for note in info.notes)
    ssh = info.url.startswith("ssh:")
    command = f"edgenas board prepare --device {shlex.quote(info.url)}" if ssh else "pip install ai-edge-litert"
    message = f"{info.url.rstrip(':')}: no TFLite runtime on the device{why}: run {command}"
    raise RuntimeMissingError(message, url=info.url, command=command)


def statistic_of(name: str) -> Statistic:
    """`name` as a statistic. Raises UsageError listing the known ones."""
    for known in STATISTICS:
        if name == known:
            return known
    raise UsageError(f"unknown statistic {name!r}: choose one of {', '.join(STATISTICS)}", value=name)
