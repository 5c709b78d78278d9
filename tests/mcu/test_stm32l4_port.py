# SPDX-License-Identifier: Apache-2.0
"""The worked port, nucleo-l4r5zi: it builds, and runs on registers that behave as the reference manual says."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from helpers.mcu.mcu_boards import images, missing, net
from helpers.mcu.stm32l4_board import BANK_BYTES, FLASH, FLASH_ECCR, LPUART_BRR, RAM, RAM_BYTES, UNIQUE_ID, Board

from firmware_tools.errors import InferenceError
from firmware_tools.link import messages
from firmware_tools.link.session import Link
from firmware_tools.mcu.device import McuDevice
from firmware_tools.mcu.images import FIRMWARE
from firmware_tools.mcu.manifests import Manifests
from firmware_tools.plan import compile_plan
from firmware_tools.plan.simulate import simulate

NMI, IN_BANK_2, TWO_BITS_WRONG = 2, 1 << 21, 1 << 31


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    reason = missing("unicorn")
    if reason:
        pytest.skip(reason)
    build = tmp_path_factory.mktemp("stm32l4")
    path = build / "nucleo-l4r5zi.bin"
    command = ["make", "--silent", "-C", str(FIRMWARE / "ports" / "stm32l4"), f"BUILD={build}", str(path)]
    subprocess.run(command, check=True)
    return path


def opened(board: Board, root: Path) -> McuDevice:
    return McuDevice("serial:l4", Link(board, "serial:l4"), Manifests(root), board.close)


def test_vectors(image: Path) -> None:
    board = Board(image)
    assert len(board.image) < BANK_BYTES
    assert board.vector(0) == RAM + RAM_BYTES
    handlers = {board.vector(number) for number in range(1, 16 + 71)} - {0}
    assert all(handler % 2 == 1 and FLASH < handler < FLASH + len(board.image) for handler in handlers)


def test_it_starts_at_120_mhz_and_says_hello(image: Path) -> None:
    board = Board(image)
    hello = Link(board, "l4").hello(3)
    assert (hello.board, hello.tick_unit, hello.ticks_per_s) == ("nucleo-l4r5zi", "cycles", 120_000_000)
    assert hello.unique_id == UNIQUE_ID + bytes(4)
    assert board.clock_hz == hello.ticks_per_s
    assert 256 * board.clock_hz / board.registers[LPUART_BRR] == pytest.approx(115_200, rel=0.001)


def test_a_model_is_installed_and_survives_a_power_cut(image: Path, tmp_path: Path) -> None:
    board = Board(image)
    device = opened(board, tmp_path)
    device.stage(net(1), {})
    outputs = device.infer_staged(images())
    np.testing.assert_array_equal(outputs, simulate(compile_plan(net(1)).blob, images()).reshape(-1, 4))
    assert device._link.ask(messages.Run(3)).minimum > 1000
    device.commit()
    device.stage(net(2), {})  # the other slot
    device._link.ask(messages.Reset())
    device._link.hello(3)
    assert board.resets == 2
    assert device.status().commits == 1

    status = opened(Board(image, board.bank_2()), tmp_path).status()
    assert status.active is not None
    assert status.staged is not None
    assert (status.active.slot, status.staged.slot) == ("a", "b")


def test_the_watchdog_ends_a_model_that_hangs(image: Path, tmp_path: Path) -> None:
    board = Board(image)
    device = opened(board, tmp_path)
    device.stage(net(1), {})
    device._link.ask(messages.Select(staged=True))
    board.bite_in = 4  # after the start's kick, the inference's and the first operator's
    with pytest.raises(InferenceError, match="watchdog"):
        device.infer_staged(images())
    assert device.status().staged is None


def test_a_unit_that_a_power_cut_left_half_written_is_no_fault(image: Path) -> None:
    board = Board(image)
    Link(board, "l4").hello(3)
    board.registers[FLASH_ECCR] = TWO_BITS_WRONG | IN_BANK_2
    board.call(NMI)
    assert (board.registers[FLASH_ECCR], board.resetting) == (0, 0)
    board.call(NMI)  # for another reason, such as the firmware's own code
    assert board.resetting
