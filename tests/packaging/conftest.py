# SPDX-License-Identifier: Apache-2.0
"""The distributions of this checkout, built once, and environments that hold the wheel and nothing of the checkout."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.packaging.installed import Distributions, Environment
from helpers.short_deploys import make_home

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    folder = tmp_path_factory.mktemp("dist")
    # Without isolation: the build tool's own packages are in the dev extra, so nothing is downloaded. Elsewhere than in
    # the checkout: a folder build/ there would hide the module.
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return Distributions(sdist, wheel)


@pytest.fixture(scope="session")
def light(distributions: Distributions, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """`pip install edgenas`: the wheel and what it depends on, no extra."""
    return _installed(distributions.wheel, tmp_path_factory.mktemp("light"))


@pytest.fixture(scope="session")
def planning(distributions: Distributions, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """`pip install edgenas flatbuffers tflite`: what plans need of the mcu extra, with this environment's copies."""
    made = _installed(distributions.wheel, tmp_path_factory.mktemp("planning"))
    (packages,) = (made.python.parent.parent / "lib").glob("python*/site-packages")
    for name in ("flatbuffers", "tflite"):
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:
            pytest.skip(f"needs {name}, which is in edgenas[mcu]")
        (packages / name).symlink_to(Path(found.origin).parent)
    return made


@pytest.fixture(scope="session")
def full(distributions: Distributions, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """`pip install 'edgenas[search]'`, with this environment's copies of what the extra names: torch alone is 600 MB.

    A path in a .pth file does not have its own .pth files read, so this environment's editable edgenas stays out.
    """
    made = _installed(distributions.wheel, tmp_path_factory.mktemp("full"))
    (packages,) = (made.python.parent.parent / "lib").glob("python*/site-packages")
    (here,) = (Path(sys.prefix) / "lib").glob("python*/site-packages")
    found = importlib.util.find_spec("torch")
    folders = {here, Path(found.origin).parents[1]} if found and found.origin else {here}  # torch may be the system's
    (packages / "search_extra.pth").write_text("".join(f"{folder}\n" for folder in sorted(folders)))
    make_home(Path(made.variables["EDGENAS_HOME"]))
    return made


def _installed(wheel: Path, folder: Path) -> Environment:
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True, timeout=120)
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, str(wheel)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV"))}
    return Environment(python, elsewhere, {**variables, "EDGENAS_HOME": str(folder / "home"), "COLUMNS": "200"})
