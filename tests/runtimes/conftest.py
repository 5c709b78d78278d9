"""A home of the tests' own, and `digits` deployed once on each of the two runtimes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import edgenas
from edgenas import resources
from edgenas.workflows.profile import Profiled
from edgenas.workflows.result import Result

ROOT = Path(__file__).resolve().parents[2]
_PYTHONS = {"litert": Path(sys.executable), "tflite": ROOT / ".venv-tflite" / "bin" / "python"}
_INPUT_SHAPE = (1, 8, 8)  # of digits
_EPOCHS = 4


class Deployed(NamedTuple):
    """What a deploy on the runtime `name` left."""

    name: str
    url: str
    profiled: Profiled
    result: Result


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """$EDGENAS_HOME for these tests, with the machine's converter: it is built once."""
    converter = resources.home() / "converter"
    converter.mkdir(parents=True, exist_ok=True)
    folder = tmp_path_factory.mktemp("home")
    (folder / "converter").symlink_to(converter)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGENAS_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def litert(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    return _deployed("litert", tmp_path_factory.mktemp("litert"))


@pytest.fixture(scope="module")
def tflite(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    python = _PYTHONS["tflite"]
    if not python.exists():
        pytest.skip(f"no tflite-runtime: {python.parent.parent.name} is not there (make setup-tests, Python 3.11)")
    return _deployed("tflite", tmp_path_factory.mktemp("tflite"))


def _deployed(name: str, folder: Path) -> Deployed:
    url = f"local:?python={_PYTHONS[name]}"
    # As short as a profile can be: the measurements of the search refine it.
    profiled = edgenas.profile(device=url, seconds=1, input_shape=_INPUT_SHAPE)
    result = edgenas.deploy(data="digits", latency="1ms", device=url, epochs=_EPOCHS, rounds=1, runs=folder / "runs")
    return Deployed(name, url, profiled, result)
