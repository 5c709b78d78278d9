# SPDX-License-Identifier: Apache-2.0
"""torch module to ONNX, and its outputs on samples: the reference that a converted model is held against."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edgenas.conversion.runtime import quiet
from edgenas.errors import ConversionError

if TYPE_CHECKING:
    import torch
    from torch import nn

_OPSET = 18
_BATCH = 256


def to_onnx(module: nn.Module, input_shape: tuple[int, int, int], opset: int = _OPSET) -> bytes:
    """The ONNX file of `module` for one sample of `input_shape` (channels, height, width): "input" to "output".

    Raises ValueError if the module is in training mode, ConversionError (check "export") if torch cannot export it.
    """
    import torch

    if module.training:
        raise ValueError("the module is in training mode: call .eval() first")
    file = io.BytesIO()
    try:
        with _quietly():
            torch.onnx.export(
                module,
                (torch.zeros(1, *input_shape, device=_device(module)),),
                file,  # type: ignore[arg-type]  # the jit exporter takes a file object too
                dynamo=False,
                opset_version=opset,
                input_names=["input"],
                output_names=["output"],
            )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError, TypeError) as error:
        text = " ".join(str(error).split())[:300]
        raise ConversionError(f"torch cannot export this module to ONNX: {text}", check="export") from error
    return file.getvalue()


def reference_outputs(module: nn.Module, samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What `module` (in eval mode) makes of `samples` (n, height, width, channels): (n, classes) float32."""
    import torch

    if module.training:
        raise ValueError("the module is in training mode: call .eval() first")
    device = _device(module)
    planar = torch.from_numpy(np.ascontiguousarray(samples.transpose(0, 3, 1, 2)))
    with torch.no_grad():
        parts = [
            module(planar[start : start + _BATCH].to(device)).float().cpu().numpy()
            for start in range(0, len(planar), _BATCH)
        ]
    return np.concatenate(parts)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without torch's warning about its older exporter and what its C++ code prints to stdout when an export fails.

    The older exporter, through torch.jit, is the one that the converter reads best.
    """
    import torch

    # The exporter turns this log on and its default stream is stdout, which belongs to the caller's result.
    torch._C._jit_set_onnx_log_output_stream("stderr")
    try:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch._C._jit_set_onnx_log_output_stream("stdout")


def _device(module: nn.Module) -> torch.device | None:
    for parameter in module.parameters():
        return parameter.device
    return None
