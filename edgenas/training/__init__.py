# SPDX-License-Identifier: Apache-2.0
"""Training: `Recipe`, `Job` and `Outcome` here, the loop in `fit` (torch), many jobs at once in `pool`."""

from edgenas.training.recipe import Job, Outcome, Recipe

__all__ = ["Job", "Outcome", "Recipe"]
