# SPDX-License-Identifier: Apache-2.0
"""The wheel brings the boards' firmware along: a model is measured on one without a compiler, nothing is written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from helpers.packaging.installed import Environment


def _net() -> bytes:
    import numpy as np
    from helpers.tflite_builder import Op, T, constant, model

    rng = np.random.default_rng(0)
    tensors = [
        T((1, 16), 0.1),
        constant(rng.integers(-127, 128, (4, 16)), 0.02),
        constant(rng.integers(-200, 200, 4), 0.002, "int32"),
        T((1, 4), 1.5, 3),
    ]
    return bytes(model(tensors, [Op("FULLY_CONNECTED", [0, 1, 2], [3])], [0], [3]))


def _files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if "__pycache__" not in path.parts}


def test_the_installed_wheel_measures_on_an_emulated_board_without_a_compiler(full: Environment) -> None:
    pytest.importorskip("unicorn", reason="needs pip install unicorn")
    path = full.folder / "model.tflite"
    path.write_bytes(_net())
    programs = full.folder / "programs"
    programs.mkdir()
    for name in ("sh", "cat"):
        (programs / name).symlink_to(shutil.which(name) or f"/bin/{name}")
    (packages,) = (full.python.parent.parent / "lib").glob("python*/site-packages")
    before = _files(packages)
    bare = full._replace(variables={**full.variables, "PATH": str(programs), "PYTHONDONTWRITEBYTECODE": "1"})
    options = ("--board", "mps2-an386", "--device", "unicorn:", "--json")
    done = bare.run("edgenas", "measure", str(path), *options)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["device"]["hostname"] == "mps2-an386"
    assert 0 < found["measured"]["latency_minsn"] < 0.01
    assert _files(packages) == before  # as where it may not be written
