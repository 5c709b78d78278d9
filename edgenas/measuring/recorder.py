# SPDX-License-Identifier: Apache-2.0
"""What the store keeps of a timing: the network, under which key it was timed, and the circumstances."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any

from edgenas.profiles.measurement import Measurement
from edgenas.profiles.profile import ProfileKey
from edgenas.spaces.architecture import Architecture
from edgenas.spaces.space import SearchSpace
from firmware_tools.device import Timing


@dataclass(frozen=True)
class Recorder:
    """Makes measurements of timings that were taken together: of networks of `space`, on one device, in one session.

    reference: the architecture that others are timed in turn with, None if there is none.
    """

    key: ProfileKey
    space: SearchSpace
    session: str
    hostname: str
    trained: bool
    reference: Architecture | None = None
    taken_utc: str = field(default_factory=lambda: datetime.now(timezone.utc).isoformat(timespec="milliseconds"))

    def measurements(
        self, architectures: Sequence[Architecture], timings: Sequence[Timing], contradicted_ms: Mapping[int, float]
    ) -> list[Measurement]:
        """One for each timing, in their order. contradicted_ms: by place, the predictions that timings contradict."""
        return [
            self._measurement(architecture, timing, contradicted_ms.get(place))
            for place, (architecture, timing) in enumerate(zip(architectures, timings, strict=True))
        ]

    def _measurement(self, architecture: Architecture, timing: Timing, contradicted_ms: float | None) -> Measurement:
        return Measurement(
            key=self.key,
            architecture=str(architecture),
            input_shape=self.space.input_shape,
            classes=self.space.classes,
            space=self.space.name,
            latency_ms=timing.latency_ms,
            p10_ms=timing.p10_ms,
            p50_ms=timing.p50_ms,
            p95_ms=timing.p95_ms,
            n=timing.n,
            ci95_ms=timing.ci95_ms,
            peak_ram_bytes=timing.peak_ram_bytes,
            model_sha256=timing.sha256,
            trained=self.trained,
            session=self.session,
            taken_utc=self.taken_utc,
            conditions=self._conditions(architecture, timing, contradicted_ms),
        )

    def _conditions(
        self, architecture: Architecture, timing: Timing, contradicted_ms: float | None
    ) -> Mapping[str, Any]:
        met = {**asdict(timing.conditions), "processes": timing.processes, "hostname": self.hostname}
        if contradicted_ms is not None:
            met |= {"contradicted": True, "predicted_ms": contradicted_ms}
        if architecture == self.reference:
            met["reference"] = True
        table: dict[str, Any] = json.loads(json.dumps(met))  # as the store gives it back
        return table
