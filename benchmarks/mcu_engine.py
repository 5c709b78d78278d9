# SPDX-License-Identifier: Apache-2.0
"""The microcontroller engine: instructions, arena, plan and code of models, beside TFLM's and bakenn's.

python benchmarks/mcu_engine.py MODEL.tflite ... | --data DIR [--machine mps2-an386 mps2-an385] [--json]

Needs gcc-arm-none-eabi, qemu-system-arm (or --emulator unicorn) and, for the peer, pip install bakenn==1.0.0 tflite
ai-edge-litert. Instructions are counted exactly on an emulated board, all at -O2: the DSP kernel set on a Cortex-M4
(mps2-an386), M7, M33 or M55, the portable one on an M3 (mps2-an385). They are without softmax, which has a column of
its own: bakenn's importer does not take it. bakenn always runs on the M4. TFLM's figures are recorded, see RECORDED.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import bakenn_peer
import numpy as np
from report import print_table, publish

from firmware_tools.errors import DeviceError
from firmware_tools.firmware import make_images
from firmware_tools.mcu import EMULATORS, MACHINES, Report, measure
from firmware_tools.plan import compile_plan
from firmware_tools.plan.compile import Plan

PORTABLE = ("cortex-m3",)  # cores without the DSP extension


@dataclass(frozen=True)
class Recorded:
    """TensorFlow Lite Micro on the same emulated Cortex-M4 (mps2-an386), softmax left out, arena in KB."""

    model: str
    reference: float
    cmsis_nn: float
    arena_kb: float


# Source: measured for this project in November 2026, before this engine: TFLM with its reference kernels and with
# CMSIS-NN's, -O2, arm-none-eabi-gcc 12.2, exact counts on mps2-an386; the reference models of MLPerf Tiny, by sha256.
RECORDED = {
    "87cf24194ef93d1d9b11a591d805526b98008e351655d29883c825c9c106ba24": Recorded("ad01_int8", 1.95e6, 0.583e6, 2.6),
    "aeea436800704fce17b17292e4412630ad856e9d777c044c64ef748a880bd0ae": Recorded("kws_ref_model", 43.0e6, 7.69e6, 22.7),
    "3c002613d1b2475eb51dd78dfb85a546c8ae658dee71cf6ade43b022fe205415": Recorded(
        "pretrainedResnet_quant", 107.4e6, 29.9e6, 54.9
    ),
}
TFLM_CODE_BYTES = 116_500  # of the same builds, all operators of the three models

HEADER = (
    *("model", "engine", "machine", "instructions", "of CMSIS-NN", "of reference", "per MAC", "softmax"),
    *("arena B", "weights B", "code B"),
)
OPERATOR_HEADER = ("model", "operator", "kind", "output", "MACs", "instructions", "per MAC", "share")


@dataclass(frozen=True)
class Row:
    """One line of the table. `weights_bytes` is the plan's size, or of a peer's constants; 0: not known.

    `of_cmsis_nn` and `of_reference` compare the instructions with TFLM's recorded ones, where there are any.
    """

    model: str
    engine: str
    machine: str
    instructions: int
    macs: int
    softmax: int
    arena_bytes: int
    weights_bytes: int
    code_bytes: int
    of_cmsis_nn: float | None
    of_reference: float | None

    def cells(self) -> tuple[object, ...]:
        """As printed."""
        names = (self.model, self.engine, self.machine)
        ratios = (f"{ratio:.1%}" if ratio else "" for ratio in (self.of_cmsis_nn, self.of_reference))
        sizes = (self.softmax, self.arena_bytes, self.weights_bytes, self.code_bytes)
        costs = (f"{self.instructions:,}", *ratios, f"{self.instructions / self.macs:.2f}")
        return (*names, *costs, *(f"{value:,}" if value else "" for value in sizes))


class Model:
    """A file, its plan and the inputs that every engine is given."""

    def __init__(self, path: Path) -> None:
        self.name, self.data = path.stem, path.read_bytes()
        self.plan: Plan = compile_plan(self.data)
        generator = np.random.default_rng(0)
        values = generator.integers(-128, 128, (2, self.plan.input.bytes), dtype=np.int8)
        self.inputs = [row.tobytes() for row in values]
        self.macs = sum(operator.macs for operator in self.plan.operators)
        self.recorded = RECORDED.get(hashlib.sha256(self.data).hexdigest())

    def row(self, engine: str, machine: str, instructions: int, sizes: Sequence[int], softmax: int = 0) -> Row:
        """A line about this model; `sizes` are arena, weights and code, bytes."""
        known = self.recorded
        ratios = (instructions / known.cmsis_nn, instructions / known.reference) if known else (None, None)
        return Row(self.name, engine, machine, instructions, self.macs, softmax, *sizes, *ratios)

    def operators(self, report: Report, machine: str) -> list[dict[str, Any]]:
        """What each operator costs, the dearest first."""
        costs = zip(self.plan.operators, report.per_operator, strict=True)
        found = [
            {
                "model": self.name,
                "machine": machine,
                "operator": f"{operator.index} {operator.name}",
                "kind": operator.kind,
                "output": "x".join(str(size) for size in operator.output_shape),
                "macs": operator.macs,
                "instructions": cost,
                "share": cost / report.instructions,
            }
            for operator, cost in costs
        ]
        return sorted(found, key=lambda one: -one["instructions"])


def measure_engine(model: Model, machine: str, emulator: str) -> tuple[Row, list[dict[str, Any]]]:
    """This engine's row and operators. Raises DeviceError."""
    report = measure(model.plan.blob, model.inputs, machine, emulator)
    if report.status != "EN_OK":
        raise DeviceError(f"the engine refuses the plan: {report.status} at operator {report.failed_operator}")
    costs = zip(model.plan.operators, report.per_operator, strict=True)
    softmax = sum(cost for operator, cost in costs if operator.kind == "softmax")
    code = bakenn_peer.engine_bytes(_objects(), machine)
    sizes = (report.arena_bytes, len(model.plan.blob), code)
    name = "edgenas portable" if MACHINES[machine].core in PORTABLE else "edgenas DSP"
    return model.row(name, machine, report.instructions - softmax, sizes, softmax), model.operators(report, machine)


@cache
def _objects() -> Path:
    """The folder with the objects that the images are made of."""
    return make_images.build("arm-none-eabi-", Path("build/firmware"))[0].parent


def measure_bakenn(model: Model, emulator: str) -> tuple[Row, str]:
    """bakenn's row, and what it took. Raises ImportError and RuntimeError with the reason."""
    prepared, changes = bakenn_peer.prepare(model.data)
    with TemporaryDirectory() as folder:
        peer = bakenn_peer.measure_peer(prepared, model.inputs, Path(folder), emulator)
    slow = sum(kernel.startswith("portable.conv") for kernel in peer.kernels)
    ours = measure(compile_plan(prepared).blob, model.inputs, bakenn_peer.MACHINE, emulator)
    apart = max(
        int(np.abs(np.frombuffer(a, np.int8).astype(int) - np.frombuffer(b, np.int8)).max())
        for a, b in zip(ours.outputs, peer.report.outputs, strict=True)
    )
    note = (
        f"{model.name}: bakenn {peer.version}: {', '.join(changes) or 'unchanged'}; "
        f"convolutions in portable C because their padding is asymmetric: {slow}; "
    )
    note += f"outputs {f'at most {apart} from' if apart else 'equal to'} the engine's"
    report = peer.report
    sizes = (report.arena_bytes, peer.constant_bytes, peer.code_bytes)
    return model.row(f"bakenn {peer.version}", bakenn_peer.MACHINE, report.instructions, sizes), note


def recorded_rows(model: Model) -> list[Row]:
    """TFLM's, if this file is one of those that it was measured with."""
    known = model.recorded
    if known is None:
        return []
    sizes = (round(known.arena_kb * 1000), 0, TFLM_CODE_BYTES)
    return [
        model.row("TFLM CMSIS-NN, recorded", "mps2-an386", round(known.cmsis_nn), sizes),
        model.row("TFLM reference, recorded", "mps2-an386", round(known.reference), (sizes[0], 0, 0)),
    ]


def versions() -> dict[str, str]:
    """The tools that the figures depend on."""
    programs = {"gcc": "arm-none-eabi-gcc", "qemu": "qemu-system-arm"}
    found = {}
    for name, program in programs.items():
        try:
            shown = subprocess.run([program, "--version"], capture_output=True, text=True)
        except OSError:
            continue
        found[name] = shown.stdout.splitlines()[0]
    return found


def operator_cells(one: dict[str, Any]) -> tuple[object, ...]:
    """As printed."""
    macs = one["macs"]
    names = (one["model"], one["operator"], one["kind"], one["output"])
    costs = (f"{one['instructions']:,}", f"{one['instructions'] / macs:.2f}" if macs else "", f"{one['share']:.1%}")
    return (*names, f"{macs:,}" if macs else "", *costs)


class Findings:
    """Everything that was measured, and what was not, with the reason."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.operators: list[dict[str, Any]] = []
        self.notes: list[str] = []

    def add(self, path: Path, machines: Sequence[str], emulator: str) -> None:
        """Measure one model with every engine."""
        try:
            model = Model(path)
        except (DeviceError, ValueError) as error:
            self.notes.append(f"{path.stem}: not measured: {error}")
            return
        for machine in machines:
            row, operators = measure_engine(model, machine, emulator)
            self.rows.append(row)
            self.operators += operators
        try:
            row, note = measure_bakenn(model, emulator)
            self.rows.append(row)
            self.notes.append(note)
        except (ImportError, RuntimeError, DeviceError) as error:
            self.notes.append(f"{model.name}: not measured with bakenn: {error}")
        self.rows += recorded_rows(model)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path, metavar="MODEL.tflite")
    parser.add_argument("--data", type=Path, help="a folder, all of whose .tflite files are measured")
    parser.add_argument("--machine", nargs="+", choices=sorted(MACHINES), default=["mps2-an386", "mps2-an385"])
    parser.add_argument("--emulator", choices=sorted(EMULATORS), default="qemu")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    paths = arguments.models + sorted(arguments.data.glob("*.tflite") if arguments.data else [])
    if not paths:
        parser.error("name .tflite files, or a folder of them with --data DIR")
    found = Findings()
    for path in paths:
        found.add(path, arguments.machine, arguments.emulator)
    figures = {
        "n": len(found.rows),
        "tools": versions(),
        "emulator": arguments.emulator,
        "rows": [asdict(row) for row in found.rows],
        "operators": found.operators,
        "notes": found.notes,
    }
    out = sys.stderr if arguments.json else sys.stdout
    publish("mcu_engine", figures, [HEADER, *(row.cells() for row in found.rows)], as_json=arguments.json)
    print(file=out)
    shown = [one for one in found.operators if one["machine"] == arguments.machine[0]]
    print_table([OPERATOR_HEADER, *(operator_cells(one) for one in shown)], out)
    print("", *versions().values(), *found.notes, sep="\n", file=out)


if __name__ == "__main__":
    main()
