# SPDX-License-Identifier: Apache-2.0
"""What `edgenas deploy` makes can be planned: the folder of a run is a model for a microcontroller, too."""

from __future__ import annotations

from pathlib import Path

import pytest

import edgenas
from edgenas.artifacts.artifact import Artifact


def test_an_artifact_of_ours_fits_a_microcontroller(artifact: Artifact, tmp_path: Path) -> None:
    pytest.importorskip("tflite", reason="needs the packages of edgenas[mcu]")
    artifact.save(tmp_path / "run")
    planned = edgenas.plan(tmp_path / "run", board="mps2-an386", out=tmp_path / "model.plan")
    assert (tmp_path / "model.plan").read_bytes() == planned.plan.blob
    assert sum(operator.macs for operator in planned.plan.operators) == artifact.manifest["macs"]
    assert planned.plan.output.shape[-1] == 10
