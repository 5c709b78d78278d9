# SPDX-License-Identifier: Apache-2.0
"""One architecture as a torch module, built from its blocks.

Inputs are (N, C, H, W) float32 in [0, 1]; outputs are (N, classes) logits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from edgenas.spaces.architecture import Block
from edgenas.spaces.operators import BLOCK_OPERATORS


def network(blocks: Sequence[Block], seed: int) -> nn.Sequential:
    """A freshly initialised network; the same seed gives the same weights and leaves torch's generator alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = nn.Sequential(*(BLOCK_OPERATORS[block.operator].module(block) for block in blocks))
        for layer in net.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return net


@contextmanager
def one_thread() -> Iterator[None]:
    """Restrict torch to one thread: on small tensors, threads mostly wait for each other and for busy cores.

    On a busy computer two threads took 8 s for a few hundred numbers, one thread 1 s.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
