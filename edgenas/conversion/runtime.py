# SPDX-License-Identifier: Apache-2.0
"""Runs a TFLite file on the host, quietly."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from edgenas.errors import ConversionError
from firmware_tools.foreign_text import telling

Array = npt.NDArray[Any]


def interpreter(tflite: bytes, threads: int = 1) -> Any:
    """An interpreter of `tflite` with its tensors allocated: ai-edge-litert, else tflite-runtime.

    Raises ConversionError: check "runtime" if no runtime is installed, "structure" if the file cannot be loaded.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        try:
            from tflite_runtime.interpreter import Interpreter
        except ImportError as error:
            message = "no TFLite runtime on this host: pip install 'edgenas[search]'"
            raise ConversionError(message, check="runtime") from error
    try:
        with quiet():
            made = Interpreter(model_content=tflite, num_threads=threads)
            made.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise ConversionError(
            f"the TFLite runtime refuses this model: {telling(str(error))}", check="structure"
        ) from error
    return made


def run_tflite(tflite: bytes, inputs: Array, threads: int = 1) -> Array:
    """Run `inputs` (n, height, width, channels) one after the other through the host's TFLite runtime.

    Float32 inputs of an integer model are quantised (round half to even, saturate) and its outputs dequantised to
    float32; inputs in the model's own dtype give outputs in the model's own dtype. Returns (n, classes).

    Raises ConversionError as `interpreter` does and if the runtime fails on the model, ValueError for inputs of another
    dtype or shape.
    """
    model = interpreter(tflite, threads)
    source, target = model.get_input_details()[0], model.get_output_details()[0]
    dtype = np.dtype(source["dtype"])
    if tuple(inputs.shape[1:]) != tuple(source["shape"][1:]) or inputs.dtype not in (dtype, np.dtype(np.float32)):
        raise ValueError(
            f"inputs {inputs.dtype}{inputs.shape[1:]}, the model takes {dtype}{tuple(source['shape'][1:])}"
        )
    converted = inputs.dtype != dtype
    scale, zero_point = source["quantization"]
    ready = quantised(inputs, scale, zero_point, dtype) if converted else inputs
    outputs = np.empty((len(inputs), *target["shape"][1:]), target["dtype"])
    for index in range(len(ready)):
        model.set_tensor(source["index"], ready[index : index + 1])
        try:
            model.invoke()
        except (ValueError, RuntimeError) as error:
            message = f"the TFLite runtime fails on this model: {telling(str(error))}"
            raise ConversionError(message, check="structure") from error
        outputs[index] = model.get_tensor(target["index"])[0]
    return dequantised(outputs, *target["quantization"]) if converted else outputs


def quantised(values: Array, scale: float, zero_point: int, dtype: npt.DTypeLike = np.int8) -> Array:
    """Real `values` as integers: round half to even, saturate."""
    limits = np.iinfo(np.dtype(dtype))
    rounded: Array = np.clip(np.rint(values / np.float32(scale)) + zero_point, limits.min, limits.max)
    return rounded.astype(dtype)


def dequantised(values: Array, scale: float, zero_point: int) -> Array:
    """The real float32 values that the integers stand for."""
    real: Array = (values.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)
    return real


@contextmanager
def quiet() -> Iterator[None]:
    """Send what C++ code prints to standard error to nowhere.

    The runtime announces its delegate once per process, on the file descriptor, past every Python logger.
    """
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)
