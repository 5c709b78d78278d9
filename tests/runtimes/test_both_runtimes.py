# SPDX-License-Identifier: Apache-2.0
"""`digits` deployed over SSH on ai-edge-litert and on tflite-runtime 2.14, and one model on both."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from edgenas import tasks
from edgenas.artifacts.artifact import Artifact, golden_mismatch
from edgenas.conversion.runtime import quantised
from edgenas.profiles.profile import BoardProfile
from edgenas.tasks.batches import as_input
from firmware_tools.connect import connect

if TYPE_CHECKING:
    from helpers.runtimes.deployed import Deployed

pytestmark = pytest.mark.slow

_VERSIONS = {"litert": "2.3.", "tflite": "2.14."}
_AGREEMENT = 0.98


@pytest.fixture(params=["litert", "tflite"])
def deployed(request: pytest.FixtureRequest) -> Deployed:
    return request.getfixturevalue(request.param)


def test_the_model_is_installed_within_the_budget(deployed: Deployed) -> None:
    # A commit implies that the device's outputs for the golden inputs were accepted.
    result = deployed.result
    assert result.committed
    assert result.timing.latency_ms <= result.budget_ms
    assert result.timing.conditions.runtime == deployed.name


def test_the_result_names_the_runtime(deployed: Deployed) -> None:
    assert deployed.result.versions[deployed.name].startswith(_VERSIONS[deployed.name])
    assert {"edgenas", "torch", "numpy", "agent"} <= set(deployed.result.versions)


def test_the_profile_is_of_this_runtime(deployed: Deployed) -> None:
    key = deployed.profiled.profile.key
    assert key.runtime == deployed.name
    assert key.runtime_version.startswith(_VERSIONS[deployed.name])
    assert BoardProfile.path(key).is_file()


def test_the_runtimes_do_not_share_a_profile(litert: Deployed, tflite: Deployed) -> None:
    keys = [one.profiled.profile.key for one in (litert, tflite)]
    assert keys[0] != keys[1]
    assert len({BoardProfile.path(key) for key in keys}) == 2


def test_golden_outputs_are_accepted_on_the_other_runtime(litert: Deployed, tflite: Deployed, tmp_path: Path) -> None:
    for made, run in ((litert, tflite), (tflite, litert)):
        artifact = _artifact(made)
        inputs, expected = artifact.golden_vectors()
        assert golden_mismatch(expected, _outputs(artifact, run, tmp_path / run.name, inputs)) is None


def test_both_runtimes_see_the_same_digits(litert: Deployed, tflite: Deployed, tmp_path: Path) -> None:
    artifact = _artifact(litert)
    tensor = artifact.manifest["input"]
    images = as_input(tasks.load("digits").test.x)
    inputs = quantised(images, tensor["scale"], tensor["zero_point"], tensor["dtype"])
    here, there = (_outputs(artifact, one, tmp_path / one.name, inputs) for one in (litert, tflite))
    assert here.dtype == there.dtype == np.int8
    assert np.mean(here.argmax(1) == there.argmax(1)) >= _AGREEMENT


def _artifact(deployed: Deployed) -> Artifact:
    return Artifact.load(Path(deployed.result.folder))


def _outputs(artifact: Artifact, on: Deployed, root: Path, inputs: NDArray[np.generic]) -> NDArray[np.generic]:
    """Through the device's own way: staged in a slot, read back, run by its runtime."""
    with connect(on.url(root), home=root) as device:
        device.stage(artifact.tflite, artifact.manifest)
        return device.infer_staged(inputs)
