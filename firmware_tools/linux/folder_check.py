# SPDX-License-Identifier: Apache-2.0
"""Whether others may change a board's folder, asked before anything in it is run: the agent's own functions as text."""

from __future__ import annotations

import inspect

from firmware_tools.agent.parts import folders

# For `python -I -c`; sys.argv is for what follows it. Not the whole file: Dropbear takes no command of 9000 characters.
FUNCTIONS = "".join(
    (
        "from __future__ import annotations\nimport functools, hashlib, os, stat, sys\n",
        inspect.getsource(folders.trusted_users),
        inspect.getsource(folders.is_private),
        inspect.getsource(folders.first_groups),
        inspect.getsource(folders.keeps_modes),
        inspect.getsource(folders.way_to),
        inspect.getsource(folders.folder_fault),
    )
)
# argv: the folder, and a file in it. Prints the file's sha256, or nothing if it is not there or others may write it, a
# colon, and what is wrong with the folder.
CHECK = (
    FUNCTIONS
    + """
sum, fault = "", folder_fault(sys.argv[1])
if fault is None and os.path.isfile(sys.argv[2]) and not os.path.islink(sys.argv[2]):
    facts = os.stat(sys.argv[2])
    shared = facts.st_mode & 2 or (facts.st_mode & 16 and not is_private(facts.st_gid))
    if facts.st_uid in trusted_users() and not shared:
        with open(sys.argv[2], "rb") as file:
            sum = hashlib.sha256(file.read(1 << 24)).hexdigest()
sys.stdout.write(sum + ":" + (fault or ""))
"""
)
