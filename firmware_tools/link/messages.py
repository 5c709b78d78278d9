"""The requests and answers of the wire (PROTOCOL.md): one frozen dataclass each.

A request packs itself and parses the payload that answers it. Sizes are bytes, ticks what HELLO's tick unit says.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Generic, Literal, TypeVar

from firmware_tools.errors import ProtocolError

VERSION = 1
ANSWER = 0x80
TEXT = 0x7F
FIRST_MAX_PAYLOAD = 128  # before HELLO says more
NO_SLOT = 0xFF
FLASH = "flash this version's runtime onto the board: edgenas flash --board BOARD"  # the next step
SHA256_BYTES = 32
KERNELS = ("portable", "DSP")
FAULTS = ("none", "hard fault", "watchdog", "refused plan")
SLOT_STATES = ("empty", "partial", "valid", "damaged")
_FLASH_PATIENCE_S = 60.0  # erasing a slot of old and large sectors takes the most of it
_RUN_PATIENCE_S = 60.0

TickUnit = Literal["cycles", "instructions"]
A = TypeVar("A")


class Kind(IntEnum):
    """What a request asks for; the answer's kind is this + 0x80."""

    HELLO = 0x01
    STATUS = 0x02
    BEGIN = 0x03
    WRITE = 0x04
    VERIFY = 0x05
    DISCARD = 0x06
    COMMIT = 0x07
    ROLLBACK = 0x08
    SELECT = 0x09
    INPUT = 0x0A
    RUN = 0x0B
    PROFILE = 0x0C
    OUTPUT = 0x0D
    MEMORY = 0x0E
    FAULT = 0x0F
    RESET = 0x10


def name_of(kind: int) -> str:
    """A request's name for a message to the user."""
    return Kind(kind).name if kind in Kind.__members__.values() else f"message 0x{kind:02X}"


class Request(ABC, Generic[A]):
    """What the host asks; `A` is what the answer means. `patience_s` is how long a healthy board may take."""

    kind: ClassVar[Kind]
    patience_s: ClassVar[float] = 5.0

    def pack(self) -> bytes:
        """The request's payload."""
        return b""

    @abstractmethod
    def parse(self, body: bytes) -> A:
        """The meaning of an OK answer's payload behind the status. Raises ProtocolError if it is too short."""


class _Done(Request[None]):
    def parse(self, body: bytes) -> None:
        """Nothing follows the status."""


class Fields:
    """Reads an answer from its beginning; what newer firmware adds at the end stays unread."""

    def __init__(self, kind: int, body: bytes) -> None:
        self._kind, self._body, self._at = kind, body, 0

    def take(self, code: str) -> tuple[int, ...]:
        """The next numbers, by a struct format without byte order."""
        size = struct.calcsize("<" + code)
        return struct.unpack("<" + code, self.block(size))

    def number(self, code: str) -> int:
        """The next number."""
        return self.take(code)[0]

    def block(self, size: int) -> bytes:
        """The next bytes."""
        found = self._body[self._at : self._at + size]
        if len(found) < size:
            raise ProtocolError(
                f"the answer to {name_of(self._kind)} has {len(self._body)} bytes, at least {self._at + size} are"
                f" needed: {FLASH}",
                kind=self._kind,
                bytes=len(self._body),
            )
        self._at += size
        return found

    def text(self) -> str:
        """A length byte and UTF-8."""
        return self.block(self.number("B")).decode("utf-8", "replace")


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
        """Raises ProtocolError for a window or payload that no firmware has."""
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
            slots=slots,
            ticks_per_s=ticks_per_s,
            arena_bytes=arena_bytes,
            slot_bytes=slot_bytes,
            unique_id=fields.block(16),
            board=fields.text(),
            firmware=fields.text(),
            input_bytes=fields.number("I"),
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
        """Raises ProtocolError if it is too short."""
        fields = Fields(self.kind, body)
        active, previous, staged = (None if slot == NO_SLOT else slot for slot in fields.take("BBB"))
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
        """Raises ProtocolError if it is too short."""
        return SelectAnswer(*Fields(self.kind, body).take("IIII"))


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
        """Raises ProtocolError if it is too short."""
        return RunAnswer(*Fields(self.kind, body).take("QQQ"))


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


def word_of(words: tuple[str, ...], number: int) -> str:
    """The number's word; newer firmware may know more."""
    return words[number] if number < len(words) else f"unknown ({number})"
