# SPDX-License-Identifier: Apache-2.0
"""Microcontroller boards that are emulated: what a plan computes on one, and how many instructions that takes."""

from __future__ import annotations

from collections.abc import Sequence

from firmware_tools.errors import EmulatorError
from firmware_tools.mcu import images, qemu, unicorn_board
from firmware_tools.mcu.emulator import MACHINES, Report, job, parse

__all__ = ["EMULATORS", "MACHINES", "EmulatorError", "Report", "measure"]

EMULATORS = {"qemu": qemu.run, "unicorn": unicorn_board.run}


def measure(
    plan_blob: bytes,
    inputs: Sequence[bytes],
    machine: str = "mps2-an386",
    emulator: str = "qemu",
    timeout_s: float = 120,
) -> Report:
    """Load `plan_blob` on an emulated board and run it over `inputs`, the bytes of one int8 tensor each.

    `machine` is a key of MACHINES, `emulator` one of EMULATORS; both give the same counts. Raises ValueError for
    other names and for no inputs or inputs of different sizes, EmulatorError if the emulator or the image is missing
    or the board does not end within `timeout_s` seconds. A plan that the engine refuses is no error: see Report.status.
    """
    if machine not in MACHINES:
        raise ValueError(f"machine must be one of {sorted(MACHINES)}, got {machine!r}")
    if emulator not in EMULATORS:
        raise ValueError(f"emulator must be one of {sorted(EMULATORS)}, got {emulator!r}")
    board = MACHINES[machine]
    blob = job(board, plan_blob, inputs)
    return parse(EMULATORS[emulator](board, images.image(board), blob, timeout_s))
