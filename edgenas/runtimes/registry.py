# SPDX-License-Identifier: Apache-2.0
"""The runtimes by the name that a device gives them, and the one that a kind of board has anyway."""

from __future__ import annotations

from edgenas.runtimes.engine import Engine
from edgenas.runtimes.onnxruntime import OnnxRuntime
from edgenas.runtimes.runtime import Runtime
from edgenas.runtimes.tensorrt import TensorRT
from edgenas.runtimes.tflite import TFLite
from firmware_tools.device import DeviceInfo

RUNTIMES: dict[str, Runtime] = {
    "litert": TFLite(),
    "tflite": TFLite(),
    "tensorflow": TFLite(),
    "tensorrt": TensorRT(),
    "onnxruntime": OnnxRuntime(),
    "edgenas-engine": Engine(),
}
_OF_KIND = {"linux": RUNTIMES["litert"], "mcu": RUNTIMES["edgenas-engine"]}


def in_use(info: DeviceInfo, kind: str) -> Runtime:
    """The runtime that models run with on a device of that kind of board, which is the first that it names."""
    names = [runtime.name for runtime in info.runtimes]
    return RUNTIMES.get(names[0], of_kind(kind)) if names else of_kind(kind)


def of_kind(kind: str) -> Runtime:
    """What every board of a kind can run; that of Linux for a kind that is not known."""
    return _OF_KIND.get(kind, _OF_KIND["linux"])


def unasked(info: DeviceInfo) -> list[str]:
    """The names of a device's runtimes, in its order, that a deploy may choose by itself."""
    names = [runtime.name for runtime in info.runtimes]
    return [name for name in names if name not in RUNTIMES or RUNTIMES[name].automatic]
