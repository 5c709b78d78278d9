# SPDX-License-Identifier: Apache-2.0
"""`edgenas measure`: the latency of a model file or an artifact on a board's device; nothing is installed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edgenas.artifacts.artifact import Artifact, read_model, read_onnx
from edgenas.boards import inventory
from edgenas.errors import UsageError
from edgenas.measuring.artifact_record import Record, record
from edgenas.measuring.connection import Connection
from edgenas.measuring.operator_profile import OF_ONE, Layers, time_layers
from edgenas.progress import Reporter, Silent
from edgenas.runtimes.memory import Memory
from edgenas.units import Unit
from firmware_tools.connect import Access
from firmware_tools.device import Device, DeviceInfo, Timing, TimingPlan


@dataclass(frozen=True)
class Measured:
    """A model's timing on a device; `memory` is what it takes of a microcontroller, None on other boards.

    `layers` are None unless they were asked for. `record` says what became of an artifact's measurement, None
    for a file.
    """

    board: str
    unit: Unit
    device: DeviceInfo
    model: str
    bytes: int
    timing: Timing
    memory: Memory | None
    layers: Layers | None = None
    record: Record | None = None

    @property
    def peak_ram_bytes(self) -> int | None:
        """As the device measured it; on a microcontroller exactly what arena and stack take."""
        return self.timing.peak_ram_bytes if self.memory is None else self.memory.ram_bytes

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        table = {
            "board": self.board,
            "device": asdict(self.device),
            "model": {"path": self.model, "sha256": self.timing.sha256, "bytes": self.bytes},
            "measured": {**asdict(self.timing), "peak_ram_bytes": self.peak_ram_bytes},
            "recorded": None if self.record is None else self.record.to_json(),
        }
        if self.layers is not None:
            table["layers"] = self.layers.to_json()
        return self.unit.label(table)


def measure(
    model: str | Path,
    *,
    board: str | None = None,
    device: str | None = None,
    statistic: str | None = None,
    layers: bool = False,
    set_governor: str | None = None,
    runtime: str | None = None,
    access: Access | None = None,
    reporter: Reporter | None = None,
) -> Measured:
    """Time `model`, a .tflite file or an artifact's folder, by the board's protocol.

    The measurement of an artifact is recorded, and the board's profile is refined and saved: see `Record`.

    layers: also what each operator takes; everything is then timed for 0.1 s in each process, the model itself too.
    set_governor: a frequency governor for the time of the measurement; what was set before is put back.
    runtime: what runs the model on the device (litert, tflite, tensorflow, tensorrt, onnxruntime), else its first. The
    last two run an .onnx file, or that of an artifact.

    Raises UsageError if the file cannot be read or is no TFLite model, or if the governor cannot be set, DeviceError if
    the device fails.
    """
    reporter = reporter or Silent()
    described, url = inventory.resolve(board, device)
    source = Path(model)
    path, data = read_onnx(source) if source.suffix == ".onnx" else read_model(source)
    reporter.stage("measure")
    with Connection(
        described, device=url, access=access, statistic=statistic, governor=set_governor, runtime=runtime
    ) as opened:
        if opened.runtime.format == "onnx":
            path, data = read_onnx(source, opened.runtime.title, opened.key.runtime)
        elif source.suffix == ".onnx":
            raise UsageError(
                f"{source} is for TensorRT: say --runtime tensorrt, or name a .tflite file", file=str(source)
            )
        timing, found = _timed(opened.device, data, opened.plan(), layers, reporter)
        memory = opened.memory(data)
        recorded = record(opened, Artifact.load(source), timing, reporter) if source.is_dir() else None
        info = opened.info
    return Measured(described.id, described.unit, info, str(path), len(data), timing, memory, found, recorded)


def _timed(
    device: Device, model: bytes, plan: TimingPlan, layers: bool, reporter: Reporter
) -> tuple[Timing, Layers | None]:
    def progress(done: int, total: int) -> None:
        reporter.progress(done, total, "timings")

    if layers:
        return time_layers(device, model, replace(plan, **OF_ONE), progress)  # type: ignore[arg-type]
    return device.time([model], plan, progress)[0], None
