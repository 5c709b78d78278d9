# SPDX-License-Identifier: Apache-2.0
"""What all tasks share whose output is one number for each class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgenas.tasks.raw import Ints

if TYPE_CHECKING:
    from torch import Tensor


def predicted(outputs: npt.NDArray[Any]) -> Ints:
    """(N,) the class that each of the outputs (N, classes) names."""
    classes: Ints = outputs.argmax(1)
    return classes


class Classification:
    """Loss, verdict and reading of the output of a classifier."""

    def loss(self, outputs: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """The mean cross-entropy of logits (N, classes); `weights` (classes,) are what a class counts."""
        from torch.nn import functional

        return functional.cross_entropy(outputs, labels, weights)

    def right(self, outputs: npt.NDArray[Any], labels: Ints) -> npt.NDArray[np.bool_]:
        """(N,) whether the largest output is the label's."""
        right: npt.NDArray[np.bool_] = predicted(outputs) == labels
        return right

    def postprocessing(self, dequantise: Mapping[str, Any]) -> dict[str, Any]:
        """See `edgenas.workflows.front_end`."""
        return {"values": "logits", **dequantise, "class": "argmax", "probabilities": "softmax of the logits"}
