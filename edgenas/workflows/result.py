# SPDX-License-Identifier: Apache-2.0
"""What a deploy ends with, as an object and as the one JSON object that `--json` prints."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from edgenas.measuring.operator_profile import Layers
from edgenas.measuring.retiming import Effort
from edgenas.nas.problem import Projection
from edgenas.tasks.recalls import Recalls, accuracies
from edgenas.units import Unit
from edgenas.workflows.bakeoff import Row
from edgenas.workflows.convert import tested
from edgenas.workflows.runtimes import Compared
from firmware_tools.device import Timing


@dataclass(frozen=True)
class Round:
    """One installation: what the profile predicted, what the device measured, in ms."""

    predicted_ms: float
    measured_ms: float


@dataclass(frozen=True)
class Result:
    """A finished deploy. `row` is what was installed (or came nearest), `rows` all that the bake-off compared.

    `note`: of a budget far beyond the space, what would use it; None for any other. `runtimes`: those of the device
    that were compared, fastest first; none if there was no choice. `layers`: what each operator of the installed model
    takes, None unless asked for. `labels` name the classes of the rows' recalls. `notes`: what was decided about the
    data (see `Dataset`). `timing_effort`: of this sitting; a run that goes on has not what was timed before.
    """

    board: str
    unit: Unit
    device: str
    budget_ms: float
    note: str | None
    statistic: str
    ram_bytes: int | None
    flash_bytes: int | None
    row: Row
    rows: tuple[Row, ...]
    timing: Timing
    rounds: tuple[Round, ...]
    projection: Projection | None
    committed: bool
    strategy: str
    model_path: str
    model_sha256: str
    folder: str
    seconds: Mapping[str, float]
    seed: int
    versions: Mapping[str, str]
    runtimes: tuple[Compared, ...] = ()
    layers: Layers | None = None
    labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    timing_effort: Effort = field(default_factory=Effort)

    @property
    def baseline(self) -> Row | None:
        """The best row of the baseline."""
        return max((row for row in self.rows if row.baseline), key=lambda row: row.score, default=None)

    @property
    def recalls(self) -> dict[str, Recalls | None]:
        """Of the installed model as in `Built`, and "baseline", the baseline's of the test part."""
        return {**self.row.recalls, "baseline": tested(self.baseline.recalls) if self.baseline else None}

    @property
    def peak_ram_bytes(self) -> int | None:
        """As measured with the installed model; on a microcontroller exactly what arena and stack take."""
        return self.timing.peak_ram_bytes if self.row.plan_bytes is None else self.row.peak_ram_bytes

    def to_json(self) -> dict[str, Any]:
        """The documented object; numbers that do not exist are null."""
        row, timing = self.row, self.timing
        table = {
            "board": self.board,
            "device": self.device,
            "budget": {
                "latency_ms": self.budget_ms,
                "statistic": self.statistic,
                "ram_bytes": self.ram_bytes,
                "flash_bytes": self.flash_bytes,
                "note": self.note,
            },
            "predicted_ms": row.predicted_ms,
            "measured": {
                "latency_ms": timing.latency_ms,
                "p10_ms": timing.p10_ms,
                "p50_ms": timing.p50_ms,
                "p95_ms": timing.p95_ms,
                "n": timing.n,
                "ci95_ms": list(timing.ci95_ms),
                "processes": timing.processes,
                "conditions": asdict(timing.conditions),
            },
            "rounds": [asdict(r) for r in self.rounds],
            "projection": asdict(self.projection) if self.projection else None,
            **accuracies(self.labels, self.recalls),
            "held_out": row.held_out.summary(),
            "model": {
                "architecture": row.architecture,
                "origin": row.origin,
                "path": self.model_path,
                "sha256": self.model_sha256,
                "bytes": row.bytes,
                "peak_ram_bytes": self.peak_ram_bytes,
                "plan_bytes": row.plan_bytes,
                "macs": row.macs,
            },
            "rows": [r.to_json(self.labels) for r in self.rows],
            "committed": self.committed,
            "strategy": self.strategy,
            "folder": self.folder,
            "seconds": dict(self.seconds),
            "seed": self.seed,
            "versions": dict(self.versions),
            "runtimes": [asdict(one) for one in self.runtimes],
            "layers": self.layers.to_json() if self.layers else None,
            "notes": list(self.notes),
            "timing_effort": self.timing_effort.to_json(),
        }
        return self.unit.label({key: _finite(value) for key, value in table.items()})


def _finite(value: Any) -> Any:
    # NaN is not JSON.
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
