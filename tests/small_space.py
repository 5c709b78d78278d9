"""A search space of eight architectures, for deploys that are to test anything but the search: it soon ends."""

from __future__ import annotations

from pathlib import Path

_SMALL = """
name = "small"
[stem]
strides = [2]
widths = [8, 16]
[body]
operators = ["plain", "mbconv"]
blocks = [1]
kernels = [3]
expansions = [3]
stage_macs_per_pixel = 5000
depthwise_weight = 8
[[stages]]
stride = 2
widths = [16, 32]
[[templates]]
name = "plain"
operator = "plain"
blocks = [1]
ratio = [1]
[[templates]]
name = "mobilenetv2-e3"
operator = "mbconv"
expansion = 3
blocks = [1]
ratio = [1]
baseline = true
"""


def write_small_space(folder: Path) -> Path:
    """`small.toml` in `folder`."""
    path = folder / "small.toml"
    path.write_text(_SMALL)
    return path
