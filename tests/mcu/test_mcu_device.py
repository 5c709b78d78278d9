# SPDX-License-Identifier: Apache-2.0
"""A microcontroller as a Device: the real firmware, built for this computer, in QEMU and in Unicorn."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import tty
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.mcu.mcu_boards import (
    BOARDS,
    MANIFEST,
    CutAt,
    Opener,
    answers,
    cut_every_write,
    emulated,
    expected,
    host_board,
    images,
    install,
    missing,
    net,
    opener,
)

from firmware_tools.connect import connect
from firmware_tools.device import TimingPlan
from firmware_tools.errors import (
    DeviceBusyError,
    DeviceError,
    DeviceFullError,
    DeviceLostError,
    InferenceError,
    NothingStagedError,
    NothingToRollBackError,
    TransferError,
)
from firmware_tools.link import messages
from firmware_tools.mcu import measure, timings
from firmware_tools.mcu.device import McuDevice
from firmware_tools.plan import compile_plan

FIRST, SECOND, THIRD = (net(seed) for seed in (1, 2, 3))
PLAN = TimingPlan(processes=2, timed_s=0.01, statistic="p50")


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("firmware")


@pytest.fixture(params=BOARDS)
def name(request: pytest.FixtureRequest) -> str:
    """Every board that this computer can have."""
    reason = missing(request.param)
    if reason:
        pytest.skip(reason)
    return str(request.param)


@pytest.fixture
def opened(name: str, build: Path) -> Opener:
    return opener(name, build)


@pytest.fixture
def device(opened: Opener, tmp_path: Path) -> Iterator[McuDevice]:
    with opened(tmp_path / "board") as device:
        yield device


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_install_and_run(device: McuDevice, opened: Opener, tmp_path: Path) -> None:
    status = device.status()
    assert (status.active, status.previous, status.staged, status.commits, status.rollbacks) == (None,) * 3 + (0, 0)

    staged = device.stage(FIRST, MANIFEST)
    assert staged == device.status().staged
    assert (staged.sha256, staged.bytes, staged.valid, staged.active) == (sha256(FIRST), len(FIRST), True, False)
    assert staged.manifest == {**MANIFEST, "sha256": sha256(FIRST), "bytes": len(FIRST)}
    outputs = device.infer_staged(images())
    assert outputs.dtype == np.int8
    np.testing.assert_array_equal(outputs, expected(FIRST))

    status = device.commit()
    assert status.staged is None
    assert status.commits == 1
    assert status.active is not None
    assert status.active.sha256 == sha256(FIRST)
    assert status.active.active

    device.close()
    device.close()
    with opened(tmp_path / "board") as again:
        assert again.status().active == status.active
        assert again.info() == device.info()
        assert answers(again, FIRST, SECOND) == FIRST


def test_two_models_take_turns(device: McuDevice) -> None:
    install(device, FIRST)
    install(device, SECOND)
    status = device.status()
    assert status.active is not None
    assert status.previous is not None
    assert (status.active.sha256, status.previous.sha256) == (sha256(SECOND), sha256(FIRST))
    assert {status.active.slot, status.previous.slot} == {"a", "b"}
    assert answers(device, FIRST, SECOND) == SECOND

    status = device.rollback()
    assert status.active is not None
    assert (status.active.sha256, status.rollbacks) == (sha256(FIRST), 1)
    assert answers(device, FIRST, SECOND) == FIRST
    with pytest.raises(NothingToRollBackError):
        device.rollback()

    device.stage(THIRD, MANIFEST)
    assert answers(device, FIRST, THIRD) == FIRST
    device.discard()
    device.discard()
    assert device.status().staged is None
    for act in (device.commit, lambda: device.time_staged(PLAN), lambda: device.infer_staged(images())):
        with pytest.raises(NothingStagedError):
            act()
    install(device, THIRD)
    assert answers(device, FIRST, THIRD) == THIRD


def test_what_does_not_fit_is_refused_before_anything_is_erased(device: McuDevice) -> None:
    install(device, FIRST)
    device.stage(SECOND, MANIFEST)
    before = device.status()
    plan, hello = compile_plan(THIRD), device._hello
    refused = [
        ({"slot_bytes": len(plan.blob) - 1}, DeviceFullError, f"{len(plan.blob)} bytes of the board's slot"),
        ({"arena_bytes": plan.arena_bytes - 1}, DeviceFullError, f"{plan.arena_bytes} bytes of the board's arena"),
        ({"input_bytes": 69}, DeviceFullError, "takes 70 bytes of the board's input buffer, which has 69: choose"),
        ({"plan_version": 2}, DeviceError, "the plan has version 1, the board's engine runs 2"),
        ({"packing": 7}, DeviceError, "the plan has packing 1, the board's engine runs 7"),
    ]
    for change, error, message in refused:
        device._hello = replace(hello, **change)
        with pytest.raises(error, match=message) as raised:
            device.stage(THIRD, MANIFEST)
        assert "\n" not in raised.value.message
    device._hello = hello
    with pytest.raises(TransferError, match="pair them again"):
        device.stage(THIRD, {"sha256": "0" * 64})
    assert device.status() == before
    np.testing.assert_array_equal(device.infer_staged(images()), expected(SECOND))


def test_wrong_inputs(device: McuDevice) -> None:
    device.stage(FIRST, MANIFEST)
    for inputs in (images().astype(np.float32), images()[..., :1]):
        with pytest.raises(InferenceError, match="takes int8 with 70 values each"):
            device.infer_staged(inputs)
    with pytest.raises(ValueError, match="inputs must have shape"):
        device.infer_staged(images()[:0])


def test_another_computer_knows_no_manifest(device: McuDevice, opened: Opener, tmp_path: Path) -> None:
    device.stage(FIRST, MANIFEST)
    device.close()
    for record in (tmp_path / "board" / "plans").iterdir():
        record.write_text("{}")
    with opened(tmp_path / "board") as again:
        staged = again.status().staged
        assert staged is not None
        assert (staged.sha256, staged.bytes, staged.manifest, staged.valid) == ("", 0, {}, True)
        np.testing.assert_array_equal(again.infer_staged(images()), expected(FIRST))
        active = again.commit().active
        assert active is not None
        assert active.valid


def test_timing(device: McuDevice, name: str) -> None:
    calls: list[tuple[int, int]] = []
    device.stage(FIRST, MANIFEST)
    staged = device.time_staged(PLAN, lambda done, total: calls.append((done, total)))
    assert calls == [(1, 2), (2, 2)]
    calls.clear()
    timed = device.time([FIRST, SECOND], PLAN, lambda done, total: calls.append((done, total)))
    assert calls[-1] == (4, 4)
    assert [timing.sha256 for timing in timed] == [sha256(FIRST), sha256(SECOND)]
    for timing in (staged, *timed):
        assert timing.unit == device.info().unit
        assert 0 < timing.min_ms <= timing.p50_ms <= timing.max_ms
        assert timing.peak_ram_bytes == compile_plan(FIRST).arena_bytes
        assert (timing.conditions.runtime, timing.processes) == ("edgenas-engine", 2)
    if name == "host":
        assert staged.conditions.emulator is None
        assert device.status().staged is None  # timed in the spare slot, then forgotten
        return
    plan = compile_plan(FIRST)
    report = measure(plan.blob, [timings.probe(plan.input.bytes)], emulator=name)
    assert staged.unit == "Minsn"
    assert staged.latency_ms == timed[0].latency_ms == report.instructions / 1e6
    assert staged.min_ms == staged.p10_ms == staged.p95_ms == staged.max_ms == staged.latency_ms
    assert str(staged.conditions.emulator).startswith(f"{name} ")


def test_both_emulators_count_alike_and_share_a_flash(tmp_path: Path) -> None:
    reason = missing("qemu") or missing("unicorn")
    if reason:
        pytest.skip(reason)
    ticks = []
    for name in ("qemu", "unicorn"):
        with emulated(name, tmp_path) as device:
            if name == "qemu":
                device.stage(FIRST, MANIFEST)
            latency = device.time_staged(PLAN).latency_ms
            sizes = device._link.ask(messages.Select(staged=True))
            ticks.append((latency, device._link.profile(sizes.operators)))
    assert ticks[0] == ticks[1]


@pytest.mark.parametrize(
    ("name", "machine"),
    [
        ("qemu", "mps2-an385"),
        ("unicorn", "mps2-an500"),
        ("unicorn", "mps2-an505"),
        ("qemu", "mps3-an547"),
        ("qemu", "netduinoplus2"),
    ],
)
def test_other_machines(name: str, machine: str, tmp_path: Path) -> None:
    reason = missing(name)
    if reason:
        pytest.skip(reason)
    with emulated(name, tmp_path, machine) as device:
        assert device.info().hostname == machine
        device.stage(FIRST, MANIFEST)
        np.testing.assert_array_equal(device.infer_staged(images()), expected(FIRST))
        assert device.time_staged(PLAN).latency_ms == device.time([FIRST], PLAN)[0].latency_ms
        device.commit()


def test_power_cut_at_every_message(name: str, opened: Opener, tmp_path: Path) -> None:
    """The old model or the new one answers, and the next installation goes through."""
    # Emulators take a while to start: they get every third message, the board of this computer all.
    assert cut_every_write(opened, tmp_path, (FIRST, SECOND), 1 if name == "host" else 3) >= 2


def test_power_cut_with_flash_by_semihosting(tmp_path: Path) -> None:
    """The firmware writes the file itself; with 128 KB of RAM, too."""
    if missing("qemu"):
        pytest.skip(missing("qemu"))
    with emulated("qemu", tmp_path, "netduinoplus2") as device:
        install(device, FIRST)
    for writes in (3, 6):  # in the transfer, and behind it
        with emulated("qemu", tmp_path, "netduinoplus2") as device:
            CutAt(device, writes)
            with pytest.raises(DeviceLostError):
                install(device, SECOND)
        with emulated("qemu", tmp_path, "netduinoplus2") as device:
            answers(device, FIRST, SECOND)  # one of both
    with emulated("qemu", tmp_path, "netduinoplus2") as device:
        install(device, SECOND)
        assert answers(device, FIRST, SECOND) == SECOND


@pytest.mark.parametrize(("option", "fault"), [("--hang-operator", "watchdog"), ("--fault-operator", "hard fault")])
def test_a_model_that_ends_badly_is_no_longer_staged(option: str, fault: str, build: Path, tmp_path: Path) -> None:
    opener("host", build)
    with host_board(build / "host-board", tmp_path) as device:
        install(device, FIRST)
    with host_board(build / "host-board", tmp_path, option, "1", "--watchdog-ms", "100") as device:
        device.stage(SECOND, MANIFEST)
        with pytest.raises(InferenceError, match=f"ended in a {fault} at operator 1 .* install another") as raised:
            device.infer_staged(images())
        assert raised.value.fields["operator"] == 1
        assert device.status().staged is None
        assert answers(device, FIRST, SECOND) == FIRST
        install(device, THIRD)
        assert answers(device, FIRST, THIRD) == THIRD


def test_two_at_once(tmp_path: Path) -> None:
    name = next((name for name in BOARDS[1:] if missing(name) is None), None)
    if name is None:
        pytest.skip("no emulator")
    with emulated(name, tmp_path) as device:
        with pytest.raises(DeviceBusyError, match=f"process {os.getpid()} uses") as raised:
            emulated(name, tmp_path)
        assert raised.value.fields["pid"] == os.getpid()
        assert device.status().active is None
    with emulated(name, tmp_path):
        pass


@pytest.mark.parametrize("name", BOARDS[1:])
def test_a_killed_host_leaves_no_board_behind(name: str, tmp_path: Path) -> None:
    reason = missing(name)
    if reason:
        pytest.skip(reason)
    program = (
        "import sys; from pathlib import Path; from firmware_tools.connect import connect\n"
        "device = connect(sys.argv[1], home=Path(sys.argv[2])); print('speaks', flush=True)\n"
        "while True: device.status()\n"
    )
    command = [sys.executable, "-c", program, f"{name}:?root={tmp_path / 'board'}", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as host:
        assert host.stdout is not None
        assert host.stdout.readline() == "speaks\n"
        host.send_signal(signal.SIGKILL)
    with emulated(name, tmp_path / "board") as device:  # the board has a lock on its folder as long as it lives
        assert device.status().active is None


def test_a_serial_port(build: Path, tmp_path: Path) -> None:
    """A pty, behind which is the board of this computer."""
    opener("host", build)
    board_end, port = os.openpty()
    tty.setraw(port)
    command = [str(build / "host-board"), str(tmp_path / "flash.bin")]
    with subprocess.Popen(command, stdin=board_end, stdout=board_end) as board:
        try:
            with connect(f"serial://{os.ttyname(port)}?baud=921600", home=tmp_path) as device:
                assert device.info().hostname == "host"
                with pytest.raises(DeviceBusyError, match=r"another program has the port open: close it") as busy:
                    connect(f"serial://{os.ttyname(port)}", home=tmp_path)
                assert "\n" not in busy.value.message
                device.stage(FIRST, MANIFEST)
                np.testing.assert_array_equal(device.infer_staged(images()), expected(FIRST))
                active = device.commit().active
                assert active is not None
                assert active.manifest["task"] == "digits"
        finally:
            board.kill()
            os.close(board_end)
            os.close(port)
    with pytest.raises(DeviceLostError, match="no such port") as raised:
        connect(f"serial://{tmp_path / 'tty'}", home=tmp_path)
    assert "\n" not in raised.value.message


def test_urls(tmp_path: Path) -> None:
    wrong = {
        "qemu:mps2-an387": r"unknown machine 'mps2-an387', did you mean mps2-an38\d\?",
        "unicorn:mps3-an547": r"^unicorn:mps3-an547: unicorn has no cortex-m55, .*: say qemu:mps3-an547$",
        "unicorn:?machin=mps2-an386": "unknown option 'machin', did you mean machine",
        "serial:": "names no port",
        "serial:///dev/ttyUSB0?baud=fast": "baud is 'fast'",
    }
    for url, message in wrong.items():
        with pytest.raises(DeviceError, match=message) as raised:
            connect(url, home=tmp_path)
        assert raised.value.exit_code == 2


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    name = next((name for name in BOARDS[1:] if missing(name) is None), None)
    if name is None:
        pytest.skip("no emulator")
    (tmp_path / "file").write_text("")
    with pytest.raises(DeviceError, match=r"cannot use the folder .*: mend that, or name another by root=DIR"):
        emulated(name, tmp_path / "file" / "board")


@pytest.mark.parametrize("name", ["host", "unicorn"], indirect=True)
def test_what_the_operators_take(device: McuDevice) -> None:
    told = device.time_operators(FIRST, PLAN)
    (timing,) = device.time([FIRST], PLAN)
    assert [operator.name for operator in told] == ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"]
    assert all(operator.latency_ms >= 0 for operator in told)  # this computer's clock is coarse
    assert device.status().staged is None
    if timing.unit == "Minsn":  # counted: all but the beginning and the end of the engine's loop
        total = sum(operator.latency_ms for operator in told)
        assert timing.latency_ms - 1e-4 < total <= timing.latency_ms
