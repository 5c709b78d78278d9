# SPDX-License-Identifier: Apache-2.0
"""Ways to get edgenas' firmware itself onto a real board: one file each, by the name that a board's facts use."""

from __future__ import annotations

from collections.abc import Mapping

from firmware_tools.bootloader.esptool import Esptool
from firmware_tools.bootloader.openocd import OpenOcd
from firmware_tools.bootloader.pyocd import PyOcd
from firmware_tools.bootloader.run import run
from firmware_tools.bootloader.stm32flash import Stm32Flash
from firmware_tools.bootloader.uf2 import Uf2
from firmware_tools.bootloader.way import Command, FileWrite, Image, Plan, Way

WAYS: Mapping[str, Way] = {way.name: way for way in (Esptool(), OpenOcd(), PyOcd(), Stm32Flash(), Uf2())}

__all__ = ["WAYS", "Command", "FileWrite", "Image", "Plan", "Way", "run"]
