# SPDX-License-Identifier: Apache-2.0
"""What a board refuses, as exceptions: the statuses of PROTOCOL.md."""

from __future__ import annotations

from enum import IntEnum

from firmware_tools.errors import (
    DeviceError,
    DeviceFullError,
    InferenceError,
    NothingStagedError,
    NothingToRollBackError,
    PlanError,
    ProtocolError,
    TransferError,
)
from firmware_tools.link.wire import FLASH, Kind, name_of, word_of

_PLAN_REFUSALS = (
    "nothing",
    "its alignment",
    "its size",
    "its magic",
    "its version or packing",
    "its CRC-32",
    "the arena that it needs",
    "the operator's kind",
    "a shape",
    "an offset",
    "an overlap",
    "a value",
)
_FIRST_OF_AN_OPERATOR = _PLAN_REFUSALS.index("the operator's kind")  # before it the plan as a whole is meant


class Code(IntEnum):
    """An answer's first byte."""

    OK = 0
    UNKNOWN = 1
    MALFORMED = 2
    TOO_LARGE = 3
    WRONG_OFFSET = 4
    NOT_READY = 5
    BAD_HASH = 6
    BAD_PLAN = 7
    FLASH_FAILED = 8
    FAULTED = 9


def refusal(kind: int, code: int, body: bytes) -> DeviceError:
    """The exception that an answer's status stands for."""
    name = name_of(kind)
    number = int.from_bytes(body[:4], "little") if len(body) >= 4 else None
    if code == Code.UNKNOWN:
        message = f"the board's firmware knows no {name}: {FLASH}"
        return ProtocolError(message, kind=kind, code=code)
    if code == Code.TOO_LARGE:
        return DeviceFullError(_too_large(kind, name, number), kind=kind, code=code, limit=number)
    if code == Code.BAD_HASH:
        message = f"{name}: the bytes in the board's slot are not those that were announced: install the model again"
        return TransferError(message, kind=kind, code=code)
    if code == Code.BAD_PLAN:
        return _bad_plan(name, body)
    if code == Code.FLASH_FAILED:
        message = f"{name}: the board could not erase, write or read back its flash: try again, then another board"
        return TransferError(message, kind=kind, code=code)
    if code == Code.FAULTED:
        message = f"{name}: the model hung or faulted and the board restarted; its fault record says where"
        return InferenceError(message, kind=kind, code=code)
    if code == Code.NOT_READY:
        return _not_ready(kind, name, code)
    what = Code(code).name if code in Code.__members__.values() else f"the unknown status {code}"
    message = f"the board answers {name} with {what}: {FLASH}, or report a bug"
    return ProtocolError(message, kind=kind, code=code, offset=number if code == Code.WRONG_OFFSET else None)


def _too_large(kind: int, name: str, limit: int | None) -> str:
    if kind == Kind.INPUT:
        return f"INPUT: the selected model's input has {limit} bytes, give it no more"
    return f"{name}: the model is larger than the board's limit of {limit} bytes: choose a smaller one"


def _bad_plan(name: str, body: bytes) -> PlanError:
    status = body[0] if body else 0
    named = status >= _FIRST_OF_AN_OPERATOR and len(body) >= 5
    operator = int.from_bytes(body[1:5], "little") if named else None
    why = word_of(_PLAN_REFUSALS, status)
    where = "" if operator is None else f" at operator {operator}"
    message = f"{name}: the board's engine refuses the plan{where} because of {why}: compile the model for this board"
    return PlanError(message, operator=operator, status=status)


def _not_ready(kind: int, name: str, code: int) -> DeviceError:
    if kind == Kind.ROLLBACK:
        return NothingToRollBackError("the board holds no previous model to roll back to", kind=kind, code=code)
    if kind in (Kind.VERIFY, Kind.WRITE):
        message = f"{name}: the board has no complete transfer: install the model again"
        return NothingStagedError(message, kind=kind, code=code)
    if kind in (Kind.COMMIT, Kind.DISCARD):
        return NothingStagedError("no model is staged on the board: install one", kind=kind, code=code)
    message = f"{name}: the board has no such model, or none is selected: install one, then select it"
    return NothingStagedError(message, kind=kind, code=code)
