# SPDX-License-Identifier: Apache-2.0
"""A folder as a stranger's archive leaves it: whatever takes code or settings from it writes its name to PWNED."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

_OTHERS = ("ai_edge_litert", "esptool", "numpy", "onnx", "pip", "pyocd", "pyocd_user", "setuptools", "tensorflow")
_SITE = ("sitecustomize", "usercustomize", "tflite_runtime", "torch", "typer", "unicorn")
NAMES = (*sorted(sys.stdlib_module_names), *_OTHERS, *_SITE)
PROGRAMS = ("cc", "clang", "esptool", "gcc", "nvidia-smi", "openocd", "pyocd", "qemu-system-arm", "sh", "stm32flash")
PROGRAMS += ("nvpmodel", "trtexec", "vcgencmd")


class Trap:
    """The folder, full of modules, programs and settings."""

    def __init__(self, folder: Path, without: Iterable[str] = ()) -> None:
        self.folder, self._mark = folder, folder / "PWNED"
        folder.mkdir(exist_ok=True)
        for name in set(NAMES) - set(without):
            code = f"with open({str(self._mark)!r}, 'a') as mark:\n    mark.write('{name}.py ')\n"
            (folder / f"{name}.py").write_text(code)
        for name in PROGRAMS:
            (folder / name).write_text(f"#!/bin/sh\necho {name} >>'{self._mark}'\n")
            (folder / name).chmod(0o755)
        for name in ("interface/dummy.cfg", "board/st_nucleo_l4.cfg", "target/nrf52.cfg", "openocd.cfg"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(f"exec sh -c {{echo {name} >>'{self._mark}'}}\n")
        for name in ("setup.cfg", "pip.conf", "esptool.cfg", "pyocd.yaml"):
            (folder / name).write_text("[install]\nprefix = /nowhere\n")

    @property
    def sprung(self) -> str:
        """What was run; "" if nothing was."""
        return self._mark.read_text() if self._mark.exists() else ""

    def variables(self) -> dict[str, str]:
        """An environment that leads here, as users' start-up files make it by mistake (`PATH=$PATH:`) or by advice."""
        return {
            "PATH": os.pathsep.join(("", ".", os.environ["PATH"])),
            "PYTHONPATH": os.pathsep.join(("", ".", str(self.folder))),
            "PYTHONSTARTUP": str(self.folder / "random.py"),
            "PYTHONWARNINGS": "ignore::random.Warning",
        }
