# SPDX-License-Identifier: Apache-2.0
"""Whatever firmware answers, a method of McuDevice ends, in a DeviceError of one line or in what can be."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.link import link_adversary
from helpers.link.lying_board import METHODS, PLAN, LyingBoard, device
from helpers.link.standin_board import StandInBoard, StandInPipe
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_tools.device import Timing
from firmware_tools.errors import DeviceError, DeviceLostError, ProtocolError
from firmware_tools.link import messages, transfer
from firmware_tools.link.frames import Frame
from firmware_tools.link.session import Link


@pytest.fixture(scope="module", autouse=True)
def impatient() -> Iterator[None]:
    with link_adversary.impatient(), pytest.MonkeyPatch.context() as patch:
        for each in vars(messages).values():
            if isinstance(each, type) and issubclass(each, messages.Request):
                patch.setattr(each, "patience_s", 0.002)
        patch.setattr("firmware_tools.mcu.device._REAL_BOOT_S", 0.01)
        yield


def board(seed: int = 0, honest: int = 1000) -> LyingBoard:
    return LyingBoard(staged=PLAN, active=b"another").lie(random.Random(seed), honest)


@given(st.sampled_from(sorted(METHODS)), st.integers(0, 2**32), st.integers(0, 12))
@settings(deadline=None, max_examples=200)
def test_lies(tmp_path_factory: pytest.TempPathFactory, method: str, seed: int, honest: int) -> None:
    refusal: DeviceError | None = None
    try:
        found = METHODS[method](device(board(seed, honest), tmp_path_factory.getbasetemp()))
        if isinstance(found, Timing):
            assert all(0 < value < math.inf for value in (found.min_ms, *found.per_process_ms, found.max_ms))
    except DeviceError as error:
        refusal = error
    assert refusal is None or (len(refusal.message) < 400 and "\n" not in refusal.message)


@pytest.mark.parametrize(
    ("method", "kind", "answer", "says"),
    [
        ("time_staged", 0x0B, struct.pack("<BQQQ", 0, 0, 0, 0), "RUN cannot be: maximum is 0"),
        ("time_staged", 0x0B, struct.pack("<BQQQ", 0, 5, 4, 9), "RUN cannot be: minimum is 5, not 1 to 4"),
        ("time_staged", 0x0B, struct.pack("<BQQQ", 0, 1, 2, 2**63), "RUN cannot be: maximum is"),
        ("time_staged", 0x09, struct.pack("<BIIII", 0, 2**32 - 1, 1, 1, 1), "SELECT cannot be: input is"),
        ("time_staged", 0x09, struct.pack("<BIIII", 0, 5000, 1, 1, 1), "SELECT cannot be: 5000 input bytes, HELLO"),
        ("infer_staged", 0x09, struct.pack("<BIIII", 0, 2500, 2**31, 1, 1), "SELECT cannot be: output is"),
        ("status", 0x02, struct.pack("<BBBBBIIII", 0, 7, 255, 255, 0, 0, 0, 0, 0) + bytes(74), "slot is 7, not 0 to 1"),
    ],
    ids=["nothing", "descending", "for ever", "large input", "other input", "large output", "slot"],
)
def test_what_cannot_be_is_refused_by_value(method: str, kind: int, answer: bytes, says: str, tmp_path: Path) -> None:
    liar = board()
    opened = device(liar, tmp_path)
    liar.refusals[kind] = answer
    with pytest.raises(ProtocolError) as caught:
        METHODS[method](opened)
    assert says in caught.value.message
    assert len(caught.value.message) < 250


def test_a_board_that_goes_back_and_forth_gets_no_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its offsets rise and fall: that is no progress, and the transfer ends."""
    monkeypatch.setattr(transfer, "_WHOLE_S", 0.3)
    link = Link(StandInPipe(StandInBoard()), "board")
    link.hello(0.01)
    turns = iter(range(10**9))

    def to_and_fro(kind: int, sequences: object, timeout_s: float) -> Frame:
        sequence = next(iter(going._under_way))
        return Frame(kind | 0x80, sequence, b"\x04" + (8 * (next(turns) % 2)).to_bytes(4, "little"))

    monkeypatch.setattr(link, "wait", to_and_fro)
    going = transfer._Transfer(link, 4, PLAN, 0, None)
    with pytest.raises(DeviceLostError, match="the transfer goes on where it was"):
        going.run()
