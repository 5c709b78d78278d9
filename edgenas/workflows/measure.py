"""`edgenas measure`: the latency of a model file or an artifact on a board's device; nothing is installed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edgenas.artifacts.artifact import read_model, read_onnx
from edgenas.boards import inventory
from edgenas.errors import UsageError
from edgenas.measuring.connection import connect
from edgenas.measuring.operator_profile import OF_ONE, Layers, time_layers
from edgenas.measuring.resolve import governor_of, on_tensorrt, runtime_of, statistic_of
from edgenas.progress import Reporter, Silent
from edgenas.runtimes.engine import Memory, memory
from edgenas.units import Unit
from firmware_tools.connect import Access
from firmware_tools.device import Device, DeviceInfo, Timing, TimingPlan


@dataclass(frozen=True)
class Measured:
    """A model's timing on a device; `memory` is what it takes of a microcontroller, None on other boards.

    `layers` are None unless they were asked for.
    """

    board: str
    unit: Unit
    device: DeviceInfo
    model: str
    bytes: int
    timing: Timing
    memory: Memory | None
    layers: Layers | None = None

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

    layers: also what each operator takes; everything is then timed for 0.1 s in each process, the model itself too.
    set_governor: a frequency governor for the time of the measurement; what was set before is put back.
    runtime: what runs the model on the device (litert, tflite, tensorflow, tensorrt), else its first. TensorRT runs an
    .onnx file, or that of an artifact.

    Raises UsageError if the file cannot be read or is no TFLite model, or if the governor cannot be set, DeviceError if
    the device fails.
    """
    reporter = reporter or Silent()
    described, url = inventory.resolve(board, device)
    chosen = statistic_of(statistic or described.statistic)
    source = Path(model)
    path, data = read_onnx(source) if source.suffix == ".onnx" else read_model(source)
    plan = TimingPlan(processes=described.processes, threads=described.threads, statistic=chosen)
    reporter.stage("measure")
    with connect(url, runtime=runtime, access=access) as opened:
        info = opened.info()
        described.check_device(info)
        runtime_of(info)
        plan = replace(plan, governor=governor_of(set_governor, info))
        if on_tensorrt(info):
            path, data = read_onnx(source)
        elif source.suffix == ".onnx":
            raise UsageError(
                f"{source} is for TensorRT: say --runtime tensorrt, or name a .tflite file", file=str(source)
            )
        timing, found = _timed(opened, data, plan, layers, reporter)
    taken = memory(described, data) if described.kind == "mcu" else None
    return Measured(described.id, described.unit, info, str(path), len(data), timing, taken, found)


def _timed(
    device: Device, model: bytes, plan: TimingPlan, layers: bool, reporter: Reporter
) -> tuple[Timing, Layers | None]:
    def progress(done: int, total: int) -> None:
        reporter.progress(done, total, "timings")

    if layers:
        return time_layers(device, model, replace(plan, **OF_ONE), progress)  # type: ignore[arg-type]
    return device.time([model], plan, progress)[0], None
