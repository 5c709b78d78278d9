# SPDX-License-Identifier: Apache-2.0
"""The runner on emulated boards: what it computes, that its counts are exact, how it fails."""

from __future__ import annotations

import importlib.util
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from firmware_tools.mcu import EMULATORS, MACHINES, EmulatorError, emulator, images, measure, qemu
from firmware_tools.plan import compile_plan
from firmware_tools.plan.simulate import simulate

MISSING = {
    "qemu": None if shutil.which("qemu-system-arm") else "no qemu-system-arm: apt-get install qemu-system-arm",
    "unicorn": None if importlib.util.find_spec("unicorn") else "no unicorn: pip install unicorn",
}
IN_UNICORN = [name for name, machine in MACHINES.items() if machine.in_unicorn]
NO_HOST_COMPILER = None if shutil.which("cc") else "no cc: apt-get install gcc libc6-dev"
REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "data" / "mlperf_tiny"
VALUES = 24
INPUTS = [bytes(range(VALUES)), bytes(255 - 5 * i for i in range(VALUES))]
EN_LUT = 11
NEGATE = bytes((-value) % 256 for value in range(-128, 128))
HALF = bytes((value // 2) % 256 for value in range(-128, 128))


@pytest.fixture(params=list(EMULATORS))
def name(request: pytest.FixtureRequest) -> str:
    """Every emulator that is installed."""
    reason = MISSING[request.param]
    if reason:
        pytest.skip(reason)
    return request.param


def lut_plan(tables: list[bytes], kind: int = EN_LUT) -> bytes:
    """A plan made by hand: one lut after the other over the input's place."""
    ops_bytes = 20 * len(tables)
    first_table = 64 + ops_bytes
    records = [
        struct.pack("<HHIIII", kind, 20, 0, 0, VALUES, first_table + 256 * index) for index in range(len(tables))
    ]
    body = struct.pack("<IIII", VALUES, len(tables), 64, ops_bytes)
    body += struct.pack("<IIif", 0, VALUES, 0, 1.0) * 2 + b"".join(records) + b"".join(tables)
    return struct.pack("<IHHII", 0x4E4C5045, 1, 1, 16 + len(body), zlib.crc32(body)) + body


@pytest.mark.parametrize("machine", MACHINES)
def test_outputs_and_counts(name: str, machine: str) -> None:
    if name == "unicorn" and machine not in IN_UNICORN:
        pytest.skip(f"unicorn has no {MACHINES[machine].core}")
    plan = lut_plan([NEGATE, HALF, NEGATE])
    report = measure(plan, INPUTS, machine, name)
    assert report.status == "EN_OK"
    assert report.outputs == tuple(
        bytes(NEGATE[(HALF[(NEGATE[(byte + 128) % 256] + 128) % 256] + 128) % 256] for byte in data) for data in INPUTS
    )
    assert report.arena_bytes == VALUES
    assert 0 < report.stack_bytes < 4096
    # equal operators cost the same, and nothing but en_run's beginning and end is in no operator
    assert len(set(report.per_operator[:-1])) == 1
    assert report.per_operator[0] >= VALUES
    assert 0 <= report.instructions - sum(report.per_operator) < 40
    assert measure(plan, INPUTS, machine, name) == report


@pytest.mark.parametrize("machine", IN_UNICORN)
def test_both_emulators_count_alike(machine: str) -> None:
    reason = MISSING["qemu"] or MISSING["unicorn"]
    if reason:
        pytest.skip(reason)
    plan = lut_plan([NEGATE, HALF])
    assert measure(plan, INPUTS, machine, "qemu") == measure(plan, INPUTS, machine, "unicorn")


@pytest.mark.parametrize(
    ("model", "machine"),
    [
        *(("ad01_int8", machine) for machine in MACHINES),
        *(("kws_ref_model", machine) for machine in MACHINES),
        *(("pretrainedResnet_quant", machine) for machine in ("mps2-an385", "mps2-an386", "mps2-an505")),
    ],
)
def test_reference_models(model: str, machine: str) -> None:
    """Both emulators count alike, and give what the same engine gives on this computer."""
    path = REFERENCE / f"{model}.tflite"
    missing = None if path.exists() else f"no {path.name}: it is not in the checkout"
    reason = NO_HOST_COMPILER or MISSING["qemu"] or missing
    if reason:
        pytest.skip(reason)
    plan = compile_plan(path.read_bytes())
    inputs = np.random.default_rng(3).integers(-128, 128, (2, plan.input.bytes), dtype=np.int8)
    report = measure(plan.blob, [row.tobytes() for row in inputs], machine)
    assert report.outputs == tuple(row.tobytes() for row in simulate(plan.blob, inputs))
    assert report.arena_bytes == plan.arena_bytes
    assert len(report.per_operator) == len(plan.operators)
    assert 0 <= report.instructions - sum(report.per_operator) < 40
    if MISSING["unicorn"] is None and machine in IN_UNICORN:
        assert measure(plan.blob, [row.tobytes() for row in inputs], machine, "unicorn") == report


def test_a_refused_plan_gives_its_status(name: str) -> None:
    damaged = bytearray(lut_plan([NEGATE]))
    damaged[-1] ^= 1
    assert measure(bytes(damaged), INPUTS, emulator=name).status == "EN_BAD_CRC"
    report = measure(lut_plan([NEGATE, HALF], kind=99), INPUTS, emulator=name)
    assert (report.status, report.failed_operator, report.outputs) == ("EN_BAD_OPERATOR", 0, ())


def test_a_fault_is_reported(name: str) -> None:
    board = MACHINES["mps2-an386"]
    job = bytearray(emulator.job(board, lut_plan([NEGATE]), INPUTS))
    job[4:8] = struct.pack("<I", 0x70000000)  # the plan's offset: there is no memory
    with pytest.raises(EmulatorError, match="the runner stopped"):
        emulator.parse(EMULATORS[name](board, images.image(board), bytes(job), 20))


def test_inputs_of_another_size_than_the_plans_are_refused(name: str) -> None:
    with pytest.raises(EmulatorError, match="inputs of another size"):
        measure(lut_plan([NEGATE]), [bytes(VALUES - 4)], emulator=name)


def test_a_board_that_does_not_end(name: str, tmp_path: Path) -> None:
    board, endless = MACHINES["mps2-an386"], tmp_path / "endless.bin"
    endless.write_bytes(struct.pack("<II", board.ram[0].address + 1024, 9) + b"\xfe\xe7")  # branch to itself
    with pytest.raises(EmulatorError, match=r"did not end within 0\.5 s"):
        EMULATORS[name](board, endless, b"", 0.5)


def test_missing_programs_are_one_line_that_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    board = MACHINES["mps2-an386"]
    with pytest.raises(EmulatorError, match=r"^qemu-system-arm is not on the PATH: apt-get install qemu-system-arm$"):
        qemu.run(board, Path("image"), b"", 1)


def test_a_processor_that_unicorn_does_not_have() -> None:
    if MISSING["unicorn"]:
        pytest.skip(MISSING["unicorn"])
    with pytest.raises(EmulatorError, match=r"^unicorn has no cortex-m55, the processor of mps3-an547: use qemu$"):
        EMULATORS["unicorn"](MACHINES["mps3-an547"], Path("/dev/null"), b"", 1)


def test_wrong_names_and_inputs() -> None:
    with pytest.raises(ValueError, match="machine must be one of"):
        measure(b"", INPUTS, "stm32")
    with pytest.raises(ValueError, match="emulator must be one of"):
        measure(b"", INPUTS, emulator="renode")
    with pytest.raises(ValueError, match="inputs of one size"):
        measure(b"", [b"a", b"bc"])
    with pytest.raises(EmulatorError, match="mps2-an386 has 16777216"):
        measure(bytes(17 << 20), INPUTS)


def test_a_report_that_breaks_off() -> None:
    with pytest.raises(EmulatorError, match="no whole report"):
        emulator.parse("status 00000000 00000001\narena 00000010\n")
    with pytest.raises(EmulatorError, match="no whole report"):
        emulator.parse("")
