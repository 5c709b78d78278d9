# SPDX-License-Identifier: Apache-2.0
"""The shapes of an agent's answers: its PROTOCOL.md, version 2, as checks.

What is honest on a board that is damaged passes: a manifest that rotted has no sha256, and a rollback must still work.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firmware_tools.answers.shapes import (
    MAX_BYTES,
    MAX_LATENCY_NS,
    MAX_TEXT,
    Check,
    ShapeError,
    choice,
    digest,
    document,
    fitting,
    flag,
    integer,
    maybe,
    number,
    pair,
    positive,
    record,
    rows,
    table,
    text,
)
from firmware_tools.device import (
    STATISTICS,
    Conditions,
    DeviceInfo,
    DeviceStatus,
    OperatorTime,
    RuntimeInfo,
    SlotInfo,
    TimingPlan,
)

_MAX_COUNT = 1 << 31
_MAX_CORES = 4096
_MAX_NOTES = 100
_MAX_SAID = 64 << 10  # characters that a runtime or a program of the board prints
_MAX_OPERATORS = 100_000
_MAX_RATIO = 1e6
_MAX_DIMENSIONS = 8
_ROUNDING = 1 + 1e-9
_DTYPE = re.compile(r"[<>|=]?[biuf][1248]")

_text, _notes = text(), rows(text(), most=_MAX_NOTES)
_count, _bytes, _mhz = integer(0, _MAX_COUNT), integer(0, MAX_BYTES), number(0, 1e6)

PROTOCOL = record(lambda protocol: protocol, protocol=integer(0, _MAX_COUNT))
DONE = document  # an answer of which nothing is used

_REFUSAL = record(lambda kind, message: (kind, message), kind=text(40), message=text(_MAX_SAID))
_REFUSAL_FIELDS: Mapping[str, Check[Any]] = {
    "active": maybe(text()),
    "code": integer(-_MAX_COUNT, _MAX_COUNT),
    "command": text(),
    "free_bytes": _bytes,
    "got": text(),
    "governor": text(),
    "have": _bytes,
    "line": text(),
    "offered": maybe(text()),
    "pid": maybe(_count),
    "reason": maybe(text()),
    "root": text(),
    "runtime": maybe(text()),
    "said": text(_MAX_SAID),
    "silence_s": number(0, 1e6),
}


def refusal(value: Any) -> tuple[str, str, dict[str, Any]]:
    """Kind, message and known fields of an error; a field of another shape is left out."""
    kind, message = _REFUSAL(value)
    return kind, message, fitting(_REFUSAL_FIELDS, value)


def progress(before: int, steps: int) -> Check[tuple[int, int]]:
    """How many timings are done and their total: more than `before`, and no more than `steps`."""
    counts = pair(integer(before + 1, steps), integer(1, steps))

    def check(value: Any) -> tuple[int, int]:
        done, total = counts(value)
        if done > total:
            raise ShapeError(f"is {done} of {total}")
        return done, total

    return check


def info(url: str) -> Check[DeviceInfo]:
    """The answer to `hello` of the agent at `url`."""
    return record(
        lambda **fields: DeviceInfo(url=url, **fields),
        optional=("governor", "max_clock_mhz", "power_mode"),
        hostname=_text,
        machine=_text,
        cpu=_text,
        cores=integer(1, _MAX_CORES),
        system=_text,
        python_version=_text,
        runtimes=rows(_runtime, most=_MAX_NOTES),
        ram_bytes=maybe(_bytes),
        free_disk_bytes=_bytes,
        agent_version=_text,
        notes=_notes,
        governors=_notes,
        governor=maybe(_text),
        max_clock_mhz=maybe(_mhz),
        power_mode=maybe(_text),
    )


def _runtime(value: Any) -> RuntimeInfo:
    return RuntimeInfo(*pair(_text, _text)(value))


@dataclass(frozen=True)
class _Slot:
    slot: Any
    manifest: dict[str, Any]
    active: bool
    valid: bool


_SLOT = record(_Slot, slot=choice("a", "b"), manifest=document, active=flag, valid=flag)
_NAMED = record(lambda sha256, **size: (sha256, size["bytes"]), sha256=digest, bytes=integer(1, MAX_BYTES))


def slot(value: Any) -> SlotInfo:
    """A SLOT; where the model is not valid, what cannot be its sha256 and size is "" and 0."""
    found = _SLOT(value)
    try:
        sha256, size = _NAMED(value)
    except ShapeError:
        if found.valid:
            raise
        sha256, size = "", 0
    return SlotInfo(found.slot, sha256, size, found.manifest, found.active, found.valid)


_TRIAL = maybe(record(lambda tries: tries, tries=integer(-_MAX_COUNT, _MAX_COUNT)))
STATUS: Check[DeviceStatus] = record(
    lambda trial, **fields: DeviceStatus(confirmed=trial is None, **fields),
    active=maybe(slot),
    previous=maybe(slot),
    staged=maybe(slot),
    commits=_count,
    rollbacks=_count,
    trial=_TRIAL,
)


def have(low: int, high: int) -> Check[int]:
    """How many bytes of an upload are there."""
    return record(lambda have: have, have=integer(low, high))


_CONDITIONS = record(
    Conditions,
    runtime=_text,
    runtime_version=_text,
    threads=integer(1, _MAX_CORES),
    governor=maybe(_text),
    clock_mhz_before=maybe(_mhz),
    clock_mhz_after=maybe(_mhz),
    temperature_c=maybe(number(-300, 10_000)),
    load_before=maybe(number(0, 1e6)),
    load_after=maybe(number(0, 1e6)),
    python_version=_text,
    started_utc=_text,
    affinity=maybe(rows(integer(0, _MAX_CORES), most=_MAX_CORES)),
    tools=table(text(_MAX_SAID)),
)
_latency = positive(MAX_LATENCY_NS)
_RUN: Check[dict[str, Any]] = record(
    dict,
    optional=("compute", "relative"),
    **dict.fromkeys(STATISTICS, _latency),
    n=integer(1, _MAX_COUNT),
    ram_bytes=maybe(_bytes),
    compute=_latency,
    relative=maybe(positive(_MAX_RATIO)),
)


def _run(value: Any) -> dict[str, Any]:
    """A RUN, whose statistics ascend."""
    run = _RUN(value)
    ascending = [run[name] for name in STATISTICS]
    for name, low, high in zip(STATISTICS[1:], ascending, ascending[1:], strict=False):
        if low > high * _ROUNDING:
            raise ShapeError(f"is {high:g}, below the statistic before it, {low:g}", f".{name}")
    return run


def _run_beside(value: Any) -> dict[str, Any]:
    """A RUN beside a reference."""
    run = _run(value)
    if run.get("relative") is None:
        raise ShapeError("is missing", ".relative")
    return run


@dataclass(frozen=True)
class Times:
    """For each model its runs, one for each process, and the conditions that it was timed under."""

    runs: tuple[tuple[dict[str, Any], ...], ...]
    conditions: tuple[Conditions, ...]


def times(models: int, plan: TimingPlan, beside: bool) -> Check[Times]:
    """The answer to `time` of so many models; `beside`: each run is told beside the plan's reference."""
    run = _run_beside if beside else _run

    def make(runs: Any, marked: Any, repeats: Any, conditions: Conditions) -> Times:
        met = (replace(conditions, marked=why, repeats=again) for why, again in zip(marked, repeats, strict=True))
        return Times(runs, tuple(met))

    return record(
        make,
        runs=rows(rows(run, exactly=plan.processes), exactly=models),
        marked=rows(_notes, exactly=models),
        repeats=rows(integer(0, plan.repeats), exactly=models),
        conditions=_CONDITIONS,
    )


def _operator(value: Any) -> OperatorTime:
    return OperatorTime(*pair(_text, number(0, MAX_LATENCY_NS / 1e6))(value))


OPERATORS: Check[list[OperatorTime]] = record(
    lambda operators: list(operators), operators=rows(_operator, most=_MAX_OPERATORS)
)


def outputs(count: int) -> Check[NDArray[np.generic]]:
    """The answer to `infer_staged` of `count` inputs: an array of shape (count, ...)."""

    def make(dtype: str, shape: Sequence[int], data: bytes) -> NDArray[np.generic]:
        kind = _dtype(dtype)
        if len(shape) < 1 or shape[0] != count:
            raise ShapeError(f"is {list(shape)} for {count} inputs", ".shape")
        if math.prod(shape) * kind.itemsize != len(data):
            raise ShapeError(f"has {len(data)} bytes, not the {list(shape)} of {dtype}", ".data")
        return np.frombuffer(data, kind).reshape(shape).copy()

    shape = rows(integer(1, MAX_BYTES), most=_MAX_DIMENSIONS)
    return record(make, dtype=text(MAX_TEXT), shape=shape, data=_decoded)


def _dtype(name: str) -> np.dtype[Any]:
    """A type of numbers: not one of Python's objects, whose bytes would be taken for addresses."""
    if _DTYPE.fullmatch(name):
        try:
            return np.dtype(name)
        except TypeError:  # float of one byte
            pass
    raise ShapeError(f"is {name[:30]!r}, no type of numbers", ".dtype")


def _decoded(value: Any) -> bytes:
    if not isinstance(value, str):
        raise ShapeError("is no text")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise ShapeError("is no base64") from None
