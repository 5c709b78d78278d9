# SPDX-License-Identifier: Apache-2.0
"""The training loop: one network, one process, deterministic for a seed and one thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgenas import resources, tasks
from edgenas.seals import Seals
from edgenas.spaces.architecture import Architecture
from edgenas.spaces.network import network
from edgenas.spaces.space import SearchSpace
from edgenas.tasks.dataset import Dataset, Split
from edgenas.tasks.recalls import Recalls, class_weights, uneven
from edgenas.tasks.task import Task
from edgenas.training import checkpoints
from edgenas.training.recipe import Job, Outcome, Recipe

_EVALUATION_BATCH = 256


def as_tensor(x: NDArray[np.uint8]) -> Tensor:
    """(N, H, W, C) uint8 -> (N, C, H, W) float32 in [0, 1], channels last in memory (2 times faster on CPUs)."""
    batch = torch.from_numpy(np.ascontiguousarray(x)).permute(0, 3, 1, 2)
    return batch.to(torch.float32).div_(255).contiguous(memory_format=torch.channels_last)


def fit(
    job: Job,
    space: SearchSpace,
    data: Dataset,
    progress: Callable[[int], None] = lambda epoch: None,
    seals: Seals | None = None,
) -> Outcome:
    """Train `job` on `data.train` and judge it on `data.validation`; weights and optimiser go to its checkpoint.

    `progress` gets the number of finished epochs. The checkpoint is replaced as a whole; it remembers the outcome of
    every earlier `until`, so that asking again, even for an earlier one, trains nothing. With `seals` it is sealed, and
    one without its seal counts as none.
    """
    started = time.monotonic()
    checkpoint = _read(job, seals)
    if job.until in checkpoint.get("outcomes", {}):
        return Outcome.from_json(checkpoint["outcomes"][job.until])
    net, optimiser, epoch, loss = _resume(job, space, checkpoint)
    task, weights = tasks.named(data.task), loss_weights(data)
    generator = torch.Generator()
    net.train()
    while epoch < job.until:
        generator.manual_seed(job.seed * 1000 + epoch)
        loss = _epoch(net, optimiser, job.recipe, epoch, data.train, task, weights, generator)
        epoch += 1
        progress(epoch)
    validation_loss, found = evaluate(net, data.validation, data)
    outcome = Outcome(job.name, epoch, loss, validation_loss, found.accuracy, time.monotonic() - started, found)
    state = {
        "job": job.to_json(),
        "epoch": epoch,
        "net": net.state_dict(),
        "optimiser": optimiser.state_dict(),
        "outcomes": {**checkpoint.get("outcomes", {}), job.until: outcome.to_json()},
    }
    write = resources.write_bytes if seals is None else seals.write
    write(Path(job.checkpoint), checkpoints.to_bytes(state))
    return outcome


@torch.inference_mode()
def logits(net: nn.Module, x: NDArray[np.uint8]) -> Tensor:
    """(N, H, W, C) uint8 -> (N, classes) float32, in evaluation mode."""
    net.eval()
    return torch.cat([net(as_tensor(x[i : i + _EVALUATION_BATCH])) for i in range(0, len(x), _EVALUATION_BATCH)])


def evaluate(net: nn.Module, part: Split, data: Dataset) -> tuple[float, Recalls]:
    """The loss on a part of `data`, and what is recognised of each class."""
    task, outputs = tasks.named(data.task), logits(net, part.x)
    right = task.right(outputs.numpy(), part.y)
    return task.loss(outputs, torch.from_numpy(part.y)).item(), Recalls.of(right, part.y, data.classes)


def loss_weights(data: Dataset) -> Tensor | None:
    """(classes,) float32: what an example of a class counts in the loss; None where classes are even."""
    return torch.from_numpy(class_weights(data.train.y, data.classes)) if uneven(data) else None


def _read(job: Job, seals: Seals | None) -> dict[str, Any]:
    path = Path(job.checkpoint)
    if seals is None:
        return checkpoints.read(path) if path.exists() else {}
    data = seals.read(path)
    return {} if data is None else checkpoints.parse(data, path)


def _resume(
    job: Job, space: SearchSpace, checkpoint: dict[str, Any]
) -> tuple[nn.Sequential, torch.optim.Optimizer, int, float]:
    net = network(space.blocks(Architecture.parse(job.architecture)), job.seed)
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    recipe = job.recipe
    optimiser = torch.optim.SGD(
        _parameter_groups(net, recipe.weight_decay), lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=True
    )
    if not checkpoint:
        return net, optimiser, 0, float("inf")
    net.load_state_dict(checkpoint["net"])
    optimiser.load_state_dict(checkpoint["optimiser"])
    epoch = int(checkpoint["epoch"])
    return net, optimiser, epoch, float(checkpoint["outcomes"][epoch]["train_loss"])


def _parameter_groups(net: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    # Decaying scales and biases of normalisation hurts small networks.
    matrices = [p for p in net.parameters() if p.ndim > 1]
    vectors = [p for p in net.parameters() if p.ndim <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]


def _epoch(
    net: nn.Module,
    optimiser: torch.optim.Optimizer,
    recipe: Recipe,
    epoch: int,
    train: Split,
    task: Task,
    weights: Tensor | None,
    generator: torch.Generator,
) -> float:
    labels, steps = torch.from_numpy(train.y), max(1, len(train) // recipe.batch)
    total = torch.zeros(())
    for step, pick in enumerate(_batches(len(train), recipe.batch, generator)):
        for group in optimiser.param_groups:
            group["lr"] = recipe.learning_rate * schedule(epoch + step / steps, recipe.epochs)
        batch = task.augment(as_tensor(train.x[pick.numpy()]), recipe.augmentation, generator)
        optimiser.zero_grad(set_to_none=True)
        loss = task.loss(net(batch), labels[pick], weights)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        total += loss.detach()
    return float(total) / steps


def schedule(epoch: float, epochs: int) -> float:
    """The learning rate's factor: linear from 0.1 to 1 over the first epoch, then half a cosine to 0."""
    warm = min(1.0, epochs / 4)
    if epoch < warm:
        return 0.1 + 0.9 * epoch / warm
    return float(0.5 * (1 + np.cos(np.pi * (epoch - warm) / max(epochs - warm, 1e-9))))


def _batches(n: int, batch: int, generator: torch.Generator) -> Iterator[Tensor]:
    order = torch.randperm(n, generator=generator)
    # Batch normalisation cannot learn from a batch of one: the incomplete batch is left to another epoch's shuffle.
    if n < batch:
        yield order
    for start in range(0, n - batch + 1, batch):
        yield order[start : start + batch]
