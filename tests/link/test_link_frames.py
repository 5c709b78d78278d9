# SPDX-License-Identifier: Apache-2.0
"""Frames: the golden vectors, any payload in any noise at any split, and every byte of a frame corrupted."""

from __future__ import annotations

import json
import zlib
from typing import Any

import pytest
from helpers.link import frame_vectors
from hypothesis import given
from hypothesis import strategies as st

from firmware_tools.link.frames import Frame, Receiver, decode, encode, line_bytes

VECTORS: dict[str, Any] = json.loads(frame_vectors.PATH.read_text(encoding="utf-8"))
SENT = st.builds(Frame, st.integers(0, 255), st.integers(0, 255), st.binary(max_size=700))


def wire(frame: Frame) -> bytes:
    return encode(frame.kind, frame.sequence, frame.payload)


def test_the_golden_file_is_what_the_reference_writes() -> None:
    assert frame_vectors.PATH.read_text(encoding="utf-8") == frame_vectors.text()


@pytest.mark.parametrize("vector", VECTORS["good"], ids=lambda one: one["name"])
def test_encoder_gives_the_golden_bytes(vector: dict[str, Any]) -> None:
    assert encode(vector["kind"], vector["sequence"], bytes.fromhex(vector["payload"])).hex() == vector["frame"]


@pytest.mark.parametrize("vector", VECTORS["good"] + VECTORS["also_good"], ids=lambda one: one["name"])
def test_receiver_reads_the_golden_bytes(vector: dict[str, Any]) -> None:
    expected = Frame(vector["kind"], vector["sequence"], bytes.fromhex(vector["payload"]))
    receiver = Receiver(VECTORS["max_payload"])
    assert receiver.feed(bytes.fromhex(vector["frame"])) == [expected]
    assert not receiver.dropped


@pytest.mark.parametrize("vector", VECTORS["bad"], ids=lambda one: one["name"])
def test_receiver_drops_the_bad_ones_for_their_reason(vector: dict[str, Any]) -> None:
    receiver = Receiver(VECTORS["max_payload"])
    assert receiver.feed(bytes.fromhex(vector["frame"])) == []
    assert receiver.dropped == ({} if vector["reason"] == "empty" else {vector["reason"]: 1})
    assert receiver.feed(encode(1, 2, b"\0next")) == [Frame(1, 2, b"\0next")]


@given(st.lists(SENT, max_size=5), st.lists(st.integers(0, 4000), max_size=8))
def test_any_frames_at_any_split(sent: list[Frame], splits: list[int]) -> None:
    stream = b"".join(wire(frame) for frame in sent)
    places = sorted({0, len(stream), *(min(split, len(stream)) for split in splits)})
    receiver = Receiver()
    found = [frame for i in range(len(places) - 1) for frame in receiver.feed(stream[places[i] : places[i + 1]])]
    assert found == sent
    assert not receiver.dropped


@given(SENT, SENT, st.binary(max_size=300))
def test_any_noise_between_frames_costs_none(first: Frame, second: Frame, noise: bytes) -> None:
    found = Receiver().feed(wire(first) + noise + b"\0" + wire(second))
    assert found == [first, second]


@given(SENT)
def test_a_frame_is_never_longer_than_line_bytes_and_has_one_zero(frame: Frame) -> None:
    encoded = wire(frame)
    assert len(encoded) <= line_bytes(len(frame.payload))
    assert encoded.count(0) == 1


@pytest.mark.parametrize("payload", [b"", b"\0\0\0\0abc", bytes(range(256)), b"\x01" * 600])
def test_no_corrupted_byte_gives_another_frame(payload: bytes) -> None:
    sent, following = Frame(4, 77, payload), Frame(1, 1, b"next")
    good = wire(sent)
    for at in range(len(good)):
        changed = bytearray(good)
        for value in range(256) if at < 12 or at > len(good) - 8 or len(good) < 300 else (0, 1, 2, 254, 255):
            changed[at] = value
            # The next frame ends whatever was left open, and is lost with it at most.
            found = Receiver().feed(bytes(changed) + wire(following) + wire(sent))
            assert found[-1] == sent
            assert all(frame in (sent, following) for frame in found)
            assert found.count(sent) == 1 + (value == good[at])


@pytest.mark.parametrize("payload", [b"", b"\0\0\0\0abc", bytes(range(256)), b"\x01" * 600])
def test_no_lost_or_doubled_byte_gives_another_frame(payload: bytes) -> None:
    sent, following = Frame(4, 77, payload), Frame(1, 1, b"next")
    good = wire(sent)
    for at in range(len(good)):
        for changed in (good[:at] + good[at + 1 :], good[: at + 1] + good[at:]):
            for frame in Receiver().feed(changed + wire(following) + wire(following)):
                assert frame in (sent, following)


@given(st.binary(max_size=2000))
def test_noise_is_no_frame(noise: bytes) -> None:
    for block in noise.split(b"\0"):
        found = decode(block)
        if isinstance(found, Frame):  # one in 2^32: then at least it is right
            data = bytes((found.kind, found.sequence)) + found.payload
            assert zlib.crc32(data) >= 0
            assert len(data) < len(block)


def test_a_line_without_zeros_takes_no_memory() -> None:
    receiver = Receiver(max_payload=128)
    for _ in range(200):
        assert receiver.feed(b"\x55" * 10_000) == []
        assert len(receiver._partial) <= line_bytes(128)
    assert receiver.feed(b"\0") == []
    assert receiver.dropped == {"too long": 1}
    assert receiver.feed(encode(2, 3, bytes(128))) == [Frame(2, 3, bytes(128))]


def test_kind_and_sequence_must_fit_a_byte() -> None:
    with pytest.raises(ValueError, match="within 0 and 255"):
        encode(1, 256)
