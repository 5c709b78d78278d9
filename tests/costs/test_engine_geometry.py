# SPDX-License-Identifier: Apache-2.0
"""The geometry that costs and latencies are counted with, against plans that the compiler makes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.tflite_builder import Op, T, constant, model

from edgenas.costs.engine_geometry import input_bytes, padding, scratch_bytes, strip_rows
from edgenas.spaces.layer import Layer
from firmware_tools.plan import compile_plan
from firmware_tools.plan import operators as plan


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2)])
@pytest.mark.parametrize("height", [4, 7, 14, 28, 45])
@pytest.mark.parametrize("channels", [4, 24, 96])
def test_a_depthwise_convolutions_strip_and_scratch_are_those_of_the_compiled_plan(
    kernel: int, stride: int, height: int, channels: int
) -> None:
    pad = kernel // 2 if stride > 1 else 0
    size, out = height + 2 * pad, (height + stride - 1) // stride
    filters = constant(np.ones((1, kernel, kernel, channels)), np.full(channels, 0.01).tolist(), axis=3)
    options = {"StrideH": stride, "StrideW": stride, "Padding": int(stride > 1), "DepthMultiplier": 1}
    options |= {"DilationHFactor": 1, "DilationWFactor": 1}
    pads = constant([[0, 0], [pad, pad], [pad, pad], [0, 0]], None, "int32")
    tensors = [T((1, height, height, channels), 0.1), T((1, size, size, channels), 0.1)]
    ops = [Op("PAD", [0, 4], [1]), Op("DEPTHWISE_CONV_2D", [1, 3], [2], options)]
    tensors += [T((1, out, out, channels), 0.5), filters, pads]
    compiled = compile_plan(model(tensors, ops if pad else [replace(ops[1], inputs=[0, 3])], [0], [2]))
    (record,) = (o.record for o in compiled.operators if isinstance(o.record, plan.Depthwise))
    layer = Layer("depthwise", channels, channels, kernel, stride, size, size, out, out)
    assert strip_rows(layer) == record.strip
    assert scratch_bytes(layer, record.strip) == plan.scratch_bytes(record)
    assert input_bytes(layer) == record.window.in_bytes
    assert padding(layer)[0] == record.window.pad_left
