# SPDX-License-Identifier: Apache-2.0
"""What other programs say, made short: texts as they were seen."""

from __future__ import annotations

import string

import pytest

from firmware_tools.foreign_text import MOST, telling

_TENSORS = "".join(
    f"quantized_dimension must be in range [0, 1). Was 3.Tensor {n} has invalid quantization parameters."
    for n in range(2, 38, 3)
)
_PIP = """WARNING: Retrying (Retry(total=0)) after connection broken
ERROR: Could not find a version that satisfies the requirement onnx==1.20.1 (from versions: none)
ERROR: No matching distribution found for onnx==1.20.1
"""
_OPENOCD = "Open On-Chip Debugger 0.12.0\n\x1b[31mError: unable to find a matching CMSIS-DAP device\x1b[0m\n\n"
_TRTEXEC = (
    "[11/30/2026-19:00:00] [E] Error[4]: ModelImporter.cpp:768: node Conv_3\n&&&& FAILED TensorRT.trtexec # trtexec"
)
_KERNEL = (
    "external/org_tensorflow/tensorflow/lite/kernels/conv.cc:343 input->dims->size != 4 (3 != 4)Node number 0 failed."
)

_LONG = string.ascii_letters + string.ascii_letters[::-1]


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("", ""),
        ("one line", "one line"),
        (
            _TENSORS,
            "quantized_dimension must be in range [0, 1). Was 3. Tensor 2 has invalid quantization... (and 11 more)",
        ),
        (_PIP, "ERROR: No matching distribution found for onnx==1.20.1"),
        (_OPENOCD, "Error: unable to find a matching CMSIS-DAP device"),
        (_TRTEXEC, "[11/30/2026-19:00:00] [E] Error[4]: ModelImporter.cpp:768: node Conv_3"),
        (_KERNEL, "conv.cc:343 input->dims->size != 4 (3 != 4)Node number 0 failed"),
        ("Writing 10 %\rWriting 20 %\rlost the port\n", "lost the port"),
        ("Traceback (most recent call last):\n  File 'x.py'\nRuntimeError: no memory\n", "RuntimeError: no memory"),
        (_LONG, _LONG[: MOST - 3] + "..."),
    ],
)
def test_the_line_that_tells_what_went_wrong(text: str, short: str) -> None:
    assert telling(text) == short
    assert len(telling(text)) <= MOST + len(" (and 99 more)")
