# SPDX-License-Identifier: Apache-2.0
"""The requests and answers of the wire (PROTOCOL.md): one frozen dataclass each.

A request packs itself and parses the payload that answers it. Sizes are bytes, ticks what HELLO's tick unit says.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar, Literal

from firmware_tools.errors import ProtocolError
from firmware_tools.link.wire import FIRST_MAX_PAYLOAD, FLASH, NO_SLOT, VERSION, Fields, Kind, Request, word_of

MAX_MEMORY_BYTES = 1 << 30  # of an arena or a slot
MAX_TENSOR_BYTES = 64 << 20  # of a model's input or output
MAX_OPERATORS = 1 << 16
MAX_TICKS = 1 << 52  # of one inference: a month at 1.6 GHz
MAX_SLOTS = 2
SHA256_BYTES = 32
KERNELS = ("portable", "DSP")
FAULTS = ("none", "hard fault", "watchdog", "refused plan")
SLOT_STATES = ("empty", "partial", "valid", "damaged")
_FLASH_PATIENCE_S = 60.0  # erasing a slot of old and large sectors takes the most of it
_RUN_PATIENCE_S = 60.0

TickUnit = Literal["cycles", "instructions"]


class _Done(Request[None]):
    def parse(self, body: bytes) -> None:
        """Nothing follows the status."""


@dataclass(frozen=True)
class HelloAnswer:
    """What a board is. `window` frames of up to `max_payload` bytes may be under way to it; 0 ticks_per_s: unknown.

    A model fits whose plan, arena and input are at most `slot_bytes`, `arena_bytes` and `input_bytes`.
    """

    lowest: int
    highest: int
    plan_version: int
    packing: int
    kernels: str
    tick_unit: TickUnit
    max_payload: int
    window: int
    slots: int
    ticks_per_s: int
    arena_bytes: int
    slot_bytes: int
    unique_id: bytes
    board: str
    firmware: str
    input_bytes: int


@dataclass(frozen=True)
class Hello(Request[HelloAnswer]):
    """Who are you? With the range of protocol versions that this host speaks."""

    kind: ClassVar = Kind.HELLO
    lowest: int = VERSION
    highest: int = VERSION

    def pack(self) -> bytes:
        """Two bytes."""
        return struct.pack("<BB", self.lowest, self.highest)

    def parse(self, body: bytes) -> HelloAnswer:
        """Raises ProtocolError for a window, payload or memory that no firmware has."""
        fields = Fields(self.kind, body)
        lowest, highest, plan, packing, kernels, unit, max_payload, window, slots = fields.take("BBHHBBHBB")
        ticks_per_s, arena_bytes, slot_bytes = fields.take("III")
        answer = HelloAnswer(
            lowest=lowest,
            highest=highest,
            plan_version=plan,
            packing=packing,
            kernels=word_of(KERNELS, kernels),
            tick_unit="instructions" if unit == 1 else "cycles",
            max_payload=max_payload,
            window=window,
            slots=fields.within("slots", slots, 1, MAX_SLOTS),
            ticks_per_s=ticks_per_s,
            arena_bytes=fields.within("arena", arena_bytes, 0, MAX_MEMORY_BYTES),
            slot_bytes=fields.within("slot", slot_bytes, 0, MAX_MEMORY_BYTES),
            unique_id=fields.block(16),
            board=fields.text(),
            firmware=fields.text(),
            input_bytes=fields.within("input", fields.number("I"), 0, MAX_TENSOR_BYTES),
        )
        if answer.max_payload < FIRST_MAX_PAYLOAD or answer.window < 1:
            raise ProtocolError(
                f"HELLO says max_payload {max_payload} and window {window}, at least {FIRST_MAX_PAYLOAD} and 1 are"
                f" needed: {FLASH}",
                max_payload=max_payload,
                window=window,
            )
        return answer


@dataclass(frozen=True)
class SlotAnswer:
    """One slot: `state` is one of SLOT_STATES; `size` and `sha256` are what BEGIN announced."""

    state: str
    size: int
    sha256: bytes


@dataclass(frozen=True)
class StatusAnswer:
    """Which slots are what (None: none), and what was counted; `tries` is left to the staged model."""

    active: int | None
    previous: int | None
    staged: int | None
    tries: int
    commits: int
    rollbacks: int
    resets: int
    dropped_frames: int
    slots: tuple[SlotAnswer, ...]


@dataclass(frozen=True)
class Status(Request[StatusAnswer]):
    """What do your slots hold? `slots` is HELLO's."""

    kind: ClassVar = Kind.STATUS
    patience_s: ClassVar = _FLASH_PATIENCE_S  # it hashes the slots
    slots: int = 2

    def parse(self, body: bytes) -> StatusAnswer:
        """Raises ProtocolError if it is too short, or speaks of a slot that is not there."""
        fields = Fields(self.kind, body)
        active, previous, staged = (
            None if slot == NO_SLOT else fields.within("slot", slot, 0, self.slots - 1) for slot in fields.take("BBB")
        )
        tries, commits, rollbacks, resets, dropped = fields.take("BIIII")
        slots = []
        for _ in range(self.slots):
            state, size = fields.take("BI")
            slots.append(SlotAnswer(word_of(SLOT_STATES, state), size, fields.block(SHA256_BYTES)))
        return StatusAnswer(active, previous, staged, tries, commits, rollbacks, resets, dropped, tuple(slots))


@dataclass(frozen=True)
class Begin(Request[int]):
    """A plan of so many bytes is to come; the answer is the offset to go on from."""

    kind: ClassVar = Kind.BEGIN
    patience_s: ClassVar = _FLASH_PATIENCE_S
    size: int
    sha256: bytes

    def pack(self) -> bytes:
        """Size and hash."""
        return struct.pack("<I32s", self.size, self.sha256)

    def parse(self, body: bytes) -> int:
        """Raises ProtocolError if it is too short."""
        return Fields(self.kind, body).number("I")


@dataclass(frozen=True)
class Write(Request[int]):
    """A piece of the plan; the answer is the next offset that the board expects."""

    kind: ClassVar = Kind.WRITE
    offset: int
    data: bytes

    def pack(self) -> bytes:
        """Offset and data."""
        return struct.pack("<I", self.offset) + self.data

    def parse(self, body: bytes) -> int:
        """Raises ProtocolError if it is too short."""
        return Fields(self.kind, body).number("I")


@dataclass(frozen=True)
class Verify(_Done):
    """Check the transferred plan and stage it. Raises TransferError, PlanError, NothingStagedError."""

    kind: ClassVar = Kind.VERIFY
    patience_s: ClassVar = _FLASH_PATIENCE_S


@dataclass(frozen=True)
class Discard(_Done):
    """Forget the spare slot's model."""

    kind: ClassVar = Kind.DISCARD
    patience_s: ClassVar = _FLASH_PATIENCE_S


@dataclass(frozen=True)
class Commit(_Done):
    """Make the staged model, which must have this hash, the active one. Raises NothingStagedError, TransferError."""

    kind: ClassVar = Kind.COMMIT
    patience_s: ClassVar = _FLASH_PATIENCE_S
    sha256: bytes

    def pack(self) -> bytes:
        """The hash."""
        return struct.pack("<32s", self.sha256)


@dataclass(frozen=True)
class Rollback(_Done):
    """Make the previous model the active one. Raises NothingToRollBackError."""

    kind: ClassVar = Kind.ROLLBACK
    patience_s: ClassVar = _FLASH_PATIENCE_S


@dataclass(frozen=True)
class SelectAnswer:
    """The selected model's sizes."""

    input_bytes: int
    output_bytes: int
    arena_bytes: int
    operators: int


@dataclass(frozen=True)
class Select(Request[SelectAnswer]):
    """Which model INPUT, RUN, PROFILE, OUTPUT and MEMORY are about."""

    kind: ClassVar = Kind.SELECT
    patience_s: ClassVar = _FLASH_PATIENCE_S  # it hashes and loads the plan
    staged: bool

    def pack(self) -> bytes:
        """0 active, 1 staged."""
        return struct.pack("<B", self.staged)

    def parse(self, body: bytes) -> SelectAnswer:
        """Raises ProtocolError if it is too short, or for sizes that no model has."""
        fields = Fields(self.kind, body)
        input_bytes, output_bytes, arena_bytes, operators = fields.take("IIII")
        return SelectAnswer(
            fields.within("input", input_bytes, 1, MAX_TENSOR_BYTES),
            fields.within("output", output_bytes, 1, MAX_TENSOR_BYTES),
            fields.within("arena", arena_bytes, 0, MAX_MEMORY_BYTES),
            fields.within("operators", operators, 1, MAX_OPERATORS),
        )


@dataclass(frozen=True)
class Input(_Done):
    """A piece of the selected model's input."""

    kind: ClassVar = Kind.INPUT
    offset: int
    data: bytes

    def pack(self) -> bytes:
        """Offset and data."""
        return struct.pack("<I", self.offset) + self.data


@dataclass(frozen=True)
class RunAnswer:
    """Ticks of one inference, over the inferences of a RUN."""

    minimum: int
    median: int
    maximum: int


@dataclass(frozen=True)
class Run(Request[RunAnswer]):
    """Run the selected model so many times, 1 to 65535. Raises InferenceError."""

    kind: ClassVar = Kind.RUN
    patience_s: ClassVar = _RUN_PATIENCE_S
    times: int = 1

    def pack(self) -> bytes:
        """The number."""
        return struct.pack("<H", self.times)

    def parse(self, body: bytes) -> RunAnswer:
        """Raises ProtocolError if it is too short, or for an inference that takes nothing or for ever."""
        fields = Fields(self.kind, body)
        minimum, median, maximum = fields.take("QQQ")
        fields.within("maximum", maximum, 1, MAX_TICKS)
        fields.within("median", median, 1, maximum)
        return RunAnswer(fields.within("minimum", minimum, 1, median), median, maximum)


@dataclass(frozen=True)
class Profile(Request[tuple[int, ...]]):
    """Ticks of each operator of one inference, from operator `first` on, as many as fit a frame."""

    kind: ClassVar = Kind.PROFILE
    patience_s: ClassVar = _RUN_PATIENCE_S
    first: int

    def pack(self) -> bytes:
        """The first operator."""
        return struct.pack("<I", self.first)

    def parse(self, body: bytes) -> tuple[int, ...]:
        """Raises ProtocolError if it is too short."""
        fields = Fields(self.kind, body)
        return fields.take(f"{fields.number('H')}I")


@dataclass(frozen=True)
class Output(Request[bytes]):
    """A piece of the last inference's output."""

    kind: ClassVar = Kind.OUTPUT
    offset: int
    length: int

    def pack(self) -> bytes:
        """Offset and length."""
        return struct.pack("<IH", self.offset, self.length)

    def parse(self, body: bytes) -> bytes:
        """Raises ProtocolError if it is shorter than asked for."""
        return Fields(self.kind, body).block(self.length)


@dataclass(frozen=True)
class MemoryAnswer:
    """Bytes that the selected model needs of the arena, and the most that the stack ever had."""

    arena_used: int
    arena_bytes: int
    stack_used: int
    stack_bytes: int


@dataclass(frozen=True)
class Memory(Request[MemoryAnswer]):
    """How much memory is used?"""

    kind: ClassVar = Kind.MEMORY

    def parse(self, body: bytes) -> MemoryAnswer:
        """Raises ProtocolError if it is too short."""
        return MemoryAnswer(*Fields(self.kind, body).take("IIII"))


@dataclass(frozen=True)
class FaultAnswer:
    """The last fault: `fault` is one of FAULTS; registers of the processor at it, 0 where there are none."""

    fault: str
    slot: int | None
    operator: int
    pc: int
    lr: int
    cfsr: int
    address: int


@dataclass(frozen=True)
class Fault(Request[FaultAnswer]):
    """What was the last fault? `clear` forgets it."""

    kind: ClassVar = Kind.FAULT
    clear: bool = False

    def pack(self) -> bytes:
        """1 to clear."""
        return struct.pack("<B", self.clear)

    def parse(self, body: bytes) -> FaultAnswer:
        """Raises ProtocolError if it is too short."""
        fault, slot, *numbers = Fields(self.kind, body).take("BBIIIII")
        return FaultAnswer(word_of(FAULTS, fault), None if slot == NO_SLOT else slot, *numbers)


@dataclass(frozen=True)
class Reset(_Done):
    """Start anew; say HELLO afterwards."""

    kind: ClassVar = Kind.RESET
