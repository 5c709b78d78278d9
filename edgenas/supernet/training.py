# SPDX-License-Identifier: Apache-2.0
"""Training of a supernet: one operator first, then randomly drawn single paths (one path a step, as LightNAS).

The operators of a stage share nothing but their neighbours, who must read the channels of each. Drawn with equal
chances from the start, they hardly agree: after 1,200 steps on digits the median path had 25 % accuracy. So one
operator, the anchor, warms up alone and sets the language, every second step with its largest path (without which big
operators stay undertrained); the others learn the language among anchors, whose share falls to nothing: 56 %.

The anchor gains most from this, and every supernet's ranking is weak: its proposals always meet training from scratch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgenas import tasks
from edgenas.spaces.architecture import Architecture
from edgenas.spaces.space import SearchSpace
from edgenas.supernet.supernet import Supernet
from edgenas.tasks.dataset import Dataset
from edgenas.training.fit import as_tensor, loss_weights, schedule
from edgenas.training.recipe import Recipe

_STEPS = 1200  # however much data there is: about 23 epochs of 3,400
_WARM_UP = 0.15  # of the steps: the anchor operator alone
_ANCHOR = 0.6  # a stage's extra chance of the anchor operator right after the warm-up; it falls linearly to 0
_CLIP = 5.0  # of the gradient's norm, as in LightNAS
_SAVE_EVERY = 100  # steps
_JUDGED, _JUDGED_EXAMPLES = 200, 384  # paths whose validation loss is measured at the end, and on how many examples

Progress = Callable[[int, int], None]


@dataclass
class SupernetState:
    """A supernet after `step` of `steps`, with what it needs to go on; `losses` are there when it is done.

    losses: validation losses of randomly drawn paths, to which `edgenas.supernet.additive` fits a surrogate.
    seconds: spent on training so far.
    """

    net: Supernet
    steps: int
    optimiser: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    losses: list[tuple[Architecture, float]] = field(default_factory=list)

    @property
    def done(self) -> bool:
        """Whether training and judging are over."""
        return bool(self.losses)

    def to_dict(self) -> dict[str, Any]:
        """Plain values and tensors, as `torch.load(weights_only=True)` reads them back."""
        table: dict[str, Any] = {"net": self.net.state_dict(), "step": self.step, "seconds": self.seconds}
        if self.done:
            return {**table, "losses": [(str(architecture), loss) for architecture, loss in self.losses]}
        return {**table, "optimiser": self.optimiser.state_dict()}

    def restore(self, table: dict[str, Any]) -> None:
        """Take over what `to_dict` gave. Raises KeyError, RuntimeError or ValueError if it does not fit."""
        self.net.load_state_dict(table["net"])
        self.losses = [(Architecture.parse(text), float(loss)) for text, loss in table.get("losses", ())]
        if not self.done:
            self.optimiser.load_state_dict(table["optimiser"])
        self.step, self.seconds = int(table["step"]), float(table["seconds"])


def default_recipe(data: Dataset) -> Recipe:
    """The recipe of single networks, for about 1,200 steps however much data there is."""
    recipe = Recipe.of(data, 1)
    return Recipe.of(data, max(1, round(_STEPS / _steps_per_epoch(data, recipe))))


def untrained(space: SearchSpace, data: Dataset, recipe: Recipe, seed: int) -> SupernetState:
    """Initial weights, before the first step."""
    net = Supernet(space, seed)
    # No decay of the classifier's bias: it hurts small networks.
    groups = [
        {"params": [p for p in net.parameters() if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in net.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=True)
    return SupernetState(net, recipe.epochs * _steps_per_epoch(data, recipe), optimiser)


def train_supernet(
    state: SupernetState,
    data: Dataset,
    recipe: Recipe,
    seed: int,
    progress: Progress = lambda done, total: None,
    save: Callable[[SupernetState], None] = lambda state: None,
) -> SupernetState:
    """Train `state` to its last step on `data.train`, then judge random paths on `data.validation`; returns `state`.

    `progress` gets (steps done, steps). `save` is called every 100 steps and at the end; every step's randomness is a
    function of the seed and its number, so a state restored from there goes on as if it had not been interrupted.
    """
    task, labels, weights = tasks.named(data.task), torch.from_numpy(data.train.y), loss_weights(data)
    started, before = time.monotonic(), state.seconds
    while state.step < state.steps:
        rng = np.random.default_rng((seed, state.step))
        generator = torch.Generator().manual_seed(int(rng.integers(1 << 62)))
        for group in state.optimiser.param_groups:
            group["lr"] = recipe.learning_rate * schedule(state.step / state.steps * recipe.epochs, recipe.epochs)
        pick = _pick(data, recipe, seed, state.step)
        batch = task.augment(as_tensor(data.train.x[pick]), recipe.augmentation, generator)
        path = _path(state, rng)
        _update(state, path, batch, partial(task.loss, labels=labels[pick], weights=weights))
        state.step += 1
        state.seconds = before + time.monotonic() - started
        progress(state.step, state.steps)
        if state.step % _SAVE_EVERY == 0:
            save(state)
    state.losses = _judge(state.net, data, seed)
    state.seconds = before + time.monotonic() - started
    save(state)
    return state


@torch.inference_mode()
def validation_loss(net: Supernet, architecture: Architecture, data: Dataset) -> float:
    """The path's loss on the validation part (on 384 examples of a larger one), with their batch statistics.

    Classes weigh as they do in training.
    """
    pick = np.arange(len(data.validation))
    if len(pick) > _JUDGED_EXAMPLES:  # the same examples for every path
        pick = np.random.default_rng(0).permutation(pick)[:_JUDGED_EXAMPLES]
    logits = net(as_tensor(data.validation.x[pick]), architecture)
    labels = torch.from_numpy(data.validation.y[pick])
    return tasks.named(data.task).loss(logits, labels, loss_weights(data)).item()


def _judge(net: Supernet, data: Dataset, seed: int) -> list[tuple[Architecture, float]]:
    rng = np.random.default_rng((seed, 1 << 32))
    drawn = dict.fromkeys(net.paths.sample(rng) for _ in range(_JUDGED))
    return [(architecture, validation_loss(net, architecture, data)) for architecture in drawn]


def _path(state: SupernetState, rng: np.random.Generator) -> Architecture:
    warm_up = round(_WARM_UP * state.steps)
    if state.step < warm_up:
        paths = state.net.paths
        return paths.sample_largest(rng, anchor=1.0) if state.step % 2 else paths.sample(rng, anchor=1.0)
    return state.net.paths.sample(rng, _ANCHOR * (state.steps - state.step) / (state.steps - warm_up))


def _update(state: SupernetState, path: Architecture, batch: Tensor, loss: Callable[[Tensor], Tensor]) -> None:
    state.optimiser.zero_grad(set_to_none=True)  # weights off the path then neither decay nor move
    loss(state.net(batch, path)).backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(state.net.parameters(), _CLIP)
    state.optimiser.step()


def _steps_per_epoch(data: Dataset, recipe: Recipe) -> int:
    return max(1, len(data.train) // recipe.batch)


def _pick(data: Dataset, recipe: Recipe, seed: int, step: int) -> Any:
    """The step's examples, from a shuffle for each epoch."""
    epoch, batch = divmod(step, _steps_per_epoch(data, recipe))
    order = np.random.default_rng((seed, 1 << 33, epoch)).permutation(len(data.train))
    return order[batch * recipe.batch : (batch + 1) * recipe.batch]
