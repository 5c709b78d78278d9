"""What a training run is told and what it tells: plain data, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edgenas.tasks.recalls import Recalls


@dataclass(frozen=True)
class Recipe:
    """SGD with Nesterov momentum, one epoch of linear warm-up, then a cosine to zero over `epochs`.

    Augmentation is a random crop of the image padded by `crop` pixels and, if `flip`, a random mirror image.
    No label smoothing and no cutout: both cost accuracy in runs this short. Where classes are uneven, the loss weighs
    them alike, whatever the network (`edgenas.tasks.recalls.class_weights`).
    """

    epochs: int
    flip: bool
    crop: int = 4
    batch: int = 64
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4

    @staticmethod
    def for_images(input_shape: tuple[int, int, int], epochs: int) -> Recipe:
        """The default recipe for images of (C, H, W): colour images are mirrored (letters and digits must not be).

        Crops move by an eighth of the image: 4 pixels for 32x32, 1 for 8x8.
        """
        channels, height, width = input_shape
        return Recipe(epochs=epochs, flip=channels == 3, crop=max(1, min(height, width) // 8))


@dataclass(frozen=True)
class Job:
    """Train one architecture until epoch `until` of its recipe, going on from the checkpoint if it is there."""

    name: str
    architecture: str
    recipe: Recipe
    until: int
    seed: int
    checkpoint: str

    def to_json(self) -> dict[str, object]:
        """As one line of JSON may carry it."""
        return {**vars(self), "recipe": vars(self.recipe)}

    @staticmethod
    def from_json(table: dict[str, object]) -> Job:
        """What `to_json` wrote."""
        recipe = table["recipe"]
        assert isinstance(recipe, dict)
        return Job(**{**table, "recipe": Recipe(**recipe)})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Outcome:
    """What a training run ended with. `train_loss` is the mean cross-entropy of the last epoch, on augmented images.

    Where classes are uneven it weighs them alike, as training does. `recalls` are of the validation part; None in what
    an edgenas without them wrote.
    """

    name: str
    epoch: int
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    seconds: float
    recalls: Recalls | None = None

    def to_json(self) -> dict[str, Any]:
        """As one line of JSON, or a checkpoint, may carry it."""
        return asdict(self)

    @staticmethod
    def from_json(table: Mapping[str, Any]) -> Outcome:
        """What `to_json` wrote."""
        recalls = table.get("recalls")
        return Outcome(**{**table, "recalls": recalls and Recalls.from_json(recalls)})
