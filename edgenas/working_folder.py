# SPDX-License-Identifier: Apache-2.0
"""The program imports nothing from the folder that it is started in, which may be a stranger's.

Imports nothing that Python has not loaded itself: it would be looked for in that folder. So there is no
`from __future__` here, nor in `edgenas/__init__.py`.
"""

import os
import sys


def forget() -> None:
    """Take the working folder out of `sys.path`, in this process, which is the `edgenas` program and nobody's script.

    Where edgenas itself is only found there (an unpacked source archive), it becomes the last place to look at.
    """
    try:
        here = os.path.realpath(os.getcwd())
    except OSError:  # it was removed
        return
    kept = [path for path in sys.path if os.path.realpath(path) != here]
    own = os.path.realpath(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    sys.path[:] = [*kept, own] if own == here else kept
