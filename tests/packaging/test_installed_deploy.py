# SPDX-License-Identifier: Apache-2.0
"""The wheel with the search extra deploys from a folder that has nothing to do with the checkout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from helpers.short_deploys import SMALL

if TYPE_CHECKING:
    from helpers.packaging.installed import Environment

pytestmark = pytest.mark.slow


def test_the_installed_wheel_deploys_digits(full: Environment) -> None:
    where = full.run("python", "-c", "import edgenas, firmware_tools as f; print(edgenas.__file__, f.__file__)")
    assert where.returncode == 0, where.stderr
    prefix = full.python.parent.parent
    assert [Path(path).is_relative_to(prefix) for path in where.stdout.split()] == [True, True]

    profiled = full.run("edgenas", "profile", "--minutes", "0.02", "--input-shape", "1x8x8", "--json", timeout_s=300)
    assert profiled.returncode == 0, profiled.stderr
    options = [
        "--data",
        "digits",
        "--space",
        SMALL,
        "--latency",
        "1ms",
        "--rounds",
        "1",
        "--epochs",
        "8",
        "--precision",
        "int8",
        "--json",
    ]
    done = full.run("edgenas", "deploy", *options, timeout_s=600)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)

    assert result["committed"] is True
    assert result["measured"]["latency_ms"] <= result["budget"]["latency_ms"]
    model = full.folder / result["model"]["path"]
    assert model.is_file()
    assert model.is_relative_to(full.folder / "runs")
    assert model.stat().st_size == result["model"]["bytes"]
    assert json.loads((model.parent / "result.json").read_text())["seed"] == result["seed"]
    profiles = Path(full.variables["EDGENAS_HOME"]) / "profiles"
    assert [path.name for path in profiles.glob("host+litert+*.json")]

    again = full.run("edgenas", "measure", str(model.parent), "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["model"]["sha256"] == result["model"]["sha256"]
