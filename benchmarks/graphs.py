# SPDX-License-Identifier: Apache-2.0
"""Random networks on the microcontroller engine and in TFLite Micro's interpreter, compared bit for bit.

python benchmarks/graphs.py [--graphs N] [--seed FIRST]    needs tflite-micro and a C compiler; for the emulated boards
qemu-system-arm and PyPI unicorn

Each network runs on the engine compiled for this computer, plainly and under the address and undefined behaviour
sanitizers, and on emulated boards: a Cortex-M4 and a Cortex-M3 in QEMU, and every tenth on the Cortex-M4 in Unicorn. A
difference ends it with exit code 1 and the seed that shows it again.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable

import numpy as np
from report import ROOT, commit, machine

sys.path.insert(0, str(ROOT / "tests"))  # the networks are the tests', too

from helpers.plan.random_graphs import Array, RandomGraph, expected, generate

from firmware_tools.mcu import measure
from firmware_tools.plan import compile_plan
from firmware_tools.plan.simulate import simulate

_TENTH = 10
Engine = Callable[[bytes, Array], Array]


def _board(name: str, emulator: str) -> Engine:
    def run(blob: bytes, inputs: Array) -> Array:
        report = measure(blob, [row.tobytes() for row in inputs], name, emulator)
        return np.array([np.frombuffer(output, np.int8) for output in report.outputs])

    return run


def _engines() -> dict[str, tuple[Engine, int]]:
    """What runs the plans, and of how many networks one."""
    found: dict[str, tuple[Engine, int]] = {
        "this computer": (simulate, 1),
        "this computer, sanitizers": (lambda blob, inputs: simulate(blob, inputs, sanitize=True), 1),
    }
    if shutil.which("qemu-system-arm"):
        found |= {f"{name} in QEMU": (_board(name, "qemu"), 1) for name in ("mps2-an386", "mps2-an385")}
    if importlib.util.find_spec("unicorn"):
        found["mps2-an386 in Unicorn"] = (_board("mps2-an386", "unicorn"), _TENTH)
    return found


def _compare(seed: int, graph: RandomGraph, engines: dict[str, tuple[Engine, int]]) -> list[str]:
    """The engines that ran. Raises SystemExit if one of them differs, or if what is left out does."""
    plan, outputs = compile_plan(graph.tflite), expected(graph)
    again = f"python benchmarks/graphs.py --graphs 1 --seed {seed}"
    if tuple(operator.index for operator in plan.unused) != graph.unused:
        raise SystemExit(f"seed {seed}: {plan.unused} are left out, {graph.unused} are unused\nagain: {again}")
    ran = [name for name, (_, every) in engines.items() if seed % every == 0]
    for name in ran:
        if not np.array_equal(engines[name][0](plan.blob, graph.inputs), outputs):
            raise SystemExit(f"seed {seed}: {name} differs from TFLite Micro; {graph.kinds}\nagain: {again}")
    return ran


def main() -> None:
    """Compare them all and print what they were."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graphs", type=int, default=1000, help="how many (1000)")
    parser.add_argument("--seed", type=int, default=0, help="of the first (0)")
    arguments = parser.parse_args()
    engines, started = _engines(), time.monotonic()
    kinds: Counter[str] = Counter()
    ran: Counter[str] = Counter()
    what: Counter[str] = Counter()
    print(f"graphs  commit {commit()}  {machine()['cpu']}, {machine()['cores']} cores", flush=True)
    for seed in range(arguments.seed, arguments.seed + arguments.graphs):
        graph = generate(seed)
        ran.update(_compare(seed, graph, engines))
        kinds.update(graph.kinds)
        what["unused"] += len(graph.unused)
        what["with unused"] += bool(graph.unused)
        what["read on"] += graph.read_on
        what["vary"] += len(np.unique(expected(graph), axis=0)) > 1
    print(
        f"{arguments.graphs:,} networks from seed {arguments.seed}, {kinds.total():,} operators; unused "
        f"{what['unused']:,} in {what['with unused']:,} networks; others read the output of {what['read on']:,} on"
    )
    print("operators: " + ", ".join(f"{kind} {count:,}" for kind, count in kinds.most_common()))
    print(f"outputs that depend on the input: {what['vary']:,}; 4 inputs each, two of noise and both extremes")
    for name, count in ran.items():
        print(f"{name:28}{count:6,} equal to TFLite Micro, none different")
    print(f"{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
