# SPDX-License-Identifier: Apache-2.0
"""Small plans whose bytes a test can reach by name, and the engine as a program that eats spoilt ones."""

from __future__ import annotations

import runpy
import struct
import subprocess
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import firmware_tools

FIRMWARE = Path(firmware_tools.__file__).parent / "firmware"
HEADER_BYTES = 64

_WINDOW = "in_h:H in_w:H in_c:H out_h:H out_w:H out_c:H kernel_h:B kernel_w:B stride_h:B stride_w:B"
_WINDOW += " pad_top:B pad_left:B in_zero_point:b unused:B"
_REQUANT = "bias:I multiplier:I shift:I zero_point:b low:b high:b fast:B"
_PLACES = "kind:H bytes:H in:I out:I scratch:I weights:I"
_BINARY = "kind:H bytes:H in1:I in2:I out:I count:I period:I multiplier1:i multiplier2:i multiplier:i"
_BINARY += " shift1:b shift2:b shift:b zero_point1:b zero_point2:b zero_point:b low:b high:b constant:B"
_LAYOUTS = {
    "header": "magic:I version:H packing:H plan_bytes:I crc32:I arena_bytes:I op_count:I ops:I ops_bytes:I input:I"
    " input_bytes:I input_zero_point:i input_scale:I output:I output_bytes:I output_zero_point:i output_scale:I",
    "conv": f"{_PLACES} {_WINDOW} {_REQUANT}",
    "pointwise": f"{_PLACES} {_WINDOW} {_REQUANT}",
    "dense": f"{_PLACES} inputs:I outputs:I {_REQUANT}",
    "depthwise": f"{_PLACES} {_WINDOW} {_REQUANT} strip:I",
    "multiplied": f"{_PLACES} {_WINDOW} {_REQUANT} strip:I",
    "add": _BINARY,
    "bias": _BINARY,
    "mul": _BINARY,
    "scale": _BINARY,
    "average": f"kind:H bytes:H in:I out:I {_WINDOW} low:b high:b",
    "max": f"kind:H bytes:H in:I out:I {_WINDOW} low:b high:b",
    "mean": "kind:H bytes:H in:I out:I count:I channels:I multiplier:i bias:i shift:b zero_point:b",
    "copy": "kind:H bytes:H in:I out:I rows:I row_bytes:I in_stride:I out_stride:I",
    "fill": "kind:H bytes:H out:I count:I value:b",
    "lut": "kind:H bytes:H in:I out:I count:I table:I",
    "softmax": "kind:H bytes:H in:I out:I rows:I depth:I table:I",
}

_module: dict[str, Any] = runpy.run_path(str(FIRMWARE / "fuzz" / "seeds.py"))
SEEDS: dict[str, bytes] = _module["seeds"]()


def fields(record: str) -> dict[str, tuple[int, str]]:
    """Offset in the plan and struct format of every field of the header, or of a seed's one operator."""
    found, at = {}, 0 if record == "header" else HEADER_BYTES
    for part in _LAYOUTS[record].split():
        name, code = part.split(":")
        found[name] = (at, "<" + code)
        at += struct.calcsize(code)
    return found


def get(plan: bytes, record: str, field: str) -> int:
    offset, code = fields(record)[field]
    return int(struct.unpack_from(code, plan, offset)[0])


def put(plan: bytes, record: str, **values: int) -> bytes:
    """The plan with other values in some fields and, unless crc32 is one of them, the right CRC-32."""
    spoilt = bytearray(plan)
    for field, value in values.items():
        offset, code = fields(record)[field]
        struct.pack_into(code, spoilt, offset, value)
    return bytes(spoilt) if "crc32" in values else signed(bytes(spoilt))


def put_table(plan: bytes, at: int, code: str, value: int) -> bytes:
    """The plan with one other number at a plan offset."""
    spoilt = bytearray(plan)
    struct.pack_into(code, spoilt, at, value)
    return signed(bytes(spoilt))


def signed(plan: bytes) -> bytes:
    """The plan with its CRC-32."""
    return plan[:12] + struct.pack("<I", zlib.crc32(plan[16:])) + plan[16:]


def many_pages(tables: int = 40, seed: int = 0) -> bytes:
    """A plan of about 276 bytes a table: lut after lut, so that every byte of it decides the output."""
    records = b"".join(struct.pack("<HHIIII", 11, 20, 0, 0, 256, 64 + 20 * tables + 256 * i) for i in range(tables))
    odd = [2 * (i + seed) + 1 for i in range(tables)]  # each table is a permutation
    body = struct.pack("<IIII", 256, tables, 64, 20 * tables) + struct.pack("<IIif", 0, 256, 0, 1.0) * 2 + records
    body += b"".join(bytes((value * factor + factor) % 256 for value in range(256)) for factor in odd)
    return signed(struct.pack("<IHHII", 0x4E4C5045, 1, 1, 16 + len(body), 0) + body)


def build_eater(compiler: str, folder: Path) -> Path:
    """The fuzzers' harness without a fuzzer: a program that loads, and if it can runs, every file that it is given."""
    main = folder / "main.c"
    main.write_text(
        "#include <stdint.h>\n#include <stdio.h>\nint LLVMFuzzerTestOneInput(const uint8_t *, size_t);\n"
        "int main(int n, char **names) {\n"
        "    static uint8_t bytes[1 << 16];\n"
        "    for (int i = 1; i < n; i++) {\n"
        '        FILE *file = fopen(names[i], "rb");\n'
        "        size_t size = fread(bytes, 1, sizeof bytes, file);\n"
        "        fclose(file);\n"
        '        fprintf(stderr, "%s\\n", names[i]);\n'
        "        LLVMFuzzerTestOneInput(bytes, size);\n    }\n}\n"
    )
    program = folder / "eater"
    flags = ["-std=c11", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-Wno-unused-result"]
    sources = [main, FIRMWARE / "fuzz" / "run.c", *sorted((FIRMWARE / "engine").rglob("*.c"))]
    command = [compiler, *flags, f"-I{FIRMWARE / 'engine'}", "-o", str(program), *map(str, sources)]
    subprocess.run(command, check=True)
    return program


def eat(program: Path, plans: Iterable[bytes], folder: Path) -> None:
    """Load and run each plan under the sanitizers; fail with the name of the first that they complain of."""
    names = []
    for number, plan in enumerate(plans):
        names.append(folder / f"{number}.plan")
        names[-1].write_bytes(plan)
    for first in range(0, len(names), 500):
        batch = [program, *names[first : first + 500]]
        done = subprocess.run(batch, capture_output=True, text=True, errors="replace", check=False)
        assert done.returncode == 0, done.stderr[-3000:]
