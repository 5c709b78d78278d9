# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
import signal
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgenas.artifacts.artifact import Artifact
from edgenas.errors import GuessingError
from edgenas.measuring.install import install
from edgenas.measuring.retiming import counted
from firmware_tools.connect import connect
from firmware_tools.device import Device, Timing, TimingPlan
from firmware_tools.errors import OutputMismatchError, TransferError
from firmware_tools.linux.session import AgentSession

PLAN = TimingPlan(processes=2, warmup_s=0.01, timed_s=0.02, repeats=0)


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    """The agent on this computer, its slots in the test's folder."""
    with connect(f"local:?root={tmp_path / 'device'}", home=tmp_path) as opened:
        yield opened


def other(artifact: Artifact) -> Artifact:
    """The same model with other bytes: a flatbuffer may be followed by anything."""
    tflite = artifact.tflite + bytes(16)
    manifest = {**artifact.manifest, "sha256": sha256(tflite).hexdigest(), "bytes": len(tflite)}
    return replace(artifact, tflite=tflite, manifest=manifest)


def unmarked(timing: Timing, latency_ms: float) -> Timing:
    """As on a computer that nothing else uses."""
    return replace(timing, latency_ms=latency_ms, conditions=replace(timing.conditions, marked=()))


def with_outputs(artifact: Artifact, outputs: np.ndarray) -> Artifact:
    file = io.BytesIO()
    np.savez(file, inputs=artifact.golden_vectors()[0], outputs=outputs)
    return replace(artifact, golden=file.getvalue())


def test_within_the_budget_is_committed(device: Device, artifact: Artifact) -> None:
    installed = install(device, artifact, PLAN, 1000.0)
    assert installed.committed
    assert installed.timing.sha256 == artifact.sha256
    assert 0 < installed.timing.latency_ms < 1000
    status = device.status()
    assert status.active is not None
    assert status.active.valid
    assert status.active.sha256 == artifact.sha256
    assert status.staged is None


def test_what_is_doubted_is_timed_three_times_and_the_middle_one_counts(device: Device, artifact: Artifact) -> None:
    installed = install(device, artifact, PLAN, None, doubted=lambda timing: True)
    latencies = [timing.latency_ms for timing in installed.timings]
    assert len(latencies) == 3
    assert installed.timing == counted(installed.timings)
    if not any(timing.conditions.marked for timing in installed.timings):  # else on a busy computer
        assert installed.timing.latency_ms == sorted(latencies)[1]


def test_without_a_budget_everything_is_committed(device: Device, artifact: Artifact) -> None:
    assert install(device, artifact, PLAN, None).committed
    assert install(device, other(artifact), PLAN, None).committed
    status = device.status()
    assert status.active is not None
    assert status.previous is not None
    assert (status.active.sha256, status.previous.sha256) == (other(artifact).sha256, artifact.sha256)


def test_a_model_that_guesses_is_not_even_sent(device: Device, artifact: Artifact) -> None:
    install(device, artifact, PLAN, None)
    before = device.status()
    found = {"images": 12_345, "balanced_accuracy": 0.5, "lower_bound": 0.49, "chance": 0.5}
    guesses = replace(other(artifact), manifest={**other(artifact).manifest, "held_out": found})
    with pytest.raises(GuessingError, match=r"balanced accuracy of 50\.0% on 12345 unseen images is not bey") as caught:
        install(device, guesses, PLAN, None)
    assert caught.value.exit_code == 3
    assert len(f"edgenas: {caught.value.message}") < 200
    assert device.status() == before
    of_before = {name: value for name, value in other(artifact).manifest.items() if name != "held_out"}
    assert install(device, replace(other(artifact), manifest=of_before), PLAN, None).committed  # it does not say


def test_over_the_budget_the_active_model_stays(device: Device, artifact: Artifact) -> None:
    install(device, artifact, PLAN, None)
    before = device.status()
    installed = install(device, other(artifact), PLAN, 1e-6)
    assert not installed.committed
    assert installed.timing.sha256 == other(artifact).sha256
    assert installed.timing.latency_ms > 1e-6
    after = device.status()
    assert after.active == before.active
    assert after.staged is None
    assert after.commits == before.commits == 1


def test_a_budget_of_exactly_the_latency_is_met(device: Device, artifact: Artifact) -> None:
    """What is timed is decided by a device that always says the same."""

    class Steady:
        def __getattr__(self, name: str) -> object:
            return getattr(device, name)

        def time_staged(self, plan: TimingPlan, progress: object = None) -> object:
            return unmarked(device.time_staged(plan), 0.25)

    steady = Steady()
    assert install(steady, artifact, PLAN, 0.25).committed  # type: ignore[arg-type]
    assert not install(steady, other(artifact), PLAN, 0.2499).committed  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("said", "committed"),
    [
        ([0.25], True),
        ([0.26, 0.24, 0.25], True),  # another program's doing
        ([0.26, 0.24, 0.27], False),
        ([0.30], False),  # so far over that it is no chance
    ],
)
def test_a_near_miss_is_timed_twice_more(
    device: Device, artifact: Artifact, said: list[float], committed: bool
) -> None:
    left = list(said)

    class Told:
        def __getattr__(self, name: str) -> object:
            return getattr(device, name)

        def time_staged(self, plan: TimingPlan, progress: object = None) -> object:
            return unmarked(device.time_staged(plan), left.pop(0))

    installed = install(Told(), artifact, PLAN, 0.25)  # type: ignore[arg-type]
    assert installed.committed == committed
    assert installed.timing.latency_ms == sorted(said)[len(said) // 2]
    assert left == []


@pytest.mark.parametrize("spoil", ["rolled", "noise", "one class"])
def test_other_outputs_than_the_hosts_are_refused(device: Device, artifact: Artifact, spoil: str) -> None:
    install(device, artifact, PLAN, None)
    before = device.status()
    outputs = artifact.golden_vectors()[1]
    spoilt = {
        "rolled": np.roll(outputs, 1, axis=1),
        "noise": np.random.default_rng(0).integers(-128, 128, outputs.shape).astype(outputs.dtype),
        "one class": outputs[:, :1],
    }[spoil]
    with pytest.raises(OutputMismatchError, match="the active model was left in place") as caught:
        install(device, with_outputs(other(artifact), spoilt), PLAN, None)
    assert caught.value.exit_code == 4
    assert caught.value.message.startswith(device.url)
    after = device.status()
    assert after.active == before.active
    assert after.staged is None
    assert after.commits == before.commits


def test_a_model_that_is_not_its_manifests_is_refused(device: Device, artifact: Artifact) -> None:
    install(device, artifact, PLAN, None)
    wrong = replace(artifact, tflite=other(artifact).tflite)
    with pytest.raises(TransferError):
        install(device, wrong, PLAN, None)
    status = device.status()
    assert status.active is not None
    assert status.active.sha256 == artifact.sha256


def test_an_interrupt_while_timing_leaves_the_active_model_and_the_next_installation_works(
    tmp_path: Path, artifact: Artifact
) -> None:
    url = f"local:?root={tmp_path / 'device'}"

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with connect(url, home=tmp_path) as device:
        install(device, artifact, PLAN, None)
        with pytest.raises(KeyboardInterrupt):
            install(device, other(artifact), PLAN, None, interrupt)
    with connect(url, home=tmp_path) as device:
        status = device.status()
        assert status.active is not None
        assert status.active.sha256 == artifact.sha256
        assert not install(device, other(artifact), PLAN, 1e-6).committed
        assert device.status().staged is None


@pytest.mark.parametrize("command", ["activate", "confirm"])
def test_an_interrupt_in_the_middle_of_a_commit_leaves_no_model_on_trial(
    tmp_path: Path, artifact: Artifact, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, request = f"local:?root={tmp_path / 'device'}", AgentSession.request

    def interrupted(session: AgentSession, do: str, **fields: Any) -> dict[str, Any]:
        if do == command:
            signal.raise_signal(signal.SIGINT)
        return request(session, do, **fields)

    monkeypatch.setattr(AgentSession, "request", interrupted)
    with connect(url, home=tmp_path) as device, pytest.raises(KeyboardInterrupt):
        install(device, artifact, PLAN, None)
    with connect(url, home=tmp_path) as device:
        status = device.status()
    assert status.active is not None
    assert status.active.sha256 == artifact.sha256
    assert (status.confirmed, status.commits) == (True, 1)


def test_a_device_that_is_lost_says_so_first(tmp_path: Path, artifact: Artifact) -> None:
    """The error of the failed discard does not hide the error that came before."""

    class Lost:
        url = "lost:"

        def stage(self, *parts: object) -> None:
            pass

        def infer_staged(self, inputs: object) -> object:
            raise TransferError("the first")

        def discard(self) -> None:
            raise TransferError("the second")

    with pytest.raises(TransferError, match="the first"):
        install(Lost(), artifact, PLAN, None)  # type: ignore[arg-type]
