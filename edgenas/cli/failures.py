# SPDX-License-Identifier: Apache-2.0
"""Every way to fail, as one line on stderr and an exit code.

0 done, 1 error, 2 the command line or a value cannot be used, 3 infeasible or budget missed, 4 device,
130 interrupted (143 by SIGTERM, 129 by SIGHUP).
"""

from __future__ import annotations

import errno
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from edgenas.cli import streams

INTERRUPTED = "interrupted: run the same command again to go on"
_SEARCH_MODULES = {
    *("PIL", "ai_edge_litert", "ai_edge_quantizer", "flatbuffers", "matplotlib", "mlxtend", "onnx", "onnxscript"),
    *("scipy", "sklearn", "torch"),
}
_FILE_SYSTEM = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.EIO,
}


def report(error: BaseException, caught: Sequence[int], arguments: Sequence[str] = ()) -> int:
    """Say what went wrong and return the exit code.

    `caught` are the signals that came (see `Interrupts`), `arguments` what was typed.
    """

    def say(line: str, code: int) -> int:
        from firmware_tools.passwords import without_passwords  # here: see `_purpose`

        return _say(without_passwords(line, arguments), code)

    if caught or isinstance(error, KeyboardInterrupt):
        # Also if another error came out of it: an interrupt inside a module's import can surface as an ImportError.
        return say(INTERRUPTED, 128 + (caught[0] if caught else signal.SIGINT))
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 0 if error.code is None else say(str(error.code), 1)
    if (line := _usage(error, arguments)) is not None:
        return say(line, 2)
    if (code := _purpose(error)) is not None:
        return say(str(error), code)
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in _SEARCH_MODULES:
        return say(f"this command needs the package {error.name}: pip install 'edgenas[search]'", 1)
    if isinstance(error, BrokenPipeError) and streams.reader_is_gone():
        return 1
    if isinstance(error, OSError) and (line := _file_system(error)):
        return say(line, 1)
    traceback.print_exception(error)
    return say("this is a fault of edgenas: please report it with the lines above", 1)


def _purpose(error: BaseException) -> int | None:
    """The exit code of an error that was raised on purpose."""
    # Here, not above: the device package is not needed to print a help text.
    from edgenas.errors import EdgenasError
    from firmware_tools.errors import DeviceError

    return error.exit_code if isinstance(error, EdgenasError | DeviceError) else None


def _usage(error: BaseException, arguments: Sequence[str]) -> str | None:
    """What typer says of a command line that it does not understand, and where help is; None for other errors."""
    import typer  # here: whoever waits for the program to start may interrupt it before it is imported

    # typer carries its own copy of click since 0.2x: its UsageError is reached through the public child.
    parsing: type[Exception] = typer.BadParameter.__bases__[0]
    if not isinstance(error, parsing):
        return None
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "edgenas"
    message = " ".join(error.format_message().split()).rstrip(".")  # type: ignore[attr-defined]
    value = _given(getattr(getattr(error, "param", None), "opts", ()), arguments)
    if value is not None and repr(value) not in message:
        message += f", not {value!r}"
    return f"{message[:1].lower()}{message[1:]}; see {path} --help"


def _given(names: Sequence[str], arguments: Sequence[str]) -> str | None:
    """The value that was typed for an option, which typer does not always repeat."""
    for at, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name in names:
            return value if equals else next(iter(arguments[at + 1 :]), None)
    return None


def _file_system(error: OSError) -> str | None:
    """A line for what the disk or its permissions refuse; None for what only a fault explains."""
    from edgenas.resources import FULL, reason, way_out

    name = error.filename2 or error.filename
    if not isinstance(name, str) or not name:
        if "temporary directory" in str(error):  # Python writes into several to find one
            return "no folder for temporary files can be written: free some disk space, or set TMPDIR to another folder"
        if error.errno in FULL:
            return "no disk space left: free some, or choose another folder with --runs, TMPDIR or EDGENAS_HOME"
        return None
    where = Path(name)
    if error.errno not in FULL | _FILE_SYSTEM and not (error.errno == errno.ENOENT and not where.parent.exists()):
        return None
    return f"{where}: {reason(error)}: {way_out(where, error)}"


def _say(line: str, code: int) -> int:
    with suppress(OSError, ValueError):
        print(f"edgenas: {' '.join(line.split())}", file=sys.stderr, flush=True)
    return code
