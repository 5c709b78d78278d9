# SPDX-License-Identifier: Apache-2.0
"""Plans: int8 networks as the microcontroller engine runs them. PLAN.md is the format."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from firmware_tools.plan.compile import Plan

__all__ = ["compile_plan"]


def compile_plan(tflite: bytes) -> Plan:
    """The plan of an int8 .tflite file; see `firmware_tools.plan.compile`, which needs numpy and the extra `mcu`.

    Raises PlanError: the file is malformed, not int8 throughout, or has an operator or an option that the engine does
    not have; the message names it and what to use instead.
    """
    from firmware_tools.plan import compile

    return compile.compile_plan(tflite)
