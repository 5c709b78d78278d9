# SPDX-License-Identifier: Apache-2.0
"""Checkpoint files: what `fit` writes, read as data that somebody else may have written."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgenas.archives import ArchiveError, require_stored
from edgenas.errors import UsageError
from edgenas.spaces.architecture import Architecture
from edgenas.spaces.network import network
from edgenas.spaces.space import SearchSpace
from edgenas.training.recipe import Job, Recipe
from firmware_tools.reading import UnreadableError, read_bytes

_MAX_BYTES = 1 << 30  # the largest network of a shipped space has 20 MB
_TEXTS = ("name", "architecture", "checkpoint")
_MAX_WHOLE = 1 << 32


def to_bytes(state: dict[str, Any]) -> bytes:
    """A checkpoint's file."""
    content = io.BytesIO()  # torch's own writer, given the file, hides why a write failed
    torch.save(state, content)
    return content.getvalue()


def read(path: Path) -> dict[str, Any]:
    """The state in a checkpoint. Raises UsageError as `parse`, or if it cannot be read or is larger than a GiB."""
    try:
        return parse(read_bytes(path, _MAX_BYTES), path)
    except OSError as error:
        raise _refused(path, error.strerror or str(error)) from error
    except UnreadableError as error:
        raise _refused(path, str(error)) from error


def parse(data: bytes, path: Path) -> dict[str, Any]:
    """The state in a checkpoint's bytes: numbers, text and tensors in plain containers, nothing else is unpickled.

    Raises UsageError, which names `path`, if it is none or compressed.
    """
    try:
        require_stored(data)
        state = torch.load(io.BytesIO(data), weights_only=True)
    except ArchiveError as error:
        raise _refused(path, str(error)) from error
    except Exception as error:  # a damaged file makes torch's unpickler raise anything
        raise _damaged(path) from error
    if not isinstance(state, dict):
        raise _damaged(path)
    return state


def load_job(path: Path) -> Job:
    """What a checkpoint was trained for. Raises UsageError as `read` does, or if that cannot be."""
    table = read(path).get("job")
    try:
        job = Job.from_json(table)  # type: ignore[arg-type]  # anything may be in it
    except (AssertionError, KeyError, TypeError) as error:
        raise _damaged(path) from error
    whole = (job.until, job.seed, job.recipe.epochs, job.recipe.batch)
    texts = all(isinstance(getattr(job, name), str) for name in _TEXTS)
    if not texts or not all(type(value) is int and 0 <= value < _MAX_WHOLE for value in whole) or not _fits(job.recipe):
        raise _damaged(path)
    return job


def load_network(path: Path, space: SearchSpace, architecture: Architecture) -> nn.Sequential:
    """The trained network of a checkpoint, in evaluation mode.

    Raises UsageError as `read` does, or if the weights are those of another network: of other data or another space.
    """
    net = network(space.blocks(architecture), seed=0)
    weights = read(path).get("net")
    wanted = {name: (value.shape, value.dtype) for name, value in net.state_dict().items()}
    if not isinstance(weights, dict) or not all(isinstance(value, torch.Tensor) for value in weights.values()):
        raise _damaged(path)
    if {name: (value.shape, value.dtype) for name, value in weights.items()} != wanted:
        raise UsageError(
            f"{path} holds no weights for {architecture} with inputs of {space.input_shape[0]} channels and "
            f"{space.classes} classes: give the data, size and space that it was trained with",
            file=str(path),
        )
    net.load_state_dict(weights)
    return net.eval()


def _fits(recipe: Recipe) -> bool:
    numbers = (recipe.learning_rate, recipe.momentum, recipe.weight_decay, *recipe.augmentation.values())
    return all(isinstance(number, int | float) and math.isfinite(number) for number in numbers)


def _damaged(path: Path) -> UsageError:
    return _refused(path, "it is damaged or of another program")


def _refused(path: Path, reason: str) -> UsageError:
    return UsageError(f"{path} cannot be read as a checkpoint of edgenas: {reason}", file=str(path))
