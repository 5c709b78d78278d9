# SPDX-License-Identifier: Apache-2.0
"""Whoever prints or asks goes through edgenas.cli.output, which makes text from others plain."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import edgenas
import firmware_tools

_ROOT = Path(edgenas.__file__).parents[1]
# What each of these prints is no text from others, or is JSON, or passes the guarded stderr.
_ALLOWED = {
    "edgenas/cli/output.py",
    "edgenas/cli/streams.py",
    "edgenas/cli/failures.py",  # one line on the guarded stderr: rich is not needed to fail
    "edgenas/cli/interrupts.py",  # a constant
    "edgenas/cli/app.py",  # help and version
    "edgenas/training/worker.py",  # JSON to the program that started it
    "edgenas/conversion/worker.py",
    "firmware_tools/agent/parts/serving.py",  # these two run on boards; confirms a model
    "firmware_tools/agent/parts/worker.py",  # the traceback of what a runtime raised
    "firmware_tools/firmware/size.py",  # these two are the developers'
    "firmware_tools/firmware/make_images.py",
    "firmware_tools/mcu/unicorn_firmware.py",  # a serial line's bytes to the program that started it
}
_CALLS = {"print", "input", "getpass", "Console", "PlainConsole", "secho", "echo", "prompt", "confirm", "breakpoint"}
_STREAMS = {"stdout", "stderr", "__stdout__", "__stderr__"}
_TRACEBACKS = {"print_exception", "print_exc", "print_stack", "print_tb", "print_last"}


def _printing(source: str) -> Iterator[str]:
    """The names by which a module prints or asks."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            called = node.func
            name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
            of = ast.unparse(called)
            if name in _TRACEBACKS or (name in _CALLS and of not in ("console.print", "to.print")):
                yield of
            if of == "os.write" and node.args and ast.unparse(node.args[0]) in ("1", "2"):
                yield "os.write"
        elif isinstance(node, ast.Attribute) and node.attr in _STREAMS and ast.unparse(node.value) == "sys":
            yield ast.unparse(node)


def test_what_counts_as_printing() -> None:
    source = "print(1); sys.stderr.write(2); os.write(1, b''); rich.Console(); typer.echo(3); traceback.print_exc()"
    found = ["print", "sys.stderr", "os.write", "rich.Console", "typer.echo", "traceback.print_exc"]
    assert sorted(_printing(source)) == sorted(found)
    assert list(_printing("to.print(1); console.print(); os.write(file, b''); subprocess.run(stdout=1).stdout")) == []


def test_nothing_is_printed_or_asked_anywhere_else() -> None:
    printing = {}
    for package in (edgenas, firmware_tools):
        assert package.__file__ is not None
        for path in Path(package.__file__).parent.rglob("*.py"):
            if found := set(_printing(path.read_text(encoding="utf-8"))):
                printing[path.relative_to(_ROOT).as_posix()] = found
    assert {name: found for name, found in printing.items() if name not in _ALLOWED} == {}
    assert set(printing) == _ALLOWED, "a name of the list prints no more: take it out"
