"""Every way to fail, as one line on stderr and an exit code.

0 done, 1 error, 2 the command line or a value cannot be used, 3 infeasible or budget missed, 4 device,
130 interrupted (143 by SIGTERM, 129 by SIGHUP).
"""

from __future__ import annotations

import errno
import os
import select
import signal
import sys
import traceback
from contextlib import suppress

INTERRUPTED = "interrupted: run the same command again to go on"
_SEARCH_MODULES = {
    *("PIL", "ai_edge_litert", "ai_edge_quantizer", "flatbuffers", "matplotlib", "mlxtend", "onnx", "onnxscript"),
    *("scipy", "sklearn", "torch"),
}
_FULL = {errno.ENOSPC, errno.EDQUOT}
_FILE_SYSTEM = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG}


def report(error: BaseException, caught: list[int]) -> int:
    """Say what went wrong and return the exit code; `caught` are the signals that came, see `Interrupts`."""
    if caught or isinstance(error, KeyboardInterrupt):
        # Also if another error came out of it: an interrupt inside a module's import can surface as an ImportError.
        return _say(INTERRUPTED, 128 + (caught[0] if caught else signal.SIGINT))
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 0 if error.code is None else _say(str(error.code), 1)
    if (line := _usage(error)) is not None:
        return _say(line, 2)
    if (code := _purpose(error)) is not None:
        return _say(str(error), code)
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in _SEARCH_MODULES:
        return _say(f"this command needs the package {error.name}: pip install 'edgenas[search]'", 1)
    if isinstance(error, BrokenPipeError) and _stdout_is_gone():
        return 1
    if isinstance(error, OSError) and (line := _file_system(error)):
        return _say(line, 1)
    traceback.print_exception(error)
    return _say("this is a fault of edgenas: please report it with the lines above", 1)


def _purpose(error: BaseException) -> int | None:
    """The exit code of an error that was raised on purpose."""
    # Here, not above: the device package is not needed to print a help text.
    from edgenas.errors import EdgenasError
    from firmware_tools.errors import DeviceError

    return error.exit_code if isinstance(error, EdgenasError | DeviceError) else None


def _usage(error: BaseException) -> str | None:
    """What typer says of a command line that it does not understand, and where help is; None for other errors."""
    import typer  # here: whoever waits for the program to start may interrupt it before it is imported

    # typer carries its own copy of click since 0.2x: its UsageError is reached through the public child.
    parsing: type[Exception] = typer.BadParameter.__bases__[0]
    if not isinstance(error, parsing):
        return None
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "edgenas"
    message = " ".join(error.format_message().split()).rstrip(".")  # type: ignore[attr-defined]
    return f"{message[:1].lower()}{message[1:]}; see {path} --help"


def _file_system(error: OSError) -> str | None:
    """A line for what the disk or its permissions refuse; None for what only a fault explains."""
    where = error.filename2 or error.filename
    at = f"{where}: " if where else ""
    if error.errno in _FULL:
        return f"{at}no disk space left: free some, or choose another folder with --runs or EDGENAS_HOME"
    if error.errno in _FILE_SYSTEM and where:
        return f"{at}{error.strerror}: choose another folder, or mend its permissions"
    return None


def _stdout_is_gone() -> bool:
    """Whether nobody reads stdout any more; if so, what is still buffered is thrown away without a word."""
    try:
        handle = sys.stdout.fileno()
        ready = select.poll()
        ready.register(handle, select.POLLOUT)
        if not any(event & (select.POLLERR | select.POLLHUP) for _, event in ready.poll(0)):
            return False
        os.dup2(os.open(os.devnull, os.O_WRONLY), handle)
    except (AttributeError, OSError, ValueError):  # no poll on this system, or stdout is no file
        return False
    return True


def _say(line: str, code: int) -> int:
    with suppress(OSError, ValueError):
        print(f"edgenas: {' '.join(line.split())}", file=sys.stderr, flush=True)
    return code
