#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the engine takes of a microcontroller: flash and stack of each kernel set, into footprint.json.

size.py [--cross PREFIX] [--build FOLDER]. Code is the sum of the objects, all operators included; stack is the deepest
chain of calls below en_load or en_run, the caller's hook left out.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_ENGINE = _HERE / "engine"
_CPUS = {"dsp": "cortex-m4", "portable": "cortex-m3"}
_FLAGS = ("-mthumb", "-mfloat-abi=soft", "-std=c11", "-O2", "-ffreestanding", "-fbuiltin", "-ffunction-sections")
_UNKNOWN_STACK = 40  # bytes of a function of libgcc: all 9 registers that a callee keeps
_ASSEMBLY = re.compile(r"^\s+function (\w+)\n\s+push \{([^}]+)\}\n(?:\s+sub sp, sp, #(\w+))?", re.MULTILINE)
_DEFINED = re.compile(r"^\s+\.equ (\w+), (\d+)", re.MULTILINE)
_NODE = re.compile(r'node: \{ title: "([^"]+)" label: "[^"]*?(?:\\n(\d+) bytes[^"]*)?"')
_EDGE = re.compile(r'edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"')


@dataclass
class Calls:
    """A call graph: stack by function in bytes, and whom it calls. GCC calls what it cannot see __indirect_call."""

    stack: dict[str, int] = field(default_factory=dict)
    callees: dict[str, set[str]] = field(default_factory=dict)

    def add(self, graph: str) -> None:
        """What GCC's -fcallgraph-info=su says of one source file."""
        own = {title: int(stack) for title, stack in _NODE.findall(graph) if stack}
        edges = [(source, target) for source, target in _EDGE.findall(graph)]
        called = {target for _, target in edges}
        # What is called through a pointer is a static function of the same file that nobody calls by its name.
        by_pointer = {title for title in own if ":" in title and title not in called}
        self.stack.update(own)
        for source, target in edges:
            self.callees.setdefault(source, set()).update(by_pointer if target == "__indirect_call" else {target})

    def add_assembly(self, text: str) -> None:
        """What the functions of an assembly file push, and make room for behind it."""
        defined = dict(_DEFINED.findall(text))
        for name, registers, frame in _ASSEMBLY.findall(text):
            self.stack[name] = 4 * _count(registers) + int(defined.get(frame, frame) or 0)

    def depth(self, function: str) -> int:
        """The stack of a function and of the deepest chain below it, in bytes."""
        below = [self.depth(callee) for callee in self.callees.get(function, ())]
        return self.stack.get(function, _UNKNOWN_STACK) + max(below, default=0)


def measure(cross: str, cpu: str, build: Path) -> dict[str, int]:
    """Code and stack of the engine for one processor, in bytes. Raises CalledProcessError if it does not compile."""
    build.mkdir(parents=True, exist_ok=True)
    include = _HERE / "ports" / "include"
    objects, calls = [], Calls()
    for source in _sources():
        object_ = build / f"{source.name}.o"
        command = [f"{cross}gcc", f"-mcpu={cpu}", *_FLAGS, f"-I{_ENGINE}", f"-I{include}", "-fcallgraph-info=su"]
        subprocess.run([*command, "-c", "-o", str(object_), str(source)], check=True)
        objects.append(object_)
        if source.suffix == ".c":
            calls.add(object_.with_suffix(".ci").read_text(encoding="utf-8"))
        else:
            calls.add_assembly(source.read_text(encoding="utf-8"))
    return {"code_bytes": _code_bytes(cross, objects), "stack_bytes": max(map(calls.depth, ("en_load", "en_run")))}


def _count(registers: str) -> int:
    """Of a list such as "r4-r11, lr"."""
    spans = [part.strip().partition("-") for part in registers.split(",")]
    return sum(int(last[1:]) - int(first[1:]) + 1 if last else 1 for first, _, last in spans)


def _sources() -> Iterable[Path]:
    return sorted([*_ENGINE.rglob("*.c"), *_ENGINE.rglob("*.S")])


def _code_bytes(cross: str, objects: Iterable[Path]) -> int:
    command = [f"{cross}size", *map(str, objects)]
    table = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return sum(int(line.split()[0]) + int(line.split()[1]) for line in table.splitlines()[1:])


def main() -> None:
    """Measure both kernel sets, print them and write footprint.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cross", default="arm-none-eabi-")
    parser.add_argument("--build", type=Path, default=Path("build/size"))
    options = parser.parse_args()
    table = {name: measure(options.cross, cpu, options.build / name) for name, cpu in _CPUS.items()}
    text = ",\n".join(f'  "{name}": {json.dumps(sizes)}' for name, sizes in table.items())
    (_HERE / "footprint.json").write_text(f"{{\n{text}\n}}\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
