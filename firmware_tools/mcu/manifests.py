# SPDX-License-Identifier: Apache-2.0
"""What a host knows of the plans that it sent to boards, whose own memory holds a plan and its sha256, no more.

One JSON file for each plan, named by its sha256. A computer that did not send a plan knows neither its .tflite file nor
its manifest.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from firmware_tools.host_folder import make_private, refused
from firmware_tools.reading import read_json

_MAX_BYTES = 8 << 20  # as the agent takes of a manifest


@dataclass(frozen=True)
class PlanOrigin:
    """A plan's origin: sha256 and size of the .tflite file, its manifest, shapes of input and output with batch 1."""

    sha256: str
    bytes: int
    manifest: Mapping[str, Any]
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]


class Manifests:
    """The records in `folder`, which is made when the first is written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, plan_sha256: str) -> PlanOrigin | None:
        """What is known of a plan; None if nothing readable is."""
        try:
            record: dict[str, Any] = read_json(self._folder / f"{plan_sha256}.json", _MAX_BYTES)
            shapes = {name: tuple(record[name]) for name in ("input_shape", "output_shape")}
            return PlanOrigin(**{**record, **shapes})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def put(self, plan_sha256: str, sent: PlanOrigin) -> None:
        """Remember where a plan comes from. Raises HostFolderError if the folder cannot be written."""
        path = self._folder / f"{plan_sha256}.json"
        new = path.with_suffix(f".{os.getpid()}")
        try:
            make_private(self._folder)
            new.write_text(json.dumps(asdict(sent), indent=1) + "\n")
            new.replace(path)
        except OSError as error:
            with suppress(OSError):
                new.unlink(missing_ok=True)
            raise refused("what this board holds", path.parent, error, "set EDGENAS_HOME to another folder") from error
