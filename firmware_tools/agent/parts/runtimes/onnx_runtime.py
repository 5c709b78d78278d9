# SPDX-License-Identifier: Apache-2.0
"""ONNX models on the processor, by the package onnxruntime."""

from __future__ import annotations

import functools
import importlib
from contextlib import contextmanager
from typing import Any, Iterator

from ..onnx_files import require_onnx
from ..refusal import Refusal, refused
from . import in_python
from .in_python import Input, Loaded, Package
from .runtime import Runtime

NAME = "onnxruntime"
PACKAGES = (Package(NAME, "onnxruntime"),)
ERRORS_ONLY = 3  # the level of its log: warnings come for every model, and all are kept until the worker ends
DTYPES = {"float": "float32", "double": "float64"}  # what numpy calls otherwise


def missing(wanted: str | None, notes: list[str]) -> Refusal:
    """The refusal where it is not there."""
    return in_python.missing(wanted, f"runtime {NAME}", "onnxruntime", notes)


@contextmanager
def failing_as_runtimes_do() -> Iterator[None]:
    """A context that raises RuntimeError for the package's own errors, which have no class in common but Exception."""
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith("onnxruntime."):
            raise
        raise RuntimeError(str(error)) from error


def load(path: str, threads: int) -> Loaded:
    """The ONNX model of what is in the file `path`, in a session of `threads` threads, its inputs yet to be set."""
    path = require_onnx(path, "ONNX Runtime", NAME)
    with in_python.loading(NAME):
        package = importlib.import_module("onnxruntime")
    options = package.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = ERRORS_ONLY
    try:
        with failing_as_runtimes_do():
            session = package.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except (ValueError, RuntimeError) as error:
        raise refused("refuses the model", error) from error
    # Bound once: a call then takes no time to convert what it is given and what it returns, as with TFLite.
    binding = session.io_binding()
    for output in session.get_outputs():
        binding.bind_output(output.name, "cpu")
    nodes = session.get_inputs()

    def set_input(number: int, data: Any) -> None:
        binding.bind_ortvalue_input(nodes[number].name, package.OrtValue.ortvalue_from_numpy(data))

    return Loaded(
        [Input(shape_of(node), dtype_of(node)) for node in nodes],
        set_input,
        functools.partial(session.run_with_iobinding, binding),
        lambda: binding.copy_outputs_to_cpu()[0],
    )


def shape_of(node: Any) -> list[int]:
    """The sizes of an input; a first one that is left open, the number of inputs at a time, is 1."""
    sizes = [1 if number == 0 and not isinstance(size, int) else size for number, size in enumerate(node.shape)]
    if not all(isinstance(size, int) and size > 0 for size in sizes):
        message = f"input {node.name} of the model has shape {node.shape}: export it with sizes that are numbers"
        raise Refusal("inference", message, reason="refused")
    return sizes


def dtype_of(node: Any) -> Any:
    """The type of an input as numpy's, from what ONNX Runtime calls it: tensor(float)."""
    import numpy as np

    name = node.type[len("tensor(") : -1]
    try:
        return np.dtype(DTYPES.get(name, name))
    except TypeError:
        message = f"input {node.name} of the model is {node.type}: export it with an input of numbers"
        raise Refusal("inference", message, reason="refused") from None


def channels_first(inputs: Any) -> Any:
    """Images, which hosts send as NHWC whatever the runtime, as NCHW; other inputs as they are."""
    import numpy as np

    return np.ascontiguousarray(inputs.transpose(0, 3, 1, 2)) if inputs.ndim == 4 else inputs


def answers(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What ONNX Runtime answers to a job."""
    with failing_as_runtimes_do():
        if job["do"] == "time":
            yield from in_python.time_models(job, load)
        else:
            yield in_python.infer(job, load, channels_first)


ONNX_RUNTIME = Runtime((NAME,), functools.partial(in_python.find, PACKAGES), missing, answers, by_default=False)
