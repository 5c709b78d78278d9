# SPDX-License-Identifier: Apache-2.0
"""One convolution of a block, as its operator declares it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Convolution:
    """A convolution with batch normalisation; ReLU6 follows unless it is `linear`. kind: conv1x1, conv, depthwise."""

    kind: str
    c_in: int
    c_out: int
    kernel: int = 1
    stride: int = 1
    linear: bool = False
