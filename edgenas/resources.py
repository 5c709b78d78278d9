"""Where shipped data and the user's folder are; nobody else builds such paths."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from edgenas.errors import EdgenasError, UsageError

_PACKAGE = Path(__file__).resolve().parent


def home() -> Path:
    """The user's folder: `$EDGENAS_HOME`, else `~/.edgenas`. Created when something is written into it."""
    return Path(os.environ.get("EDGENAS_HOME") or Path.home() / ".edgenas").expanduser()


def shipped(name: str) -> Path:
    """The folder of shipped data `name` ("boards", "models"): the wheel's copy, else the checkout's.

    Raises EdgenasError if the installation holds neither.
    """
    for candidate in (_PACKAGE / "_data" / name, _PACKAGE.parent / name):
        if candidate.is_dir():
            return candidate
    raise EdgenasError(f"this installation of edgenas lacks its data folder {name!r}: reinstall edgenas", name=name)


def require_package(name: str) -> None:
    """Raise ModuleNotFoundError if the package is not installed; to find out by importing it may take seconds."""
    if find_spec(name) is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def require_new(path: str | Path, doing: str) -> None:
    """Raise UsageError if the file that is to be written exists; `doing` is the command's verb."""
    if Path(path).exists():
        raise UsageError(f"{path} exists: name another file, or delete it to {doing} again", file=str(path))


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and renamed over `path`, else removed.

    The reader of `path` sees the old content or the new, never a part.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    Path(name).chmod(0o644)  # mkstemp's files are the owner's alone
    part = Path(name)
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
        _sync_folder(path.parent)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as a whole or not at all."""
    with writing(path) as part:
        part.write_text(text, encoding="utf-8")


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` as a whole or not at all."""
    with writing(path) as part:
        part.write_bytes(data)


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":  # other systems cannot open a folder to sync it
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
