# SPDX-License-Identifier: Apache-2.0
"""Where shipped data and the user's folder are; nobody else builds such paths."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

from edgenas.errors import EdgenasError, UsageError
from firmware_tools.agent.parts.folders import folder_fault, trusted_users
from firmware_tools.host_folder import make_private

FULL = {errno.ENOSPC, errno.EDQUOT}
_PACKAGE = Path(__file__).resolve().parent
_MOST_LINKS = 40  # that one path is led through, as Linux has it
_LONGEST_PREFIX = 40  # of a temporary file's name: the whole must not be longer than a file system takes


def home() -> Path:
    """The user's folder, absolute: `$EDGENAS_HOME` if it is set and not empty, else `~/.edgenas`.

    Created, for the user alone, when something is written into it. Raises UsageError, which names EDGENAS_HOME, if
    there cannot be such a folder (a file is there, or nobody knows where `~` is), or if others may change what is in
    it: the converter that is installed there would run what they please.
    """
    try:
        folder = _home()
        is_other = folder.exists() and not folder.is_dir()
    except (OSError, RuntimeError) as error:  # no home folder; a folder on the way that may not be looked into
        raise _unusable_home(getattr(error, "strerror", None) or str(error).rstrip(".")) from error
    if is_other:
        raise _unusable_home("it is no folder")
    if (fault := folder_fault(str(folder))) is not None:
        raise _unusable_home(fault)
    return folder


def _home() -> Path:
    return Path(os.environ.get("EDGENAS_HOME") or "~/.edgenas").expanduser().absolute()


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are not there: the user's own for the user alone, others by the umask.

    Raises OSError.
    """
    with suppress(RuntimeError):  # no home folder
        if (mine := _home()) in (folder.absolute(), *folder.absolute().parents):
            make_private(mine)
    folder.mkdir(parents=True, exist_ok=True)


def writable_home() -> Path:
    """`home()`, made if it is not there.

    Raises UsageError, which names EDGENAS_HOME, if it cannot be written, EdgenasError if its disk is full.
    """
    folder = home()
    try:
        make_folder(folder)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0")
            file.flush()
    except OSError as error:
        if error.errno in FULL:
            raise not_written(folder, error) from error
        raise _unusable_home(reason(error)) from error
    return folder


def _unusable_home(reason: str) -> UsageError:
    value = os.environ.get("EDGENAS_HOME")
    if value:
        message = f"EDGENAS_HOME is {value}, which cannot be used ({reason}): set it to a folder that you can write"
    else:
        message = f"~/.edgenas cannot be used ({reason}): set EDGENAS_HOME to a folder that you can write"
    return UsageError(message, value=value)


def not_written(path: Path, error: OSError) -> EdgenasError:
    """What to raise where the system refuses to write `path`: the file, why, and the way out."""
    return EdgenasError(f"{path} cannot be written ({reason(error)}): {way_out(path, error)}", file=str(path))


def reason(error: OSError) -> str:
    """Why the system refused, in a few words."""
    return "no disk space left" if error.errno in FULL else error.strerror or str(error)


def way_out(path: Path, error: OSError) -> str:
    """What the user can do about a file or folder of theirs that the system refuses to write."""
    step = "free some" if error.errno in FULL else "mend that"
    try:
        in_home = home() in (path.absolute(), *path.absolute().parents)
    except (OSError, UsageError):
        in_home = True
    return f"{step}, or set EDGENAS_HOME to another folder" if in_home else f"{step}, or name another"


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
    """Raise UsageError if the file that is to be written exists; `doing` is the command's verb.

    Raises EdgenasError, before minutes of work, if it is plain that it cannot be written.
    """
    path = Path(path)
    if path.exists():
        raise UsageError(f"{path} exists: name another file, or delete it to {doing} again", file=str(path))
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir():
        raise not_written(path, OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)))
    if not os.access(folder, os.W_OK):
        raise not_written(path, OSError(errno.EACCES, os.strerror(errno.EACCES)))


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and renamed over `path`, else removed.

    The reader of `path` sees the old content or the new, never a part. A new file has the rights that the umask leaves,
    one that is replaced keeps its own, and a symbolic link stays: what it leads to is replaced.
    Raises UsageError if `path` is there and no file, or a link that another user may have put there; OSError that names
    `path` if the system refuses.
    """
    if path.exists() and not path.is_file():  # a rename would replace /dev/null, too
        raise UsageError(f"{path} is there and no file: name another", file=str(path))
    target = _followed(path)
    part = target.with_name(f".{target.name[:_LONGEST_PREFIX]}.{secrets.token_hex(4)}")
    try:
        make_folder(target.parent)
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))  # the system takes the umask off
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        _keep_rights(target, part)
        part.replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        if error.filename is None or str(error.filename) == str(part):
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _followed(path: Path) -> Path:
    """Where the links lead that `path` may be. Raises UsageError for one of another user's where others may write."""
    path = path.absolute()
    for _ in range(_MOST_LINKS):
        if not path.is_symlink():
            return path
        if os.name == "posix" and path.lstat().st_uid not in trusted_users() and path.parent.stat().st_mode & 0o022:
            message = f"{path} is a link of another user's, in a folder that others may write: name another"
            raise UsageError(message, file=str(path))
        path = path.parent / path.readlink()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))


def _keep_rights(old: Path, new: Path) -> None:
    """Let `new` belong to whom `old`, if there is one, belongs, with its mode; what the system forbids stays."""
    if os.name != "posix" or not old.exists():
        return
    was, now = old.stat(), new.stat()
    if (was.st_uid, was.st_gid) != (now.st_uid, now.st_gid):
        with suppress(OSError):
            os.chown(new, was.st_uid, was.st_gid)
    with suppress(OSError):
        new.chmod(stat.S_IMODE(was.st_mode))


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
