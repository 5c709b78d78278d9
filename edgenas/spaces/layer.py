# SPDX-License-Identifier: Apache-2.0
"""One operator of the converted model, on which costs are counted and latencies are predicted."""

from __future__ import annotations

from dataclasses import dataclass

_WEIGHTED = ("conv1x1", "conv", "depthwise", "dense")


@dataclass(frozen=True)
class Layer:
    """One operator of the converted model. Shapes are NHWC without N; `kind` is what a latency model prices.

    kind: conv1x1, conv, depthwise, add, pad, pool, dense.
    """

    kind: str
    c_in: int
    c_out: int
    kernel: int
    stride: int
    h_in: int
    w_in: int
    h_out: int
    w_out: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        if self.kind not in _WEIGHTED:
            return 0
        per_output = self.kernel**2 * (1 if self.kind == "depthwise" else self.c_in)
        return self.h_out * self.w_out * self.c_out * per_output

    @property
    def weights(self) -> int:
        """Weights without biases."""
        if self.kind not in _WEIGHTED:
            return 0
        return self.kernel**2 * self.c_out * (1 if self.kind == "depthwise" else self.c_in)

    @property
    def elements_in(self) -> int:
        """Input elements; an addition reads two tensors."""
        return self.h_in * self.w_in * self.c_in * (2 if self.kind == "add" else 1)

    @property
    def elements_out(self) -> int:
        """Output elements."""
        return self.h_out * self.w_out * self.c_out
