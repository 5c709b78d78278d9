# SPDX-License-Identifier: Apache-2.0
"""What a training run is told and what it tells: plain data, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edgenas import tasks
from edgenas.tasks.dataset import Dataset
from edgenas.tasks.recalls import Recalls
from edgenas.tasks.task import Settings

_RECIPE = ("epochs", "batch", "learning_rate", "momentum", "weight_decay")  # the rest of its table is augmentation


@dataclass(frozen=True, repr=False)
class Recipe:
    """SGD with Nesterov momentum, one epoch of linear warm-up, then a cosine to zero over `epochs`.

    `augmentation` are the settings of the task's `augment`. No label smoothing: it costs accuracy in runs this short.
    Where classes are uneven, the loss weighs them alike, whatever the network (`edgenas.tasks.recalls.class_weights`).
    """

    epochs: int
    augmentation: Settings
    batch: int = 64
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4

    def __repr__(self) -> str:
        # Names of checkpoints and supernets are hashes of it.
        return f"Recipe({', '.join(f'{name}={value!r}' for name, value in self.to_json().items())})"

    @staticmethod
    def of(data: Dataset, epochs: int) -> Recipe:
        """The default recipe for a data set."""
        return Recipe(epochs, tasks.named(data.task).augmentation(data.input_shape))

    def to_json(self) -> dict[str, Any]:
        """Its fields and the settings of the augmentation, in one table."""
        fields = dict(vars(self))
        return {"epochs": fields.pop("epochs"), **fields.pop("augmentation"), **fields}

    @staticmethod
    def from_json(table: Mapping[str, Any]) -> Recipe:
        """What `to_json` wrote. Raises KeyError or TypeError for what is none."""
        own = {name: table[name] for name in _RECIPE}
        return Recipe(**own, augmentation={name: value for name, value in table.items() if name not in own})


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
        return {**vars(self), "recipe": self.recipe.to_json()}

    @staticmethod
    def from_json(table: dict[str, object]) -> Job:
        """What `to_json` wrote."""
        recipe = table["recipe"]
        assert isinstance(recipe, dict)
        return Job(**{**table, "recipe": Recipe.from_json(recipe)})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Outcome:
    """What a training run ended with. `train_loss` is the mean loss of the last epoch, on augmented examples.

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
