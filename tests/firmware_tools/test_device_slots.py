# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.firmware_tools.raw_agent import SHORT, active_model, fully_connected, sha256

from firmware_tools.connect import connect
from firmware_tools.device import Device
from firmware_tools.errors import (
    DeviceFullError,
    InferenceError,
    NothingStagedError,
    NothingToRollBackError,
    TransferError,
)


def install(device: Device, model: bytes) -> None:
    device.stage(model, {"name": "a model"})
    device.commit()


def test_a_new_device_holds_nothing(device: Device) -> None:
    status = device.status()
    assert (status.active, status.previous, status.staged) == (None, None, None)
    for call in (lambda: device.commit(), lambda: device.time_staged(SHORT)):
        with pytest.raises(NothingStagedError, match="stage one first"):
            call()
    with pytest.raises(NothingToRollBackError):
        device.rollback()
    device.discard()


def test_stage_commit_and_rollback(device: Device, root: Path, models: list[bytes]) -> None:
    staged = device.stage(models[0], {"name": "first"})
    assert (staged.active, staged.valid, staged.sha256) == (False, True, sha256(models[0]))
    assert staged.manifest == {"name": "first", "sha256": sha256(models[0]), "bytes": len(models[0])}
    assert device.commit().previous is None
    assert active_model(root) == models[0]

    device.stage(models[1], {})
    assert active_model(root) == models[0]
    status = device.commit()
    assert status.active is not None
    assert status.previous is not None
    assert (status.active.sha256, status.previous.sha256) == (sha256(models[1]), sha256(models[0]))
    assert status.active.slot != status.previous.slot

    status = device.rollback()
    assert active_model(root) == models[0]
    assert (status.previous, status.staged, status.commits, status.rollbacks) == (None, None, 2, 1)
    with pytest.raises(NothingToRollBackError):
        device.rollback()


def test_discard_forgets_the_staged_model_and_leaves_the_active_one(
    device: Device, root: Path, models: list[bytes]
) -> None:
    install(device, models[0])
    device.stage(models[1], {})
    device.discard()
    assert device.status().staged is None
    with pytest.raises(NothingStagedError):
        device.commit()
    assert active_model(root) == models[0]


def test_what_is_staged_outlives_the_session_and_scratch_does_not(root: Path, models: list[bytes]) -> None:
    url = f"local:?root={root}"
    with connect(url, home=root) as device:
        device.time(models, SHORT)
        device.stage(models[0], {})
    assert list((root / "scratch").iterdir()) == []
    with connect(url, home=root) as device:
        device.commit()
        device.close()
        device.close()
    assert active_model(root) == models[0]


def test_a_manifest_of_another_model_is_refused(device: Device, models: list[bytes]) -> None:
    with pytest.raises(TransferError, match=sha256(models[1])):
        device.stage(models[0], {"sha256": sha256(models[1])})
    assert device.status().staged is None


def test_a_corrupt_active_model_shows_and_can_be_rolled_back_from(
    device: Device, root: Path, models: list[bytes]
) -> None:
    install(device, models[0])
    install(device, models[1])
    path = root / "active" / "model.tflite"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    active = device.status().active
    assert active is not None
    assert not active.valid
    device.rollback()
    assert active_model(root) == models[0]


def test_a_damaged_previous_or_staged_model_is_never_activated(device: Device, root: Path, models: list[bytes]) -> None:
    install(device, models[0])
    install(device, models[1])
    previous = device.status().previous
    assert previous is not None
    (root / "slots" / previous.slot / "model.tflite").write_bytes(b"rot")
    with pytest.raises(NothingToRollBackError, match="damaged"):
        device.rollback()
    staged = device.stage(models[2], {})
    (root / "slots" / staged.slot / "manifest.json").write_text("{")
    with pytest.raises(TransferError, match="stage it again"):
        device.commit()
    assert active_model(root) == models[1]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"staged": 3, "previous": ["a"], "commits": "x"}'])
def test_a_damaged_state_file_counts_as_none(root: Path, models: list[bytes], text: str) -> None:
    url = f"local:?root={root}"
    with connect(url, home=root) as device:
        install(device, models[0])
    (root / "state.json").write_text(text)
    with connect(url, home=root) as device:
        status = device.status()
        assert status.active is not None
        assert (status.previous, status.staged, status.commits) == (None, None, 0)
        install(device, models[1])
        assert device.rollback().rollbacks == 1
    assert active_model(root) == models[0]


def test_timing_says_latency_spread_memory_and_conditions(device: Device, models: list[bytes]) -> None:
    large = fully_connected(9, 512, 2048)
    seen: list[tuple[int, int]] = []
    small_timing, large_timing = device.time([models[0], large], SHORT, lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert (small_timing.sha256, large_timing.sha256) == (sha256(models[0]), sha256(large))
    assert large_timing.latency_ms > 3 * small_timing.latency_ms
    for timing in (small_timing, large_timing):
        assert timing.latency_ms == timing.p10_ms
        assert 0 < timing.min_ms <= timing.p10_ms <= timing.p50_ms <= timing.p95_ms <= timing.max_ms
        assert timing.ci95_ms[0] <= timing.latency_ms <= timing.ci95_ms[1]
        assert timing.n >= 2 * 30
        assert timing.conditions.runtime == "litert"
        assert timing.conditions.threads == 1
    if small_timing.peak_ram_bytes is None:
        pytest.skip("this system does not tell the peak resident set")
    assert large_timing.peak_ram_bytes is not None
    assert large_timing.peak_ram_bytes - small_timing.peak_ram_bytes > 2 << 20  # of its 4 MiB of weights


def test_no_models_no_timings(device: Device) -> None:
    assert device.time([], SHORT) == []


def test_outputs_are_those_of_the_runtime_itself(device: Device, models: list[bytes]) -> None:
    interpreter_module = pytest.importorskip("ai_edge_litert.interpreter")
    interpreter = interpreter_module.Interpreter(model_content=models[0], num_threads=1)
    interpreter.allocate_tensors()
    inputs = np.random.default_rng(0).standard_normal((5, 16)).astype(np.float32)
    expected = []
    for one in inputs:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], one[np.newaxis])
        interpreter.invoke()
        expected.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0])
    device.stage(models[0], {})
    outputs = device.infer_staged(inputs)
    assert outputs.dtype == np.float32
    np.testing.assert_array_equal(outputs, np.stack(expected))
    assert device.time_staged(SHORT).sha256 == sha256(models[0])


@pytest.mark.parametrize("inputs", [np.zeros((2, 16), np.int8), np.zeros((2, 15), np.float32)])
def test_inputs_that_do_not_fit_are_refused(device: Device, models: list[bytes], inputs: np.ndarray) -> None:
    device.stage(models[0], {})
    with pytest.raises(InferenceError, match=r"the model takes float32 \[1, 16\]") as caught:
        device.infer_staged(inputs)
    assert caught.value.fields["reason"] == "inputs"
    with pytest.raises(ValueError, match="at least"):
        device.infer_staged(inputs[:0])


def test_a_file_that_is_no_model_is_refused_and_the_session_goes_on(device: Device, models: list[bytes]) -> None:
    with pytest.raises(InferenceError, match="refuses the model") as caught:
        device.time([b"no model" * 100], SHORT)
    assert caught.value.fields["reason"] == "refused"
    assert device.time(models[:1], SHORT)[0].n > 0


def test_a_runtime_that_complains_of_every_tensor_is_heard_once(device: Device) -> None:
    from helpers.tflite_builder import (  # here: it skips tests where the package tflite is missing
        Op,
        T,
        constant,
        model,
    )

    # As in public files: the scales of biases are said to lie along dimension 3, which a bias has not.
    tensors, ops = [T((1, 4, 4, 4))], []
    for number in range(12):
        weights = constant(np.ones((1, 3, 3, 4)), [0.01] * 4, axis=3)
        tensors += [weights, constant(np.zeros(4), [0.01] * 4, "int32", axis=3), T((1, 4, 4, 4))]
        at = 3 * number
        options = {"Padding": 0, "StrideW": 1, "StrideH": 1, "DepthMultiplier": 1}
        ops.append(Op("DEPTHWISE_CONV_2D", [at, at + 1, at + 2], [at + 3], options))
    with pytest.raises(
        InferenceError, match=r"refuses the model: .*and 11 more\): .* try another --runtime$"
    ) as caught:
        device.time([model(tensors, ops, [0], [len(tensors) - 1])], SHORT)
    assert len(caught.value.message) < 200 + len(device.url)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if os.name != "posix" or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("no right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_no_disk_space_leaves_the_old_model_and_no_part_of_the_new(small_disk: Path, models: list[bytes]) -> None:
    root = small_disk / "device"
    with connect(f"local:?root={root}", home=root) as device:
        install(device, models[0])
        large = fully_connected(1, 256, 512)
        with pytest.raises(DeviceFullError, match=r"bytes needed.*bytes free") as caught:
            device.stage(large, {})
        assert caught.value.fields["root"] == str(root)
        # Room for the model when the upload starts, none left when its manifest is written.
        with pytest.raises(DeviceFullError):
            device.stage(models[1], {"filler": "x" * (300 << 10)})
        free = device.info().free_disk_bytes
        (small_disk / "filler").write_bytes(bytes(free))
        assert active_model(root) == models[0]
        with pytest.raises(DeviceFullError):
            device.stage(models[2], {})
        (small_disk / "filler").unlink()
        install(device, models[2])
        (small_disk / "filler").write_bytes(bytes(device.info().free_disk_bytes))
        with pytest.raises(DeviceFullError):
            device.stage(models[1], {})
        device.rollback()
        (small_disk / "filler").unlink()
        assert device.status().previous is None
    assert active_model(root) == models[0]
    left = {path.name for path in root.rglob("*") if path.is_file()}
    assert left <= {"model.tflite", "manifest.json", "state.json", "lock", "log"}


@pytest.mark.skipif(os.name != "posix", reason="ulimit")
def test_a_write_that_is_cut_short_leaves_no_part(tmp_path: Path, root: Path, models: list[bytes]) -> None:
    limited = tmp_path / "python"
    limited.write_text(f'#!/bin/sh\nulimit -f 64\nexec {os.environ.get("PYTHON", "python3")} "$@"\n')  # 32 or 64 KiB
    limited.chmod(0o755)
    with connect(f"local:?root={root}&python={limited}", home=root) as device:
        install(device, models[0])
        with pytest.raises(DeviceFullError):
            device.stage(fully_connected(1, 256, 512), {})
        assert list((root / "scratch").iterdir()) == []
    assert active_model(root) == models[0]
