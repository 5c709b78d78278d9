# SPDX-License-Identifier: Apache-2.0
"""Name a board and a latency budget, get a trained model that measurably meets it, installed on the board.

The commands of the `edgenas` program are the functions of this package: `edgenas.deploy`, `edgenas.profile`,
`edgenas.search`, ... Nothing heavy is imported before one of them is used.
"""

import sys

if sys.argv[:1] == ["-m"]:
    # `python -m edgenas` puts the working folder in front of all that is imported. What Python itself imports before
    # this line cannot be helped: runpy, importlib and what they need. The program `edgenas` does not do that.
    from edgenas.working_folder import forget

    forget()

from importlib import import_module
from typing import TYPE_CHECKING

from edgenas.version import __version__

if TYPE_CHECKING:
    from edgenas.workflows.convert import convert
    from edgenas.workflows.deploy import deploy
    from edgenas.workflows.devices import devices
    from edgenas.workflows.doctor import doctor
    from edgenas.workflows.flash import flash
    from edgenas.workflows.measure import measure
    from edgenas.workflows.plan import plan
    from edgenas.workflows.prepare import prepare
    from edgenas.workflows.profile import profile
    from edgenas.workflows.profile_forget import forget_profile
    from edgenas.workflows.profile_show import show_profile
    from edgenas.workflows.profiles import export_profile, import_profile, merge_profiles
    from edgenas.workflows.rollback import rollback
    from edgenas.workflows.search import search
    from edgenas.workflows.train import train

__all__ = [
    "__version__",
    "convert",
    "deploy",
    "devices",
    "doctor",
    "export_profile",
    "flash",
    "forget_profile",
    "import_profile",
    "measure",
    "merge_profiles",
    "plan",
    "prepare",
    "profile",
    "rollback",
    "search",
    "show_profile",
    "train",
]
_MODULES = {
    **dict.fromkeys(("export_profile", "import_profile", "merge_profiles"), "profiles"),
    "forget_profile": "profile_forget",
    "show_profile": "profile_show",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"edgenas.workflows.{_MODULES.get(name, name)}"), name)
