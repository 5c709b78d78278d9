# SPDX-License-Identifier: Apache-2.0
"""TFLite models, by one of the packages that run them."""

from __future__ import annotations

import functools
import importlib
import sys
from typing import Any, Callable, Iterator

from ..refusal import Refusal, refused
from ..system import machine
from . import in_python
from .in_python import Input, Loaded, Package
from .runtime import Runtime

# In order of preference. The interpreter of tflite_runtime raises with numpy 2, which its package does not declare.
PACKAGES = (
    Package("litert", "ai_edge_litert"),
    Package("tflite", "tflite_runtime", newest_numpy=1),
    Package("tensorflow", "tensorflow"),
)
MODULES = {package.name: package.module for package in PACKAGES}


def missing(wanted: str | None, notes: list[str]) -> Refusal:
    """The refusal of a runtime that is not there; also of a name that no runtime has."""
    litert = sys.version_info >= (3, 10) and machine().lower() in ("x86_64", "amd64", "aarch64", "arm64")
    packages = "ai-edge-litert" if litert and wanted != "tflite" else "tflite-runtime 'numpy<2'"
    return in_python.missing(wanted, f"runtime {wanted}" if wanted else "TFLite runtime", packages, notes)


def interpreter_of(runtime: str) -> Callable[..., Any]:
    """The class Interpreter of `runtime`."""
    module = MODULES[runtime]
    with in_python.loading(runtime):
        if module == "tensorflow":
            return importlib.import_module("tensorflow").lite.Interpreter  # type: ignore[no-any-return]
        return importlib.import_module(module + ".interpreter").Interpreter  # type: ignore[no-any-return]


def load(runtime: str, path: str, threads: int) -> Loaded:
    """The model in the file `path`, its tensors allocated."""
    make = interpreter_of(runtime)
    try:
        interpreter = make(model_path=path, num_threads=threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise refused("refuses the model", error) from error
    details, target = interpreter.get_input_details(), interpreter.get_output_details()[0]
    return Loaded(
        [Input([int(size) for size in detail["shape"]], detail["dtype"]) for detail in details],
        lambda number, data: interpreter.set_tensor(details[number]["index"], data),
        interpreter.invoke,
        lambda: interpreter.get_tensor(target["index"]),
    )


def answers(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a TFLite runtime answers to a job."""
    return in_python.answers(job, functools.partial(load, job["runtime"]))


TFLITE = Runtime(tuple(MODULES), functools.partial(in_python.find, PACKAGES), missing, answers)
