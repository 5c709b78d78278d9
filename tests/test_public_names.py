# SPDX-License-Identifier: Apache-2.0
"""What `import edgenas` offers."""

from __future__ import annotations

from pathlib import Path

import edgenas


def test_no_room_hides_a_function() -> None:
    """A package that is imported becomes an attribute, as `edgenas.search` once did."""
    folder = Path(edgenas.__file__).parent
    rooms = {path.stem for path in folder.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert rooms & set(edgenas.__all__) == set()
