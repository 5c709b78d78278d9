# SPDX-License-Identifier: Apache-2.0
"""What the search buys: both strategies on a folder of class folders, all rows, against the filled MobileNetV2.

python benchmarks/deploy_strategies.py --data DIR [--json] [--latency 40%] [--epochs 24] [--seeds 0]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

from program import edgenas, share_converter
from report import publish

STRATEGIES = ("halving", "lightnas")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--latency", default="40%")
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES))
    arguments = parser.parse_args()
    table: list[tuple[object, ...]] = [
        ("strategy", "seed", "", "origin", "measured us", "validation %", "test int8 %", "MMAC", "architecture")
    ]
    runs = []
    with TemporaryDirectory() as scratch:
        folder, home = Path(scratch), Path(scratch) / "home"
        share_converter(home)
        for seed in arguments.seeds:
            for strategy in arguments.strategies:
                command = ["deploy", "--data", str(Path(arguments.data).resolve()), "--latency", arguments.latency]
                command += ["--strategy", strategy, "--epochs", str(arguments.epochs), "--seed", str(seed)]
                finished = edgenas(command, home, folder)
                result = finished.result
                runs.append({"wall_s": finished.seconds, **result})
                for row in sorted(result["rows"], key=lambda row: -row["validation"]):
                    mark = "shipped" if row["architecture"] == result["model"]["architecture"] else ""
                    mark = "baseline" if row["baseline"] and not mark else mark
                    accuracy = row["accuracy_int8"] or row["accuracy_float"]
                    table.append(
                        (
                            strategy,
                            seed,
                            mark,
                            row["origin"],
                            f"{row['measured_ms'] * 1e3:.1f}",
                            f"{row['validation'] * 100:.1f}",
                            f"{accuracy * 100:.1f}",
                            f"{row['macs'] / 1e6:.2f}",
                            row["architecture"],
                        )
                    )
    figures = {"n": len(runs), "latency": arguments.latency, "epochs": arguments.epochs, "runs": runs}
    publish("deploy_strategies", figures, table, as_json=arguments.json)


if __name__ == "__main__":
    main()
