# SPDX-License-Identifier: Apache-2.0
"""One network measured on one board, and where the measurement comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgenas.profiles.profile import ProfileKey
from edgenas.spaces.architecture import Block
from edgenas.spaces.network_id import NetworkId


@dataclass(frozen=True)
class Origin:
    """The file that a measurement was imported with.

    sha256: what the file says of its content; "" for what an older edgenas imported. file: its name. by: who
    exported it, as they say. imported_utc: ISO 8601.
    """

    sha256: str
    file: str
    by: str | None
    imported_utc: str

    @property
    def id(self) -> str:
        """What is the same of a file that was imported twice, under whatever names."""
        return self.sha256 or f"{self.file} {self.imported_utc}"

    def __str__(self) -> str:
        """As in `rpi-4b.json by Ann`."""
        return self.file if self.by is None else f"{self.file} by {self.by}"


@dataclass(frozen=True)
class Measurement:
    """One network measured on one board.

    latency_ms: the key's statistic. n: timed inferences. ci95_ms: the 95 % confidence interval of `latency_ms`.
    architecture: as `str(Architecture)`. trained: False for random weights. conditions: governor, clock, temperature,
    load and whatever else the device reported. session: one profiling run or one deploy. taken_utc: ISO 8601. origin:
    the file that it was imported with; None for one's own.
    """

    key: ProfileKey
    architecture: str
    input_shape: tuple[int, int, int]
    classes: int
    space: str
    latency_ms: float
    p10_ms: float
    p50_ms: float
    p95_ms: float
    n: int
    ci95_ms: tuple[float, float]
    peak_ram_bytes: int | None
    model_sha256: str
    trained: bool
    session: str
    taken_utc: str
    conditions: Mapping[str, Any] = field(default_factory=dict, hash=False)
    origin: Origin | None = None

    @property
    def network(self) -> NetworkId:
        """The measured network, whatever its weights."""
        return NetworkId(self.architecture, self.input_shape, self.classes, self.space)

    @property
    def identity(self) -> tuple[Any, ...]:
        """Equal for two copies of one measurement, however they were imported."""
        return (self.key, self.session, self.taken_utc, self.network, self.model_sha256, self.latency_ms)

    @property
    def corrected_ms(self) -> float:
        """`latency_ms` as at the session's start, where a reference network told how much slower the board was then."""
        return self.latency_ms / (self.conditions.get("reference_ratio") or 1.0)

    @property
    def disturbed(self) -> bool:
        """Whether the device has marked it: throttled, or others were in its way, and so it stayed when repeated."""
        return bool(self.conditions.get("marked"))


def blocks_of(m: Measurement) -> tuple[Block, ...] | None:
    """The blocks of a measurement's architecture; None if its space is unknown or has changed since."""
    return m.network.blocks()
