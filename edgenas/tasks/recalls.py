# SPDX-License-Identifier: Apache-2.0
"""Accuracy by class: the recalls, their mean, and how sure it is that a model does better than guessing.

Recall of a class: the part of its images that is recognised. Balanced accuracy: the mean recall of the classes that
have images, as scikit-learn's `balanced_accuracy_score` defines it (Brodersen et al., "The balanced accuracy and its
posterior distribution", ICPR 2010). Whoever answers one class always, or draws lots, has 1 / classes of it, however
many images the classes have.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgenas.tasks.dataset import Dataset
from edgenas.tasks.raw import Ints
from edgenas.tasks.splits import uneven_counts

_ERRORS = 1.645  # standard errors: one-sided 95 %


@dataclass(frozen=True)
class Recalls:
    """How many images of each class are recognised: `right[i]` of the `images[i]` of class i, which may be 0."""

    right: tuple[int, ...]
    images: tuple[int, ...]

    @staticmethod
    def of(right: npt.NDArray[np.bool_], labels: Ints, classes: int) -> Recalls:
        """Counted from the images of one part: whether each is recognised (n,), and its class (n,)."""
        hits, images = np.bincount(labels[right], minlength=classes), np.bincount(labels, minlength=classes)
        return Recalls(tuple(map(int, hits)), tuple(map(int, images)))

    @staticmethod
    def from_json(table: Mapping[str, Sequence[int]]) -> Recalls:
        """What `dataclasses.asdict` made."""
        return Recalls(tuple(table["right"]), tuple(table["images"]))

    def __add__(self, other: Recalls) -> Recalls:
        """Of both parts together."""
        right = (a + b for a, b in zip(self.right, other.right, strict=True))
        images = (a + b for a, b in zip(self.images, other.images, strict=True))
        return Recalls(tuple(right), tuple(images))

    @property
    def by_class(self) -> tuple[float | None, ...]:
        """The recall of each class; None for one without images."""
        return tuple(r / n if n else None for r, n in zip(self.right, self.images, strict=True))

    @property
    def accuracy(self) -> float:
        """The part of all images that is recognised."""
        return sum(self.right) / sum(self.images)

    @property
    def balanced(self) -> float:
        """The mean recall of the classes that have images."""
        known = [recall for recall in self.by_class if recall is not None]
        return sum(known) / len(known)

    @property
    def chance(self) -> float:
        """The balanced accuracy of guessing: 1 / classes that have images."""
        return 1 / sum(n > 0 for n in self.images)

    @property
    def lower_bound(self) -> float:
        """The balanced accuracy is above it with a confidence of 95 %.

        The distances of the classes' recalls to their lower limits, joined by their squares: Zou, Huang and Zhang, "A
        note on confidence interval estimation for a linear function of binomial proportions", Computational Statistics
        and Data Analysis 53, 2009. A class's limit is Wilson's (JASA 1927), whose width is not 0 where a few images are
        all recognised, or that of the normal approximation, if it is lower: by Wilson's alone 11 to 19 % of networks
        that draw lots among 5 to 100 classes would be above chance. So it is 3 to 6 %, and 5 to 11 % of those that draw
        lots between two (simulated). Of networks that recognise 90 % of two classes, 66, 88, 93 and 99.8 % are above
        chance with 2, 3, 5 and 10 images of each. Who always answers one class never is: the bound is below the
        balanced accuracy, which then is that of chance.
        """
        pairs = [(r, n) for r, n in zip(self.right, self.images, strict=True) if n]
        return self.balanced - math.sqrt(sum(_distance(r, n) ** 2 for r, n in pairs)) / len(pairs)

    @property
    def better_than_guessing(self) -> bool:
        """Whether that can be said with a confidence of 95 %; never where only one class has images."""
        return self.lower_bound > self.chance

    def summary(self) -> dict[str, Any]:
        """What says whether a model may be installed: see `edgenas.measuring.install.install`."""
        return {
            "images": sum(self.images),
            "balanced_accuracy": self.balanced,
            "lower_bound": self.lower_bound,
            "chance": self.chance,
        }

    def to_json(self) -> dict[str, list[Any]]:
        """`images` and `recall` of each class, in the labels' order; the recall of a class without images is null."""
        return {"images": list(self.images), "recall": list(self.by_class)}


def accuracies(labels: Sequence[str], parts: Mapping[str, Recalls | None]) -> dict[str, Any]:
    """`accuracy`, `balanced_accuracy` and `recall`, as every JSON object of edgenas has them, under `parts`' names.

    `recall` holds the classes' `labels` and, in their order, `images` and `recall` of each part. A part that does not
    exist is null.
    """
    return {
        "accuracy": {name: part and part.accuracy for name, part in parts.items()},
        "balanced_accuracy": {name: part and part.balanced for name, part in parts.items()},
        "recall": {"labels": list(labels)} | {name: part and part.to_json() for name, part in parts.items()},
    }


def _distance(right: int, images: int) -> float:
    """From a proportion to its lower limit by Wilson or by the normal approximation, whichever is lower."""
    p, z2 = right / images, _ERRORS**2 / images
    wilson = (p + z2 / 2 - math.sqrt(z2 * (p * (1 - p) + z2 / 4))) / (1 + z2)
    return max(p - wilson, math.sqrt(z2 * p * (1 - p)))


def uneven(data: Dataset) -> bool:
    """Whether classes count alike from here on, in training, selection and the gate, in place of images.

    The images of all parts together decide (`edgenas.tasks.splits.uneven_counts`). Where classes are even, nothing is
    weighted: to do so would only add noise.
    """
    labels = np.concatenate([data.train.y, data.validation.y, data.test.y])
    return uneven_counts(np.bincount(labels, minlength=data.classes))


def class_weights(labels: Ints, classes: int) -> npt.NDArray[np.float32]:
    """(classes,) weights in the loss, inversely proportional to the class's training images; n images weigh n together.

    Every class of a training part has images.
    """
    weights = len(labels) / (classes * np.bincount(labels, minlength=classes))
    return weights.astype(np.float32)


def image_weights(labels: Ints) -> npt.NDArray[np.float64]:
    """(n,) weights with which every class that is there weighs alike; their sum is n."""
    images = np.bincount(labels)
    weights: npt.NDArray[np.float64] = len(labels) / (np.count_nonzero(images) * images[labels])
    return weights


def lead(
    mine: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_], weights: npt.NDArray[np.float64]
) -> tuple[float, float]:
    """By how much one model is better than another on the same images, and the standard error of that difference.

    `mine`, `other` (n,): what each recognises; `weights` (n,) as of `image_weights`: both values are of balanced
    accuracy, and only the images on which exactly one is right vary (McNemar 1947).
    """
    difference = weights * (mine.astype(float) - other)
    return float(difference.sum()) / len(weights), math.sqrt(float((difference**2).sum())) / len(weights)
