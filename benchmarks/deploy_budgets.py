# SPDX-License-Identifier: Apache-2.0
"""Whether the budget holds: deploys of mnist to this computer at several budgets, every row of every bake-off.

python benchmarks/deploy_budgets.py [--json] [--data mnist] [--budgets 20% 40% 60% 80%] [--seeds 0]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

from program import edgenas, share_converter
from report import publish


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--budgets", nargs="+", default=["20%", "40%", "60%", "80%"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    arguments = parser.parse_args()
    table: list[tuple[object, ...]] = [
        (
            "budget",
            "seed",
            "limit us",
            "predicted us",
            "measured us",
            "of it",
            "rounds",
            "int8 %",
            "baseline %",
            "s",
            "origin",
        )
    ]
    runs = []
    with TemporaryDirectory() as scratch:
        folder, home = Path(scratch), Path(scratch) / "home"
        share_converter(home)
        for seed in arguments.seeds:
            for budget in arguments.budgets:
                command = ["deploy", "--data", arguments.data, "--latency", budget, "--seed", str(seed)]
                finished = edgenas(command, home, folder)
                result = finished.result
                runs.append({"asked": budget, "wall_s": finished.seconds, **result})
                limit, measured = result["budget"]["latency_ms"], result["measured"]["latency_ms"]
                accuracy = result["accuracy"]
                table.append(
                    (
                        budget,
                        seed,
                        f"{limit * 1e3:.1f}",
                        f"{result['predicted_ms'] * 1e3:.1f}",
                        f"{measured * 1e3:.1f}",
                        f"{measured / limit:.1%}",
                        len(result["rounds"]),
                        f"{accuracy['int8'] * 100:.1f}",
                        f"{accuracy['baseline'] * 100:.1f}",
                        f"{finished.seconds:.0f}",
                        result["model"]["origin"],
                    )
                )
    publish("deploy_budgets", {"n": len(runs), "data": arguments.data, "runs": runs}, table, as_json=arguments.json)


if __name__ == "__main__":
    main()
