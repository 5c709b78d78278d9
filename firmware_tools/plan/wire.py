# SPDX-License-Identifier: Apache-2.0
"""What the records of a plan are made of, and their bytes. Tables are stored behind the records, which say where."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar

from firmware_tools.errors import PlanError

if TYPE_CHECKING:
    from typing_extensions import Self

_WINDOW = struct.Struct("<6H6Bbx")
_REQUANT = struct.Struct("<IIIbbbB")
if (_WINDOW.size, _REQUANT.size) != (20, 16):
    raise AssertionError("en_window or en_requant differ from plan.h")


class Constants:
    """What lies behind the records; every table once, at a multiple of 4."""

    def __init__(self, start: int) -> None:
        self.parts: list[bytes] = []
        self._end = start
        self._offsets: dict[bytes, int] = {}

    def add(self, table: bytes) -> int:
        """The plan offset of a table."""
        if table not in self._offsets:
            self._offsets[table] = self._end
            padded = table + bytes(-len(table) % 4)
            self.parts.append(padded)
            self._end += len(padded)
        return self._offsets[table]


class Reader:
    """Reads the records of a plan, from `at` to `end`. Raises PlanError where the plan is cut off."""

    def __init__(self, blob: bytes, at: int, end: int) -> None:
        self.blob, self.at, self.end = blob, at, end

    def words(self, count: int) -> Sequence[int]:
        """The next uint32."""
        return self.take(struct.Struct(f"<{count}I"))

    def take(self, layout: struct.Struct) -> tuple[int, ...]:
        """The next fields."""
        if self.at + layout.size > min(self.end, len(self.blob)):
            raise PlanError("the plan is damaged: a record is cut off; compile it again")
        values = layout.unpack_from(self.blob, self.at)
        self.at += layout.size
        return values

    def table(self, at: int, size: int) -> bytes:
        """`size` bytes at a plan offset."""
        if at + size > len(self.blob):
            raise PlanError(f"the plan is damaged: {size} bytes at {at} lie outside it; compile it again")
        return self.blob[at : at + size]


@dataclass(frozen=True)
class Requant:
    """en_requant: from accumulators to int8; tables with an entry for each packed channel."""

    bias: bytes  # int32
    multiplier: bytes  # int32
    shift: bytes  # int8
    zero_point: int
    low: int
    high: int
    fast: int

    def pack(self, constants: Constants) -> bytes:
        """Its bytes."""
        tables = (constants.add(table) for table in (self.bias, self.multiplier, self.shift))
        return _REQUANT.pack(*tables, self.zero_point, self.low, self.high, self.fast)

    @classmethod
    def unpack(cls, reader: Reader, channels: int) -> Requant:
        """The next one, of so many packed channels."""
        bias, multiplier, shift, *rest = reader.take(_REQUANT)
        words = reader.table(bias, 4 * channels), reader.table(multiplier, 4 * channels)
        return cls(*words, reader.table(shift, channels), *rest)


@dataclass(frozen=True)
class Window:
    """en_window: sizes, strides and padding of what slides over an input."""

    in_h: int
    in_w: int
    in_c: int
    out_h: int
    out_w: int
    out_c: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    pad_top: int
    pad_left: int
    in_zero_point: int

    @property
    def in_bytes(self) -> int:
        """Of the whole input."""
        return self.in_h * self.in_w * self.in_c

    @property
    def out_bytes(self) -> int:
        """Of the whole output."""
        return self.out_h * self.out_w * self.out_c

    @property
    def taps(self) -> int:
        """Of one channel's kernel."""
        return self.kernel_h * self.kernel_w

    @classmethod
    def unpack(cls, reader: Reader) -> Window:
        """The next one."""
        return cls(*reader.take(_WINDOW))

    def pack(self) -> bytes:
        """Its bytes."""
        return _WINDOW.pack(
            *(self.in_h, self.in_w, self.in_c, self.out_h, self.out_w, self.out_c),
            *(self.kernel_h, self.kernel_w, self.stride_h, self.stride_w, self.pad_top, self.pad_left),
            self.in_zero_point,
        )


@dataclass(frozen=True)
class Operator:
    """What all records have in common: `kind` is the number of plan.h, `label` what people read.

    `layout` is the record behind its en_op if it holds the fields in their order, and nothing else.
    """

    kind: ClassVar[int]
    label: ClassVar[str]
    record_bytes: ClassVar[int]
    layout: ClassVar[struct.Struct]

    def pack(self, constants: Constants) -> bytes:
        """The record behind its en_op."""
        return self.layout.pack(*(getattr(self, field.name) for field in fields(self)))

    @classmethod
    def unpack(cls, reader: Reader) -> Self:
        """The next record behind its en_op, and the tables that it names. Raises PlanError."""
        return cls(*reader.take(cls.layout))
