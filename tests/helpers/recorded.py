# SPDX-License-Identifier: Apache-2.0
"""Networks of the tiny space as they were measured on a computer, as measurements of a store."""

from __future__ import annotations

import json
from pathlib import Path

from edgenas.profiles.measurement import Measurement
from edgenas.profiles.profile import ProfileKey

KEY = ProfileKey("host", "litert", "2.3.0", "int8", 1, "p10")
NETWORKS = json.loads((Path(__file__).parents[1] / "latency" / "host_measured.json").read_text())["networks"]


def taken(index: int, *, session: str = "a", factor: float = 1.0, hour: int = 0, key: ProfileKey = KEY) -> Measurement:
    """Network `index`, `factor` times as slow as it was."""
    row = NETWORKS[index]
    ms = row["int8_ms"] * factor
    c, h, w = row["input_shape"]
    return Measurement(
        key=key,
        architecture=row["architecture"],
        input_shape=(c, h, w),
        classes=10,
        space="tiny",
        latency_ms=ms,
        p10_ms=ms,
        p50_ms=ms,
        p95_ms=ms,
        n=100,
        ci95_ms=(ms, ms),
        peak_ram_bytes=None,
        model_sha256="ab" * 32,
        trained=False,
        session=session,
        taken_utc=f"2026-01-01T{hour:02}:00:00Z",
        conditions={"load": 0.1, "hostname": "lab"},
    )
