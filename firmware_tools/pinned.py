# SPDX-License-Identifier: Apache-2.0
"""Packages that pip installs for edgenas: only the wheels whose hashes stand in a list that edgenas ships.

Where they come from is the user's choice (an index, a mirror, a folder), as pip is set up. What comes is not.
"""

from __future__ import annotations

import re

# Of `pip install` and `pip download`: wheels only, because building a source archive runs its code; nothing besides
# what the list names.
OPTIONS = ("--require-hashes", "--no-deps", "--only-binary=:all:")
# pip's words have been the same since its version 8, the first that knows hashes. The package stands first in a line of
# its own: "    onnx==1.20.1 from http://... (from -r list (line 5)):".
_OTHER_FILE = re.compile(r"DO NOT MATCH THE HASHES.*?\n +([\w.-]{1,40}==[\w.+!]{1,20}) ", re.DOTALL | re.ASCII)
WAY_OUT = "name an index with the published files (PIP_INDEX_URL, pip.conf)"


def refused(printed: str) -> str | None:
    """What to tell, before WAY_OUT, if pip refused a wheel for its hash; None if it failed of something else."""
    found = _OTHER_FILE.search(printed)
    if found is None:
        return None
    return f"{found[1]} is refused, the index offers another file than the published one"
