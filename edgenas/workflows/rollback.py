# SPDX-License-Identifier: Apache-2.0
"""`edgenas rollback`: the previous model becomes the active one again."""

from __future__ import annotations

from edgenas.boards import inventory
from edgenas.measuring.connection import connect
from firmware_tools.connect import Access
from firmware_tools.device import DeviceStatus
from firmware_tools.interrupts import held


def rollback(board: str | None = None, *, device: str | None = None, access: Access | None = None) -> DeviceStatus:
    """Activate the device's previous model, if its bytes are still what its manifest says.

    Raises NothingToRollBackError if there is none, UsageError for an unknown board, DeviceError if the device fails.
    """
    described, url = inventory.resolve(board, device)
    with connect(url, access=access) as opened:
        info = opened.info()
        described.check_device(info)
        with held():
            return opened.rollback()
