# SPDX-License-Identifier: Apache-2.0
"""The kinds of runtimes, in order of preference."""

from __future__ import annotations

from .onnx_runtime import ONNX_RUNTIME
from .runtime import Runtime
from .tensorrt import TENSORRT
from .tflite import TFLITE

RUNTIMES: tuple[Runtime, ...] = (TFLITE, TENSORRT, ONNX_RUNTIME)


def find_runtimes() -> tuple[list[list[str]], list[str]]:
    """The usable runtimes as [name, version] in order of preference, and why others were passed over."""
    found: list[list[str]] = []
    notes: list[str] = []
    for kind in RUNTIMES:
        usable, why = kind.find()
        found += usable
        notes += why
    return found, notes


def kind_of(name: str | None) -> Runtime:
    """The kind of the runtime `name`; the first kind if there is no such name."""
    return next((kind for kind in RUNTIMES if name in kind.names), RUNTIMES[0])


def choose_runtime(wanted: str | None) -> list[str]:
    """The [name, version] of the runtime `wanted`, else of the first; the refusal names the pip command that helps."""
    found, notes = find_runtimes()
    for name, version in found:
        if wanted == name or (wanted is None and kind_of(name).by_default):
            return [name, version]
    raise kind_of(wanted).missing(wanted, notes)
