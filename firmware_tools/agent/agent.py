"""The edgenas agent: keeps, runs and times TFLite models on the machine that it runs on.

One file, Python 3.7 or newer, standard library only; numpy and a TFLite runtime are imported where models run, in
worker processes. Speaks JSON lines on stdin and stdout as PROTOCOL.md says. Started as `python agent.py --root DIR`;
`--worker` and `--restore` are what it starts itself: a fresh process for every timing, and one that outlives it.
"""

from __future__ import annotations

import argparse
import array
import base64
import errno
import functools
import gc
import glob
import hashlib
import importlib
import importlib.util
import itertools
import json
import math
import os
import platform
import queue
import random
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import traceback
from typing import IO, Any, Callable, Iterator, NoReturn

PROTOCOL = 2
VERSION = "2.1"
# How this file is run: `python -c BOOT agent.py`. Nothing is imported from its folder, which holds what hosts sent, nor
# from the working folder. The host has the same words.
BOOT = "import sys; sys.path[:] = filter(None, sys.path); del sys.argv[0]; __file__ = sys.argv[0]; "
BOOT += "exec(compile(open(__file__, 'rb').read(), __file__, 'exec'))"
# Name, package: in order of preference.
RUNTIMES = (("litert", "ai_edge_litert"), ("tflite", "tflite_runtime"), ("tensorflow", "tensorflow"))
TENSORRT = "tensorrt"  # not a package: NVIDIA's program trtexec; after the others, as it takes ONNX and no .tflite
ENGINES_KEPT = 32
TYPED = 11  # TensorRT from this version on: the types of the ONNX model hold, options for others are refused
TRTEXEC_S = 20.0  # for its help: a cold start reads its libraries, a gigabyte, from a memory card
MAX_LINE = 8 << 20  # a request; put's chunks are far below
LOG_BYTES = 256 << 10  # the log is started anew above this
GOVERNOR = "governor.json"  # what was set before --set-governor, while that is in force
BOOT_ID = "/proc/sys/kernel/random/boot_id"
TRIES = 3  # boots after which a model that no host has confirmed gives way to the previous one
LOCK_WAIT_S = 2.0  # the agent of a host that was just killed needs a moment to end
SHUFFLE_SEED = 20240229
MIN_INVOCATIONS = 30
CPUS = "/sys/devices/system/cpu"
FAST = 0.9  # of the fastest core: cores of one kind differ by less, the little ones of big.LITTLE by far more
# A run is marked above (or below) these. The 10th percentile of an inference that is short against a time slice (about
# 3 ms) withstands more, that of a long one does not.
WAITED = 0.1  # share of the timed seconds in which the worker could not run
OTHERS = 0.25  # share of the whole processor that other programs used: one core of four
SLOWED = 0.9  # of the highest clock of the same request
SLOW_PACE = 1.25  # times the quickest pace since the agent began; where nothing disturbs it varies by a tenth
SLICES = 5  # of a run, each with the pace before and after it
BESIDE_NS = 20_000_000  # of a slice beside the reference, of any run: how long one is shows in how quick its calls are
DECIDES = {"min": 0.0, "p10": 0.0, "p50": 0.5, "p95": 1.0, "max": 1.0}  # whose pace is a statistic's: 0 the quietest
PATIENCE = 3  # times as long a run goes on at most, for slices at the quickest pace
COOL_S = 5.0  # how long a throttled or disturbed device may recover before a repetition, if the last run took as long
TOOL_S = 3.0  # how long a program of the board's may take to answer
# Where programs of boards are that a login without a terminal does not find.
TOOL_PATHS = ("/usr/sbin", "/sbin", "/opt/vc/bin", "/usr/src/tensorrt/bin")
THROTTLED_BITS = ("under-voltage", "clock capped", "throttled", "soft temperature limit")  # of vcgencmd get_throttled
NO_SPACE = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG)


class Refusal(Exception):  # noqa: N818  an answer, not a fault
    """An answer of the kind "error"."""

    def __init__(self, kind: str, message: str, **fields: object) -> None:
        super().__init__(message)
        self.answer = dict(fields, kind=kind, message=message)


def main() -> NoReturn:
    """Serve until stdin ends, or do one worker's job; ends the process."""
    parser = argparse.ArgumentParser(description="edgenas agent: JSON lines on stdin and stdout")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--root", help="the folder that holds the slots; made if it is not there")
    what.add_argument("--worker", action="store_true", help="run one timing job from stdin")
    what.add_argument("--restore", action="store_true", help="put files back when stdin ends")
    silence = "end when the host has been silent for so many seconds; 0: wait for the end of stdin"
    parser.add_argument("--silence-s", type=float, default=0.0, help=silence)
    options = parser.parse_args()
    # An interrupt at the host's terminal is the host's to handle: it then closes our stdin.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Runtimes print to stdout from C; only protocol lines may get there, so everything else goes to stderr.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    set_umask()
    if options.worker:
        work(answers)
    if options.restore:
        restore(answers)
    status = Agent(os.path.abspath(options.root), answers, options.silence_s).serve()
    os._exit(status)  # the thread that reads stdin may still block in it, and an orderly end would wait for it


# ---------------------------------------------------------------------------------------------------------- files


def sync_folder(path: str) -> None:
    """Make renames within `path` last through a power cut."""
    if os.name != "posix":  # other systems cannot open a folder
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def remove(path: str) -> None:
    """Remove the file `path` if it is there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def write_json(path: str, value: object) -> None:
    """Replace `path` as a whole; on an error the old file is as it was and no part of the new one is left."""
    part = path + ".part"
    try:
        with open(part, "w", encoding="utf-8") as file:
            json.dump(value, file, indent=1, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError:
        remove(part)
        raise
    sync_folder(os.path.dirname(path))


def read_json(path: str) -> dict[str, Any]:
    """The object in `path`; {} if there is none that can be read, or it is no file of this user's own."""
    try:
        with open(path, "rb", opener=own_file) as file:
            data = file.read(MAX_LINE + 1)
            value = json.loads(data.decode("utf-8")) if len(data) <= MAX_LINE else None
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def own_file(path: str, flags: int) -> int:
    """For `open`: a regular file of this user's or root's, never what a link leads to; never waits for a named pipe."""
    file = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0), 0o666)
    facts = os.fstat(file)
    if stat.S_ISREG(facts.st_mode) and (os.name != "posix" or facts.st_uid in trusted_users()):
        return file
    os.close(file)
    raise OSError(errno.EPERM, "no file of your own", path)


def sha256_of(path: str) -> str:
    """The sha256 of the bytes on the medium, as far as the system lets us past its cache."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def lock(path: str) -> IO[str]:
    """Take the exclusive lock of the device; the file returned holds it until the process ends."""
    file = open(path, "a+", encoding="utf-8", opener=own_file)
    if not wait_locked(file):
        file.seek(0)
        pid = file.read().strip()
        message = f"process {pid or '(unknown)'} uses the device: wait for it to end, or end it"
        raise Refusal("busy", message, pid=int(pid) if pid.isdigit() else None)
    try:
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
    except OSError:  # a full disk: the lock holds without the pid, and a rollback must still work
        pass
    return file


def wait_locked(file: IO[str]) -> bool:
    """Take the exclusive lock of an open file; False if another process keeps it for LOCK_WAIT_S."""
    deadline = time.monotonic() + LOCK_WAIT_S
    while not _locked(file):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _locked(file: IO[str]) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(1 << 20)  # a byte that no one reads: Windows also locks readers out
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def set_umask() -> None:
    """Let what is made here be for others to read at most: small systems set no umask, some one for a shared group."""
    umask = os.umask(0o077)
    if os.name == "posix" and not umask & 0o020 and not is_private(os.getegid()):
        umask |= 0o020
    os.umask(umask | 0o002)


# -------------------------------------------------------------------------------------------------------- folders
# The host has these functions run on a board before anything in its folder is: they use what is imported here and one
# another, no more (firmware_tools/linux/folder_check.py).


def trusted_users() -> set[int]:
    """This user, root and, for root, who became root by sudo."""
    users = {0, os.geteuid()}
    behind = os.environ.get("SUDO_UID", "") if os.geteuid() == 0 else ""
    return users | {int(behind)} if behind.isdigit() else users


def is_private(gid: int) -> bool:
    """Whether nobody but trusted users is known to be in a group: many systems give each user a group of their own."""
    import grp
    import pwd

    names = set()
    for user in trusted_users():
        try:
            names.add(pwd.getpwuid(user).pw_name)
        except KeyError:  # an account of a container
            pass
    try:
        group = grp.getgrgid(gid)
        # A directory service does not tell who has a group as their first one: another name than the user's says that
        # it is meant for several. Those below 100 are the system's own (staff of Debian's /usr/local).
        if gid != 0 and ((gid >= 100 and group.gr_name not in names) or not names.issuperset(group.gr_mem)):
            return False
    except KeyError:
        pass
    return gid == 0 or not any(group == gid and user not in trusted_users() for group, user in first_groups())


@functools.lru_cache(maxsize=None)
def first_groups() -> frozenset[tuple[int, int]]:
    """The (group, user) of all accounts, of which a network may have many."""
    import pwd

    return frozenset((one.pw_gid, one.pw_uid) for one in pwd.getpwall())


def keeps_modes(folder: str) -> bool:
    """Whether the file system of `folder` says who may write: that of a Windows disk shows one mode for all."""
    probe = os.path.join(folder, ".edgenas-%d-%s" % (os.getpid(), os.urandom(4).hex()))
    try:
        os.mkdir(probe, 0o700)
    except OSError:
        return True
    try:
        return not os.lstat(probe).st_mode & 0o022
    finally:
        os.rmdir(probe)


def way_to(path: str) -> list[str]:
    """The absolute `path` and the folders above it, the topmost first: from the user's home, if it is in there."""
    way = [path]
    homes = {os.path.abspath(os.path.expanduser("~")), os.path.realpath(os.path.expanduser("~"))}
    while way[0] not in homes and os.path.dirname(way[0]) != way[0]:
        way.insert(0, os.path.dirname(way[0]))
    return way


def folder_fault(path: str, team: bool = False) -> str | None:
    """Why others may change what is in the folder `path`, which need not be there yet; None if they may not.

    As OpenSSH's StrictModes: it and the folders above it, up to the user's home, belong to the user or to root, and no
    one else may write them; a group of the user's own may, and all may write a sticky folder (/tmp) above it. What is
    below a folder that the user or root has closed to others is out of their reach whatever its mode. `team`: several
    work there, and what is read back is authenticated, so a group may write, all a sticky folder, and it is anybody's.
    """
    if os.name != "posix":
        return None
    me, trusted = os.geteuid(), trusted_users()
    for name in sorted({os.path.abspath(path), os.path.realpath(path)}):
        fault, shared = None, False  # shared: all may put something beside it, as in /tmp
        for folder in way_to(name):
            try:
                owner, facts = os.lstat(folder).st_uid, os.stat(folder)
            except OSError:  # it is to be made, or the system will say what is wrong with it
                break
            last, mode = folder == name, facts.st_mode
            what = "it" if last else folder
            # Above it, root takes what it is given (a container's working folder), and a container may not know whose
            # a folder is (65534).
            lenient = not shared and (team or ((me == 0 or owner == 65534) and not last))
            for user in (owner, facts.st_uid):
                if user not in trusted and not lenient:
                    fault = fault or "%s belongs to user %d" % (what, user)
            closed = not mode & 0o001 and (not mode & 0o010 or is_private(facts.st_gid))
            if closed and facts.st_uid in trusted:
                break
            writable = mode & 0o002 or (mode & 0o020 and not team and not is_private(facts.st_gid))
            if writable and ((last and not team) or not mode & stat.S_ISVTX) and keeps_modes(folder):
                mend = "chmod -R go-w" if last else "chmod go-w"
                fault = fault or "%s has mode %04o, so others may write: %s" % (what, stat.S_IMODE(mode), mend)
            shared = bool(mode & 0o022)
        if fault is not None:
            return fault
    return None


def require_own(folder: str, root: str) -> None:
    """Refuse a folder in `root`, or that itself, if others may change it: they would choose what runs here."""
    fault = folder_fault(folder)
    if fault is not None:
        if folder != root and fault.startswith("it "):
            fault = folder + fault[2:]
        message = f"{root} cannot be used ({fault}): mend that, or name another folder"
        raise Refusal("folder", message, root=root, reason=fault)


class Store:
    """The device's folder: slots/a and slots/b, `active`, state.json, scratch/.

    The symlink `active` alone decides which slot is active. state.json names the slot that is staged and the one to
    roll back to; a name that equals the active slot's means none. It also names the slot on trial, from `activate`
    until `confirm`; there any name but the active slot's means none. So every order of writes below is safe to cut.
    """

    def __init__(self, root: str, log: Callable[[str], None]) -> None:
        self.root = root
        self._log = log
        self.scratch = os.path.join(root, "scratch")
        self._state_path = os.path.join(root, "state.json")
        for path in (os.path.join(root, "slots", "a"), os.path.join(root, "slots", "b"), self.scratch):
            os.makedirs(path, exist_ok=True)
            require_own(path, root)
        require_own(os.path.join(root, "engines"), root)  # which trtexec runs
        self._count_boot()

    def model(self, slot: str) -> str:
        """The path of the model in `slot`."""
        return os.path.join(self.root, "slots", slot, "model.tflite")

    def _manifest(self, slot: str) -> str:
        return os.path.join(self.root, "slots", slot, "manifest.json")

    def _active(self) -> str | None:
        try:
            target = os.readlink(os.path.join(self.root, "active"))
        except OSError:
            return None
        return {"slots/a": "a", "slots/b": "b"}.get(target.replace(os.sep, "/"))

    def _state(self) -> dict[str, Any]:
        # Every value that cannot be meant counts as none or 0.
        kept = read_json(self._state_path)
        others = [slot for slot in ("a", "b") if slot != self._active()]
        state: dict[str, Any] = {name: kept.get(name) for name in ("previous", "staged", "commits", "rollbacks")}
        state.update((name, None) for name in ("previous", "staged") if state[name] not in others)
        state.update((name, 0) for name in ("commits", "rollbacks") if not isinstance(state[name], int))
        trial = kept["trial"] if isinstance(kept.get("trial"), dict) else {}
        slot, tries = trial.get("slot"), trial.get("tries")
        live = slot is not None and slot == self._active() and isinstance(tries, int)
        state["trial"] = trial if live else None
        return state

    def _save(self, **changes: object) -> None:
        write_json(self._state_path, dict(self._state(), **changes))

    def _slot(self, slot: str | None) -> dict[str, Any] | None:
        if slot is None or not (os.path.exists(self.model(slot)) or os.path.exists(self._manifest(slot))):
            return None
        manifest = read_json(self._manifest(slot))
        sha256 = str(manifest.get("sha256", ""))
        size = manifest["bytes"] if isinstance(manifest.get("bytes"), int) else 0
        onnx = manifest.get("onnx")
        try:
            valid = os.path.getsize(self.model(slot)) == size and sha256_of(self.model(slot)) == sha256
            valid = valid and (onnx is None or sha256_of(onnx_of(self.model(slot))) == onnx["sha256"])
        except (OSError, TypeError, KeyError):
            valid = False
        info = {"slot": slot, "sha256": sha256, "bytes": size, "manifest": manifest}
        return dict(info, active=slot == self._active(), valid=valid)

    def status(self) -> dict[str, Any]:
        """What the slots hold, each model read and compared with its manifest."""
        state = self._state()
        slots = dict(state, active=self._active())
        trial = state["trial"] and {"tries": state["trial"]["tries"]}
        return dict(state, trial=trial, **{name: self._slot(slots[name]) for name in ("active", "previous", "staged")})

    def _blob(self, sha256: str) -> str:
        if not re.fullmatch("[0-9a-f]{64}", sha256):
            raise Refusal("request", f"sha256 {sha256!r} is not 64 lower-case hexadecimal digits")
        return os.path.join(self.scratch, sha256)

    def stored(self, sha256: str) -> str:
        """The path of the bytes that `put` received."""
        path = self._blob(sha256)
        if not os.path.exists(path):
            raise Refusal("request", f"no bytes with sha256 {sha256} were put")
        return path

    def received(self, sha256: str, size: int) -> int:
        """How many of the `size` bytes with that sha256 are here."""
        path = self._blob(sha256)
        if os.path.exists(path):
            return size
        return os.path.getsize(path + ".part") if os.path.exists(path + ".part") else 0

    def announce(self, sha256: str, size: int) -> int:
        """`received`, after looking whether the bytes to come have room.

        A part that is whole, because only its end was not told before the host was cut off, is finished here.
        """
        have = self.received(sha256, size)
        if have >= size and not os.path.exists(self._blob(sha256)):
            try:
                return self.put(sha256, size, have, b"")
            except Refusal:
                have = 0
        if size - have > shutil.disk_usage(self.root).free:
            raise OSError(errno.ENOSPC, f"{size - have} bytes needed")
        return have

    def put(self, sha256: str, size: int, offset: int, data: bytes) -> int:
        """Append `data` at `offset`; how many of the `size` bytes are here now, compared with `sha256` when all are."""
        have = self.received(sha256, size)
        if offset != have:
            raise Refusal("offset", f"offset {offset}, but {have} bytes are here", have=have)
        part = self._blob(sha256) + ".part"
        try:
            with open(part, "ab") as file:
                file.write(data)
        except OSError:
            remove(part)
            raise
        have += len(data)
        if have >= size:
            got = sha256_of(part)
            if got != sha256:
                remove(part)
                raise Refusal("transfer", f"the bytes received have sha256 {got}, not {sha256}", got=got)
            os.replace(part, self._blob(sha256))
        return have

    def stage(self, sha256: str, manifest: dict[str, Any], onnx: str | None = None) -> dict[str, Any]:
        """Move the bytes that were put into the spare slot and read them back from there; `onnx` beside them."""
        source = self.stored(sha256)
        beside = None if onnx is None else self.stored(onnx)
        self.revert("before another model is staged")
        spare = "b" if self._active() == "a" else "a"
        # All that needs space is written before the previous model is given up.
        draft = os.path.join(self.scratch, "manifest.json")
        here = dict(manifest, sha256=sha256, bytes=os.path.getsize(source))
        here.pop("onnx", None)  # the host may have one that it does not send
        if beside is not None:
            here["onnx"] = {"sha256": onnx, "bytes": os.path.getsize(beside)}
        write_json(draft, here)
        for path in filter(None, (source, beside)):
            with open(path, "rb+") as file:
                os.fsync(file.fileno())
        self._save(previous=None, staged=None, trial=None)
        remove(onnx_of(self.model(spare)))
        os.replace(source, self.model(spare))
        if beside is not None:
            os.replace(beside, onnx_of(self.model(spare)))
        os.replace(draft, self._manifest(spare))
        sync_folder(os.path.join(self.root, "slots", spare))
        info = self._slot(spare)
        if info is None or not info["valid"]:
            self._empty(spare)
            raise Refusal("transfer", f"slot {spare} reads back with another sha256 than {sha256}: try again")
        self._save(staged=spare)
        return info

    def staged(self) -> str:
        """The slot that is staged."""
        slot = self._state()["staged"]
        if slot is None:
            raise Refusal("nothing_staged", "no model is staged on the device: stage one first")
        return str(slot)

    def activate(self) -> dict[str, Any]:
        """Make the staged slot the active one, on trial until `confirm`."""
        staged = self.staged()
        info = self._slot(staged)
        if info is None or not info["valid"]:
            raise Refusal("transfer", f"the staged model in slot {staged} differs from its manifest: stage it again")
        trial = {"slot": staged, "boot_id": first_line(BOOT_ID), "tries": 0}
        self._save(previous=self._active(), trial=trial)
        self._activate(staged)
        try:
            self._save(staged=None)
        except OSError:  # a disk that has just become full: what is active counts as not staged anyway
            pass
        return self.status()

    def confirm(self, sha256: str) -> dict[str, Any]:
        """End the trial of the active model, which must be the one that the host means; once more does no harm."""
        slot = self._active()
        active = read_json(self._manifest(slot)).get("sha256") if slot else None
        if active != sha256:
            message = f"the model to confirm, {sha256}, is not the active one, {active}: stage and activate it again"
            raise Refusal("not_active", message, active=active)
        state = self._state()
        if state["trial"] is not None:
            self._save(trial=None, commits=state["commits"] + 1)
        return self.status()

    def rollback(self) -> dict[str, Any]:
        """Make the previous slot the active one again."""
        if self.revert("by a rollback"):
            return self.status()
        state = self._state()
        info = self._slot(state["previous"])
        if info is None or not info["valid"]:
            why = "has no previous model" if info is None else "holds a damaged previous model"
            raise Refusal("nothing_to_roll_back", f"the device {why}: the active model stays")
        self._return_to(info["slot"])
        return self.status()

    def revert(self, why: str) -> bool:
        """Take back an activation that was not confirmed; whether there was one that could be."""
        state = self._state()
        if state["trial"] is None:
            return False
        previous = self._slot(state["previous"])
        if state["previous"] is not None and (previous is None or not previous["valid"]):
            # Two bad choices: the model on trial has at least the bytes that it should have.
            self._log(f"the unconfirmed model stays, the previous one is damaged ({why})")
            self._save(trial=None)
            return False
        self._log(f"the unconfirmed model gives way to the previous one ({why})")
        self._return_to(state["previous"])
        return True

    def _count_boot(self) -> None:
        # An agent that starts in another boot than the activation's is one try of the model on trial.
        trial, boot_id = self._state()["trial"], first_line(BOOT_ID)
        if trial is None or boot_id is None or boot_id == trial.get("boot_id"):
            return
        tries = trial["tries"] + 1
        try:
            if tries < TRIES:
                self._save(trial=dict(trial, boot_id=boot_id, tries=tries))
            else:
                self.revert(f"not confirmed in {tries} boots")
        except OSError as error:  # a full disk must not take the device away
            self._log(f"the unconfirmed model's boot was not counted: {error}")

    def _return_to(self, slot: str | None) -> None:
        # None: there was no model before.
        if read_json(self._state_path).get("staged") is not None:
            # One that a cut activation left behind would come alive with the other slot.
            self._save(staged=None)
        rollbacks = self._state()["rollbacks"] + 1
        if slot is None:
            remove(os.path.join(self.root, "active"))
            sync_folder(self.root)
        else:
            self._activate(slot)
        try:
            self._save(previous=None, trial=None, rollbacks=rollbacks)
        except OSError:  # a full disk must not stop a rollback; what state.json names now means none
            pass

    def discard(self) -> dict[str, Any]:
        """Forget the staged slot."""
        staged = self._state()["staged"]
        self._save(staged=None)
        if staged is not None:
            self._empty(staged)
        return self.status()

    def _activate(self, slot: str) -> None:
        # The one atomic step: the symlink is replaced by a rename.
        fresh = os.path.join(self.root, "active.part")
        remove(fresh)
        os.symlink(os.path.join("slots", slot), fresh)
        os.replace(fresh, os.path.join(self.root, "active"))
        sync_folder(self.root)

    def _empty(self, slot: str) -> None:
        remove(self._manifest(slot))
        remove(self.model(slot))
        remove(onnx_of(self.model(slot)))

    def clear_scratch(self, keep_parts: bool) -> dict[str, Any]:
        """Empty scratch/; partial uploads stay if the host went away and may come back to resume them."""
        for name in os.listdir(self.scratch):
            if not (keep_parts and name.endswith(".part")):
                remove(os.path.join(self.scratch, name))
        return {}


# -------------------------------------------------------------------------------------------------------- machine


def version_of(package: str) -> str:
    """The installed version of `package`, in most cases without importing it."""
    try:
        from importlib import metadata

        return metadata.version(package.replace("_", "-"))
    except ImportError:  # Python 3.7, or a distribution of another name (PackageNotFoundError is an ImportError)
        return str(getattr(importlib.import_module(package), "__version__", "unknown"))


def find_runtimes() -> tuple[list[list[str]], list[str]]:
    """The usable runtimes as [name, version] in order of preference, and why others were passed over."""
    found: list[list[str]] = []
    notes: list[str] = []
    numpy = version_of("numpy") if importlib.util.find_spec("numpy") else "missing"
    for name, package in RUNTIMES:
        if importlib.util.find_spec(package) is None:
            continue
        # Its interpreter raises with numpy 2, which its package does not declare.
        limit = "below 2" if package == "tflite_runtime" else ""
        if numpy == "missing" or (limit and int(numpy.split(".")[0]) >= 2):
            notes.append(f"{package} passed over: it needs numpy {limit}, which is {numpy}")
        else:
            found.append([name, version_of(package)])
    version = tensorrt_version()
    if version is not None:
        found.append([TENSORRT, version])
    return found, notes


def choose_runtime(wanted: str | None) -> list[str]:
    """The [name, version] of the runtime `wanted`, else of the first; the refusal names the pip command that helps."""
    found, notes = find_runtimes()
    for pair in found:
        if wanted in (None, pair[0]):
            return pair
    if wanted == TENSORRT:
        command = "sudo apt-get install tensorrt"
        message = f"no trtexec on PATH or in {TOOL_PATHS[-1]} that says its version: on a Jetson run {command}"
        raise Refusal("runtime", message, runtime=wanted, command=command)
    litert = sys.version_info >= (3, 10) and machine().lower() in ("x86_64", "amd64", "aarch64", "arm64")
    packages = "ai-edge-litert" if litert and wanted != "tflite" else "tflite-runtime 'numpy<2'"
    command = f"{sys.executable} -m pip install {packages}"
    missing = f"runtime {wanted}" if wanted else "TFLite runtime"
    message = f"{sys.executable} has no usable {missing}{''.join(f' ({note})' for note in notes)}: run {command}"
    raise Refusal("runtime", message, runtime=wanted, command=command)


def utc() -> str:
    """Now, as ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def first_line(path: str) -> str | None:
    """The first line of a small file of the system's; None if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.readline().strip("\0\n ")
    except OSError:
        return None


def machine() -> str:
    """The architecture of this Python's programs: a 64-bit kernel may run 32-bit ones, as Raspberry Pi OS does."""
    name = platform.machine()
    if sys.maxsize >> 32:
        return name
    return {"aarch64": "armv7l", "arm64": "armv7l", "armv8l": "armv7l", "x86_64": "i686"}.get(name, name)


def cpu_name() -> str:
    """What the processor calls itself; on ARM boards the board's name, which says more."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            match = re.search(r"^model name\s*:\s*(.+)$", file.read(), re.M)
    except OSError:
        match = None
    return first_line("/proc/device-tree/model") or (match.group(1) if match else "") or platform.processor()


def clock_mhz(cores: list[int] | None) -> float | None:
    """The highest present clock of `cores`; of all if there is none to name."""
    names = ["[0-9]*"] if cores is None else [str(core) for core in cores]
    files = [path for name in names for path in glob.glob(f"{CPUS}/cpu{name}/cpufreq/scaling_cur_freq")]
    clocks = [int(text) / 1000 for text in map(first_line, files) if text and text.isdigit()]
    if not clocks:
        try:
            with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
                clocks = [float(mhz) for mhz in re.findall(r"^cpu MHz\s*:\s*([0-9.]+)$", file.read(), re.M)]
        except OSError:
            return None
    return max(clocks) if clocks else None


def temperature_c() -> float | None:
    """The temperature of the zone that is named after the processor, else of the first one."""
    zones = sorted(glob.glob("/sys/class/thermal/thermal_zone*"))
    zones.sort(key=lambda zone: not re.search("cpu|soc|pkg", (first_line(zone + "/type") or "").lower()))
    for zone in zones:
        text = first_line(zone + "/temp") or ""
        if text.lstrip("-").isdigit():
            return int(text) / 1000
    return None


def load() -> float | None:
    """The 1-minute load average."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def fast_cores(least: int) -> list[int] | None:
    """The cores of the fastest kind that this process may use, more kinds until they are `least`; None: not Linux."""
    if not hasattr(os, "sched_getaffinity"):
        return None

    def speed(core: int, name: str) -> int:
        text = first_line(f"{CPUS}/cpu{core}/{name}") or ""
        return int(text) if text.isdigit() else 0

    allowed = sorted(os.sched_getaffinity(0))
    # Capacity counts the core's design as well; x86 and old kernels only say clocks.
    speeds = {core: speed(core, "cpu_capacity") for core in allowed}
    if len(set(speeds.values())) == 1:
        speeds = {core: speed(core, "cpufreq/cpuinfo_max_freq") for core in allowed}
    chosen: list[int] = []
    while len(chosen) < min(least, len(allowed)):
        rest = [core for core in allowed if core not in chosen]
        fastest = max(speeds[core] for core in rest)
        chosen += [core for core in rest if speeds[core] >= FAST * fastest]
    return sorted(chosen)


def governor_files(cores: list[int] | None) -> list[str]:
    """What sets the governor of `cores`, of all if there are none to name; cores of one clock share one."""
    names = ["[0-9]*"] if cores is None else [str(core) for core in cores]
    paths = [path for name in names for path in glob.glob(f"{CPUS}/cpu{name}/cpufreq/scaling_governor")]
    return sorted({os.path.realpath(path) for path in paths})


def offered_by(path: str) -> list[str]:
    """The governors that the file `path` takes."""
    return (first_line(os.path.join(os.path.dirname(path), "scaling_available_governors")) or "").split()


def governors(cores: list[int] | None) -> list[str]:
    """The governors that this process may set for `cores`."""
    files = [] if cores is None else governor_files(cores)
    if not files or not all(os.access(path, os.W_OK) for path in files):
        return []
    return offered_by(files[0])


def power_setting() -> dict[str, Any]:
    """What one may change of the clock: the governor and the highest clock of the fast cores, and a Jetson's mode."""
    cores = fast_cores(1)
    folder = f"{CPUS}/cpu{cores[0] if cores else 0}/cpufreq"
    # Heat lowers scaling_max_freq for a while, which is no setting.
    clock = first_line(folder + ("/cpuinfo_max_freq" if clock_limited() else "/scaling_max_freq")) or ""
    mode = re.search(r"NV Power Mode:\s*([\w.-]+)", tool(["nvpmodel", "-q"]) or "")
    return {
        "governor": first_line(folder + "/scaling_governor"),
        "max_clock_mhz": int(clock) / 1000 if clock.isdigit() else None,
        "power_mode": mode.group(1) if mode else None,
    }


def start(command: list[str], cwd: str = "/", **options: Any) -> subprocess.Popen[bytes]:
    """Start a process: the only place that does. Not in the working folder, as programs read files from there."""
    return subprocess.Popen(command, cwd=cwd, **options)


def itself(what: str) -> list[str]:
    """The command that runs this file for `what`."""
    return [sys.executable, "-c", BOOT, os.path.abspath(__file__), what]


def program(name: str) -> str | None:
    """The path of a program, which is looked for in absolute folders only; None if it is not there."""
    folders = [*os.environ.get("PATH", os.defpath).split(os.pathsep), *TOOL_PATHS]
    return shutil.which(name, path=os.pathsep.join(filter(os.path.isabs, folders)))


def tool(command: list[str], most_lines: int = 40, limit_s: float = TOOL_S) -> str | None:
    """What a program of the board's prints, on one line; None if it is not there or says nothing within `limit_s`."""
    path = program(command[0])
    if path is None:
        return None
    try:
        # A session of its own, so that a script ends together with what it has started.
        process = start(
            [path, *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return None

    def end() -> None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except OSError:  # it has ended
            pass

    timer = threading.Timer(limit_s, end)
    timer.start()
    assert process.stdout is not None
    with process.stdout:
        lines = [line.decode("utf-8", "replace").strip() for line in itertools.islice(process.stdout, most_lines)]
    end()  # tegrastats goes on for ever; what has ended is still ours, as it was not waited for
    process.wait()
    timer.cancel()
    return "; ".join(line for line in lines if line) or None


def tools() -> dict[str, str]:
    """What the programs that only some boards have say of power and clocks, by their command line."""
    commands = (["vcgencmd", "get_throttled"], ["nvpmodel", "-q"], ["jetson_clocks", "--show"])
    said = {" ".join(command): tool(command) for command in commands}
    said["tegrastats"] = tool(["tegrastats", "--interval", "200"], most_lines=1)
    return {command: text for command, text in said.items() if text}


def clock_limited() -> bool:
    """Whether the kernel limits the processor's clock because of its heat."""
    for device in glob.glob("/sys/class/thermal/cooling_device[0-9]*"):
        kind, state = first_line(device + "/type") or "", first_line(device + "/cur_state") or ""
        if re.search("cpufreq|^Processor$", kind) and state.isdigit() and int(state):
            return True
    return False


def throttling(cores: list[int] | None) -> tuple[list[str], dict[str, int]]:
    """What slows the processor down now, and counts that grow whenever it was."""
    now, counts = [], {}
    found = re.search("0x[0-9a-fA-F]+", tool(["vcgencmd", "get_throttled"]) or "")
    bits = int(found.group(), 16) if found else 0
    for bit, name in enumerate(THROTTLED_BITS):
        counts[name] = bits >> (16 + bit) & 1  # since the board was switched on
        if bits >> bit & 1:
            now.append(name)
    if clock_limited():
        now.append("thermal limit of the clock")
    events = [first_line(f"{CPUS}/cpu{core}/thermal_throttle/core_throttle_count") or "" for core in cores or []]
    counts["throttled by heat"] = sum(int(text) for text in events if text.isdigit())
    return now, counts


def processor_use() -> tuple[float, float] | None:
    """The seconds of all cores together since the start, those in which one worked and all; None: not Linux."""
    times = [int(text) for text in (first_line("/proc/stat") or "").split()[1:9]]
    if len(times) < 5:
        return None
    every = sum(times)
    ticks = os.sysconf("SC_CLK_TCK")
    return (every - times[3] - times[4]) / ticks, every / ticks  # less idle and iowait


class Disturbance:
    """How much other programs were in this process's way, from its making to `shares`."""

    def __init__(self) -> None:
        self._start = self._now()

    @staticmethod
    def _now() -> tuple[int, int, float, tuple[float, float] | None]:
        return time.perf_counter_ns(), time.thread_time_ns(), time.process_time(), processor_use()

    def shares(self, threads: int) -> dict[str, float | None]:
        """`waited`, of the time, where one thread computes all the time; `others`, of the whole processor."""
        (wall, ran, own, use), (wall0, ran0, own0, use0) = self._now(), self._start
        waited, others = None, None
        if threads == 1:
            waited = max(0.0, 1 - (ran - ran0) / (wall - wall0))
        if use is not None and use0 is not None and use[1] > use0[1]:
            others = max(0.0, (use[0] - use0[0] - (own - own0)) / (use[1] - use0[1]))
        return {"waited": waited, "others": others}


def pace_ns() -> int:
    """Nanoseconds of a fixed piece of arithmetic, the least of three.

    It tells what no counter of a virtual machine does: that a core is slower than before, by its clock or because
    others use its second thread. A model then takes up to twice its time, for seconds.
    """
    least = None
    for _ in range(3):
        start = time.perf_counter_ns()
        total = 0
        for number in range(1000):
            total += number * number
        took = time.perf_counter_ns() - start
        least = took if least is None else min(least, took)
    assert least is not None
    return least


def settle(cores: list[int] | None) -> int:
    """Move this thread to that one of `cores` where arithmetic is done soonest; its pace there."""
    if cores is None or len(cores) < 2:
        return pace_ns()

    def soonest(core: int) -> int:
        start = time.perf_counter_ns()
        os.sched_setaffinity(0, [core])  # returns there, after whoever is at work
        pace_ns()
        return time.perf_counter_ns() - start

    os.sched_setaffinity(0, [min(cores, key=soonest)])
    return pace_ns()


def pace_on(cores: list[int] | None) -> int:
    """The pace on the best of `cores` now; this thread stays where it is."""
    if cores is None:
        return pace_ns()
    before = os.sched_getaffinity(0)
    try:
        return settle(cores)
    finally:
        os.sched_setaffinity(0, before)


class Governor:
    """A context in which `cores` have the governor `name`; None changes nothing.

    What was there before comes back at its end, by a process of its own if this one is killed, and if both are, by the
    next agent: `record` is the file that keeps it until then.
    """

    def __init__(self, name: str | None, cores: list[int] | None, record: str) -> None:
        self._name = name
        self._record = record
        self._files = [] if name is None or cores is None else governor_files(cores)
        self._watcher: subprocess.Popen[bytes] | None = None
        self._held: IO[str] | None = None

    def __enter__(self) -> None:
        if self._name is None:
            return
        if not self._files:
            raise Refusal("governor", f"governor {self._name}: the device has no cpufreq governor, leave it out")
        try:
            # Another agent's watcher may just be restoring what that one had set.
            self._held = open(self._files[0], "r+", encoding="ascii")
            if not wait_locked(self._held):
                raise Refusal("governor", "another agent has set the governor: wait for it to end")
            old = {path: first_line(path) or "" for path in self._files}
            write_json(self._record, {"boot_id": first_line(BOOT_ID), "files": old})
            self._watch(self._held.fileno())
            for path in self._files:
                write_text(path, self._name)
        except OSError as error:
            self._restore()
            offered = " ".join(offered_by(self._files[0]))
            message = (
                f"governor {self._name} cannot be set ({error.strerror}; the device offers {offered}): "
                "name another one, connect as root, or leave it out"
            )
            raise Refusal("governor", message, governor=self._name, offered=offered) from error
        except BaseException:
            self._restore()
            raise

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _watch(self, held: int) -> None:
        self._watcher = start(
            itself("--restore"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # what ends the agent's session must not end it
            pass_fds=(held,),  # and with it the lock
        )
        assert self._watcher.stdin is not None
        assert self._watcher.stdout is not None
        self._watcher.stdin.write(json.dumps(self._record).encode() + b"\n")
        self._watcher.stdin.flush()
        if self._watcher.stdout.readline() != b"ready\n":
            raise OSError(errno.ECHILD, "the process that would restore it does not start")

    def _restore(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            assert watcher.stdin is not None
            assert watcher.stdout is not None
            try:
                watcher.stdin.close()
            except OSError:  # it was killed
                pass
            watcher.stdout.close()
            if watcher.wait() != 0:
                put_back(self._record)
        if self._held is not None:
            self._held.close()


def restore(answers: IO[bytes]) -> NoReturn:
    """Read a record's path and, when stdin ends because the agent did, however it did, put back what it keeps."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    record = json.loads(sys.stdin.buffer.readline().decode("utf-8"))
    answers.write(b"ready\n")
    answers.flush()
    sys.stdin.buffer.read()
    os._exit(0 if put_back(record) else 1)


def put_back(record: str) -> bool:
    """Write the settings that `record` keeps and remove it; False, and it stays, if one could not be written.

    It is a file, which somebody may have written: nothing but the governors that there are is set, to one on offer.
    """
    kept = read_json(record)
    done = True
    if kept.get("boot_id") == first_line(BOOT_ID):  # a boot has put everything back by itself
        files = kept["files"] if isinstance(kept.get("files"), dict) else {}
        for path in governor_files(None):
            if files.get(path) not in offered_by(path):
                continue
            try:
                write_text(path, files[path])
            except OSError:
                done = False
    if done:
        remove(record)
    return done


def write_text(path: str, text: str) -> None:
    """Write a setting of the system's."""
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def ram_bytes() -> int | None:
    """The machine's memory."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


# ---------------------------------------------------------------------------------------------------------- agent


def pump(
    stream: IO[bytes],
    lines: queue.Queue[bytes | None],
    at_end: Callable[[], None],
    at_line: Callable[[], None] = lambda: None,
) -> None:
    """Put each line of `stream` into `lines`, b"" for one above MAX_LINE; at its end call `at_end`, then put None.

    Empty lines only say that somebody is there: `at_line` is called as for all others, and they are dropped.
    """
    while True:
        line = stream.readline(MAX_LINE)
        at_line()
        if line == b"\n":
            continue
        if len(line) == MAX_LINE and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = stream.readline(MAX_LINE)
            lines.put(b"")
        elif line.endswith(b"\n"):
            lines.put(line)
        else:  # the end, or a line that was cut by it
            break
    at_end()
    lines.put(None)


def field(request: dict[str, Any], name: str, kind: type | tuple[type, ...]) -> Any:
    """`request[name]` if it is a `kind`; JSON's true and false are no numbers."""
    value = request.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise Refusal("request", f"{request.get('do')} needs a field {name}, got {value!r}")
    return value


class Agent:
    """Answers requests one after the other until stdin ends or `bye`."""

    def __init__(self, root: str, answers: IO[bytes], silence_s: float) -> None:
        self.root = root
        self.answers = answers
        self.silence_s = silence_s
        self.heard = time.monotonic()
        self.id: object = None
        self.worker: subprocess.Popen[bytes] | None = None
        self.pace: float | None = None  # the quickest of all timings
        self.host_gone = threading.Event()
        self.commands: dict[str, Callable[[Store, dict[str, Any]], dict[str, Any]]] = {
            "hello": lambda store, request: hello(store),
            "put": self._put,
            "time": lambda store, request: self._time(
                store, request, [store.stored(str(sha)) for sha in field(request, "models", list)]
            ),
            "stage": lambda store, request: store.stage(
                field(request, "sha256", str), field(request, "manifest", dict), request.get("onnx")
            ),
            "time_operators": self._time_operators,
            "time_staged": lambda store, request: self._time(store, request, [store.model(store.staged())]),
            "infer_staged": self._infer,
            "activate": lambda store, request: store.activate(),
            "confirm": lambda store, request: store.confirm(field(request, "sha256", str)),
            "discard": lambda store, request: store.discard(),
            "rollback": lambda store, request: store.rollback(),
            "status": lambda store, request: store.status(),
            "bye": lambda store, request: store.clear_scratch(keep_parts=False),
        }

    def serve(self) -> int:
        """Answer until the end; the exit status is 1 if the device could not be taken."""
        lines: queue.Queue[bytes | None] = queue.Queue()
        threading.Thread(target=pump, args=(sys.stdin.buffer, lines, self._on_end, self._on_line), daemon=True).start()
        if self.silence_s > 0:
            threading.Thread(target=self._watch, args=(lines,), daemon=True).start()
        store, held = None, None
        try:
            for line in iter(lines.get, None):
                request = self._parse(line)
                if request is None:
                    continue
                try:
                    if store is None:
                        require_own(self.root, self.root)
                        os.makedirs(self.root, exist_ok=True)
                        held = lock(os.path.join(self.root, "lock"))
                        put_back(os.path.join(self.root, GOVERNOR))
                        store = Store(self.root, self._log)
                    self._send(ok=self._do(store, request))
                except BrokenPipeError:
                    raise
                except Exception as error:  # noqa: BLE001  a fault of one command must not take the device away
                    self._send(error=self._failure(error))
                if held is None:
                    return 1
                if request.get("do") == "bye":
                    return 0
        except BrokenPipeError:  # the host is gone: stdin ends as well
            pass
        if store is not None:
            store.clear_scratch(keep_parts=True)
        return 0

    def _on_line(self) -> None:
        self.heard = time.monotonic()

    def _watch(self, lines: queue.Queue[bytes | None]) -> None:
        # A network that goes away closes nothing: the server of the connection would wait for hours.
        while time.monotonic() < self.heard + self.silence_s:
            time.sleep(max(0.0, self.heard + self.silence_s - time.monotonic()))
        self._on_end()
        lines.put(None)

    def _on_end(self) -> None:
        # From the reading thread: the host closed stdin or died, so what runs for it is ended.
        self.host_gone.set()
        worker = self.worker
        if worker is not None:
            worker.kill()

    def _send(self, **answer: object) -> None:
        self.answers.write(json.dumps(dict(answer, id=self.id)).encode() + b"\n")
        self.answers.flush()

    def _parse(self, line: bytes) -> dict[str, Any] | None:
        self.id = None
        try:
            request: dict[str, Any] = json.loads(line.decode("utf-8"))
            self.id = request["id"]
        except (ValueError, TypeError, KeyError, RecursionError):
            message = f"a request is one JSON object with an id, on a line of at most {MAX_LINE} bytes"
            self._send(error={"kind": "request", "message": message, "line": line[:80].decode("utf-8", "replace")})
            return None
        return request

    def _failure(self, error: Exception) -> dict[str, Any]:
        if isinstance(error, Refusal):
            return error.answer
        if isinstance(error, OSError) and error.errno in NO_SPACE:
            free = shutil.disk_usage(self.root).free
            message = f"no space on the device: {error.strerror}, {free} bytes free at {self.root}; free some and retry"
            return {"kind": "full", "message": message, "root": self.root, "reason": error.strerror, "free_bytes": free}
        if isinstance(error, OSError) and self._in_folder(error.filename):
            message = f"{error.filename}: {error.strerror}: the folder {self.root} cannot be used, mend it"
            return {"kind": "folder", "message": message, "root": self.root, "reason": error.strerror}
        return {"kind": "device", "message": f"the device failed: {type(error).__name__}: {error}"}

    def _in_folder(self, path: object) -> bool:
        # Or on the way to it.
        return isinstance(path, str) and (path.startswith(self.root) or self.root.startswith(path.rstrip("/") + "/"))

    def _do(self, store: Store, request: dict[str, Any]) -> dict[str, Any]:
        name = field(request, "do", str)
        if name not in self.commands:
            raise Refusal("request", f"unknown request {name!r}: protocol {PROTOCOL} has {', '.join(self.commands)}")
        if name != "put":  # one model is many of them
            self._log(name)
        return self.commands[name](store, request)

    def _log(self, text: str) -> None:
        path = os.path.join(self.root, "log")
        try:
            mode = "w" if os.path.exists(path) and os.path.getsize(path) > LOG_BYTES else "a"
            with open(path, mode, encoding="utf-8", opener=own_file) as file:
                file.write(f"{utc()} {os.getpid()} {text}\n")
        except OSError:  # a log that cannot be written must not stop a rollback on a full disk
            pass

    def _put(self, store: Store, request: dict[str, Any]) -> dict[str, Any]:
        sha256, size = field(request, "sha256", str), field(request, "bytes", int)
        if size < 1:
            raise Refusal("request", f"put of bytes {size}: at least 1 is needed")
        if "data" not in request:
            return {"have": store.announce(sha256, size)}
        try:
            data = base64.b64decode(field(request, "data", str), validate=True)
        except ValueError:
            raise Refusal("request", "put needs data in base64") from None
        return {"have": store.put(sha256, size, field(request, "offset", int), data)}

    def _time(self, store: Store, request: dict[str, Any], models: list[str]) -> dict[str, Any]:
        runtime, version = choose_runtime(request.get("runtime"))
        processes, threads = field(request, "processes", int), field(request, "threads", int)
        statistic = field(request, "statistic", str) if request.get("statistic") is not None else "p50"
        job = {"do": "time", "runtime": runtime, "models": models, "threads": threads, "statistic": statistic}
        reference = field(request, "reference", str) if request.get("reference") is not None else None
        job["reference"] = None if reference is None else store.stored(reference)
        job.update({name: field(request, name, (int, float)) for name in ("warmup_s", "timed_s")})
        repeats = field(request, "repeats", int)
        governor = field(request, "governor", str) if request.get("governor") is not None else None
        cores = job["cores"] = fast_cores(threads)
        with Governor(governor, cores, os.path.join(self.root, GOVERNOR)):
            conditions = {
                "runtime": runtime,
                "runtime_version": version,
                "threads": threads,
                "python_version": platform.python_version(),
                "started_utc": utc(),
                "affinity": cores,
                "governor": first_line(f"{CPUS}/cpu{cores[0] if cores else 0}/cpufreq/scaling_governor"),
                "clock_mhz_before": clock_mhz(cores),
                "load_before": load(),
            }
            runs = self._runs(store, job, request, Runs(len(models), processes, repeats, self.pace))
            self.pace = runs.pace
            conditions.update(
                clock_mhz_after=clock_mhz(cores), load_after=load(), temperature_c=temperature_c(), tools=tools()
            )
        return {"runs": runs.kept(), "marked": runs.marked(), "repeats": runs.repeats(), "conditions": conditions}

    def _runs(self, store: Store, job: dict[str, Any], request: dict[str, Any], runs: Runs) -> Runs:
        # Process after process, until each model has enough runs that nothing disturbed, or repetitions are used up.
        shuffle = random.Random(SHUFFLE_SEED).shuffle
        now, counts = throttling(job["cores"])
        done, took = 0, 0.0
        while True:
            order = runs.wanted()
            if not order:
                return runs
            if runs.repeating():
                now = self._cooled(job["cores"], runs.pace, min(COOL_S, took))
            started = time.monotonic()
            shuffle(order)
            total = done + len(order) + runs.planned()
            for run in self._work(store, dict(job, order=order, pace=runs.pace), request):
                runs.add(run)
                done += 1
                self._send(progress=[done, total])
            earlier = counts
            now, counts = throttling(job["cores"])
            grown = [name for name, count in counts.items() if count > earlier[name]]
            runs.end(sorted(set(now + grown)))
            took = time.monotonic() - started

    def _cooled(self, cores: list[int] | None, pace: float | None, most_s: float) -> list[str]:
        # What still throttles after at most that long, or as soon as nothing does and the pace is the quickest again.
        end = time.monotonic() + most_s
        while True:
            now = throttling(cores)[0]
            slow = pace is not None and pace_on(cores) > SLOW_PACE * pace
            if not (now or slow) or time.monotonic() > end or self.host_gone.wait(0.5):
                return now

    def _infer(self, store: Store, request: dict[str, Any]) -> dict[str, Any]:
        job = {name: field(request, name, kind) for name, kind in (("dtype", str), ("shape", list))}
        job["inputs"] = store.stored(field(request, "inputs", str))
        job.update(do="infer", runtime=choose_runtime(request.get("runtime"))[0], model=store.model(store.staged()))
        return next(self._work(store, job, request))

    def _time_operators(self, store: Store, request: dict[str, Any]) -> dict[str, Any]:
        runtime, _ = choose_runtime(request.get("runtime"))
        if runtime != TENSORRT:
            raise Refusal("request", f"runtime {runtime} does not tell what its operators take: time them one by one")
        job = {"do": "operators", "runtime": runtime, "model": store.stored(field(request, "model", str))}
        return next(self._work(store, job, request))

    def _work(self, store: Store, job: dict[str, Any], request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """What a fresh worker answers to `job`. Refuses if it crashes or is silent for the request's silence_s."""
        silence_s = field(request, "silence_s", (int, float))
        job = dict(job, engines=os.path.join(store.root, "engines"))
        # Threads that numpy's linear algebra would start compete with the model, and it multiplies no matrices there.
        environment = dict(os.environ, OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", TF_CPP_MIN_LOG_LEVEL="2")
        with open(os.path.join(store.scratch, "worker.log"), "w+b") as log:
            worker = start(
                itself("--worker"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
            )
            with worker:
                self.worker = worker
                try:
                    if self.host_gone.is_set():  # it went between two workers
                        worker.kill()
                    yield from _answers(worker, job, silence_s)
                    return
                except EOFError:
                    raise _crash(worker.wait(), log) from None
                finally:
                    self.worker = None
                    worker.kill()


class Runs:
    """The runs of one request: `processes` of each model, and `repeats` more at most where some were disturbed."""

    def __init__(self, models: int, processes: int, repeats: int, pace: float | None = None) -> None:
        self.pace = pace  # the quickest so far; None: not known
        self._runs: list[list[dict[str, Any]]] = [[] for _ in range(models)]
        self._processes, self._most = processes, processes + repeats
        self._ended = 0

    def planned(self) -> int:
        """How many runs the processes after the next one will make, repetitions left out."""
        return max(0, self._processes - self._ended - 1) * len(self._runs)

    def repeating(self) -> bool:
        """Whether the next process is a repetition."""
        return self._ended >= self._processes

    def wanted(self) -> list[int]:
        """The models that the next process is to time."""
        if not self.repeating():
            return list(range(len(self._runs)))
        if self._ended >= self._most:
            return []
        quiet = [sum(not self._marks(run) for run in runs) for runs in self._runs]
        if self._ended > self._processes and not any(quiet):
            return []  # what lasts is not waited out
        return [model for model, count in enumerate(quiet) if count < self._processes]

    def add(self, run: dict[str, Any]) -> None:
        """A run of the process that is at work."""
        self.pace = min((pace for pace in (self.pace, run["pace"]) if pace is not None), default=None)
        self._runs[run.pop("model")].append(dict(run, process=self._ended))

    def end(self, throttled: list[str]) -> None:
        """The process at work has ended, and was throttled by this."""
        for run in itertools.chain.from_iterable(self._runs):
            if run["process"] == self._ended:
                run["throttled"] = throttled
        self._ended += 1

    def _marks(self, run: dict[str, Any]) -> dict[str, tuple[float, str]]:
        # What disturbed it: how badly, and in words, by kind.
        marks = {name: (1.0, name) for name in run["throttled"]}
        for name, limit, text in (
            ("waited", WAITED, "waited {:.0%} of the time for other programs"),
            ("others", OTHERS, "other programs used {:.0%} of the processor"),
        ):
            share = run[name]
            if share is not None and share > limit:
                marks[name] = (share, text.format(share))
        highest = max((other["clock_mhz"] or 0 for other in itertools.chain.from_iterable(self._runs)), default=0)
        clock = run["clock_mhz"]
        if clock is not None and clock < SLOWED * highest:
            marks["clock"] = (highest - clock, f"clock {clock:.0f} MHz, {highest:.0f} in another process")
        slower = self._slower(run)
        if slower > SLOW_PACE:
            marks["pace"] = (slower, f"arithmetic took {slower:.1f} times as long as before")
        return marks

    def _slower(self, run: dict[str, Any]) -> float:
        # How many times as long as at the quickest pace everything took.
        pace: float | None = run["pace"]
        return 1.0 if pace is None or self.pace is None else pace / self.pace

    def _quietest(self, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        # In the order of time.
        def noise(run: dict[str, Any]) -> tuple[int, float]:
            return len(self._marks(run)), self._slower(run) + (run["waited"] or 0) + (run["others"] or 0)

        return sorted(sorted(runs, key=noise)[: self._processes], key=lambda run: run["process"])

    def kept(self) -> list[list[dict[str, Any]]]:
        """Of each model the quietest runs, as many as there should be."""
        return [self._quietest(runs) for runs in self._runs]

    def repeats(self) -> list[int]:
        """Of each model how many runs were taken again."""
        return [len(runs) - self._processes for runs in self._runs]

    def marked(self) -> list[list[str]]:
        """Of each model what disturbed the runs kept: the worst of each kind, and in how many."""
        reasons = []
        for runs in self.kept():
            kinds: dict[str, list[tuple[float, str]]] = {}
            for run in runs:
                for kind, mark in self._marks(run).items():
                    kinds.setdefault(kind, []).append(mark)
            found = [f"{max(marks)[1]} ({len(marks)} of {len(runs)} processes)" for _, marks in sorted(kinds.items())]
            reasons.append(found)
        return reasons


def _answers(worker: subprocess.Popen[bytes], job: dict[str, Any], silence_s: float) -> Iterator[dict[str, Any]]:
    """What `worker` answers to `job`; EOFError if it ends before it has said so."""
    lines: queue.Queue[bytes | None] = queue.Queue()
    threading.Thread(target=pump, args=(worker.stdout, lines, lambda: None), daemon=True).start()
    _tell(worker, job)
    while True:
        try:
            line = lines.get(timeout=silence_s)
        except queue.Empty:
            message = f"the process that runs the model was silent for {silence_s:g} s and was ended"
            raise Refusal("inference", message, reason="hung", silence_s=silence_s) from None
        if line is None:
            raise EOFError
        answer = json.loads(line.decode("utf-8"))
        if "error" in answer:
            raise Refusal(**answer["error"])
        if "end" in answer:
            return
        yield answer


def _tell(worker: subprocess.Popen[bytes], job: dict[str, Any]) -> None:
    assert worker.stdin is not None
    try:
        worker.stdin.write(json.dumps(job).encode() + b"\n")
        worker.stdin.flush()
    except BrokenPipeError:  # it died at once: the end of its answers says so
        pass


def _crash(code: int, log: IO[bytes]) -> Refusal:
    log.seek(0)
    tail = " | ".join(log.read()[-2000:].decode("utf-8", "replace").strip().splitlines()[-3:])
    how = f"of signal {-code}" if code < 0 else f"with status {code}"
    said = tail or "it printed nothing"
    message = f"the process that runs the model ended {how}: {said}: try another --runtime"
    return Refusal("inference", message, reason="crashed", code=code, said=said)


def hello(store: Store) -> dict[str, Any]:
    """What the device is."""
    runtimes, notes = find_runtimes()
    return {
        "protocol": PROTOCOL,
        "agent_version": VERSION,
        "hostname": socket.gethostname(),
        "machine": machine(),
        "cpu": cpu_name(),
        "cores": os.cpu_count() or 1,
        "system": platform.platform(),
        "python_version": platform.python_version(),
        "runtimes": runtimes,
        "notes": notes,
        "ram_bytes": ram_bytes(),
        "free_disk_bytes": shutil.disk_usage(store.root).free,
        "governors": governors(fast_cores(1)),
        **power_setting(),
    }


# --------------------------------------------------------------------------------------------------------- worker


def work(answers: IO[bytes]) -> NoReturn:
    """Do the job on stdin's first line, then end; end at once if stdin does, which is how a dead agent shows."""
    job = json.loads(sys.stdin.buffer.readline().decode("utf-8"))
    if job.get("cores"):  # before the runtime starts its threads, which inherit it
        os.sched_setaffinity(0, job["cores"])

    def watch() -> None:
        while os.read(0, 1):
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()

    def send(answer: dict[str, Any]) -> None:
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()

    try:
        for answer in (engine_answers if job["runtime"] == TENSORRT else answers_of)(job):
            send(answer)
        send({"end": True})
    except Refusal as refusal:
        send({"error": refusal.answer})
    except (ValueError, RuntimeError) as error:  # of `invoke`: what a runtime raises there has no class of its own
        traceback.print_exc()
        send({"error": refused("fails on the model", error).answer})
    os._exit(0)  # as in main


def answers_of(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a TFLite runtime answers to a job."""
    return time_models(job) if job["do"] == "time" else iter([infer(job)])


def interpreter_of(runtime: str) -> Callable[..., Any]:
    """The class Interpreter of `runtime`."""
    package = dict(RUNTIMES)[runtime]
    try:
        if package == "tensorflow":
            return importlib.import_module("tensorflow").lite.Interpreter  # type: ignore[no-any-return]
        return importlib.import_module(package + ".interpreter").Interpreter  # type: ignore[no-any-return]
    except ImportError as error:
        message = "runtime %s is installed in %s but does not load (%s): reinstall it" % (
            runtime,
            sys.executable,
            error,
        )
        raise Refusal("runtime", message, runtime=runtime) from error


def loaded(make: Callable[..., Any], path: str, threads: int) -> Any:
    """An interpreter with its tensors allocated."""
    try:
        interpreter = make(model_path=path, num_threads=threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise refused("refuses the model", error) from error
    return interpreter


def refused(what: str, error: Exception) -> Refusal:
    """What a runtime raised. It may complain of every tensor, so the host shortens `said`."""
    said = " ".join(str(error).split())
    message = f"the runtime {what}: {said}: convert it anew, or try another --runtime"
    return Refusal("inference", message, reason="refused", said=said)


def fill_inputs(interpreter: Any) -> None:
    """The same pseudo-random inputs on every device: all-zero data would take short cuts on some processors."""
    import numpy as np

    source = np.random.RandomState(0)
    for detail in interpreter.get_input_details():
        dtype = np.dtype(detail["dtype"])
        if dtype.kind in "iu":
            limits = np.iinfo(dtype)
            data = source.randint(limits.min, int(limits.max) + 1, size=detail["shape"], dtype=dtype)
        else:
            data = source.random_sample(tuple(detail["shape"])).astype(dtype)
        interpreter.set_tensor(detail["index"], data)


def peak_rss() -> int | None:
    """The peak resident set of this process, where Linux tells it."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            match = re.search(r"^VmHWM:\s*(\d+) kB$", file.read(), re.M)
    except OSError:
        return None
    return int(match.group(1)) * 1024 if match else None


def reset_peak_rss() -> int | None:
    """The peak after setting it back to what is resident now; freed memory goes to the system first, as memory that is
    used again would hide the growth."""
    gc.collect()
    try:
        import ctypes

        ctypes.CDLL(None).malloc_trim(0)
    except (ImportError, OSError, AttributeError, TypeError):  # no glibc
        pass
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    except OSError:
        return None
    return peak_rss()


def time_models(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Time each model in the job's order: nanoseconds of each statistic, the invocations, the growth of memory."""
    import numpy as np

    make = interpreter_of(job["runtime"])
    threads, pace, statistic = job["threads"], job["pace"], job["statistic"]
    cores = job["cores"] if threads == 1 else None  # more threads are to have them all

    def ready(path: str) -> Any:
        interpreter = loaded(make, path, threads)
        fill_inputs(interpreter)
        interpreter.invoke()
        interpreter.invoke()
        return interpreter

    # What the runtime needs once would count as the first model's memory.
    interpreter = ready(job["models"][job["order"][0]])
    beside = None if job["reference"] is None else ready(job["reference"]).invoke
    for model in job["order"]:
        interpreter = None
        base = reset_peak_rss()
        interpreter = ready(job["models"][model])
        peak = peak_rss()
        disturbance = Disturbance()
        told: dict[str, Any] = {}
        if beside is None:
            slices, pace = timed_slices(interpreter.invoke, job["warmup_s"], job["timed_s"], cores, pace)
            told["pace"] = slices[int(DECIDES[statistic] * (len(slices) - 1))][0]
            taken = np.asarray([call for _, calls in slices for call in calls], float)
        else:
            calls, relative = timed_beside(beside, interpreter.invoke, job["warmup_s"], job["timed_s"])
            told.update(pace=None, relative=relative)
            taken = np.asarray(calls, float)
        met = dict(disturbance.shares(threads), clock_mhz=clock_mhz(job["cores"]), **told)
        low, p10, p50, p95, high = (float(value) for value in np.percentile(taken, (0, 10, 50, 95, 100)))
        run = {"model": model, "n": len(taken), "ram_bytes": None if base is None or peak is None else peak - base}
        yield dict(run, **met, min=low, p10=p10, p50=p50, p95=p95, max=high)


def timed_slices(
    invoke: Callable[[], None], warmup_s: float, timed_s: float, cores: list[int] | None, quickest: float | None
) -> tuple[list[tuple[int, list[int]]], float]:
    """(pace, nanoseconds of each call) of the quietest slices that hold `timed_s` and MIN_INVOCATIONS, the quietest
    first, after `warmup_s` of calls; and the quickest pace of all.

    A slice is quiet at up to SLOW_PACE times the quickest pace. After one that is not, the next is timed on whichever
    of `cores` is the quickest then. Where there are too few, the run ends after PATIENCE times `timed_s`; where there
    is none at all, what disturbs it lasts, and it ends after `timed_s`.
    """
    clock = time.perf_counter_ns
    least = int(timed_s * 1e9)
    settle(cores)
    timed_slice(invoke, int(warmup_s * 1e9))
    slices: list[tuple[int, list[int]]] = []
    gc.collect()
    gc.disable()
    try:
        started = clock()
        before = pace_ns()
        while True:
            calls = timed_slice(invoke, least // SLICES)
            after = pace_ns()
            slices.append((max(before, after), calls))
            quickest = slices[-1][0] if quickest is None else min(quickest, slices[-1][0])
            slow = SLOW_PACE * quickest
            quiet = [one for one in slices if one[0] <= slow]
            patient = clock() - started < (PATIENCE if quiet else 1) * least
            if enough(quiet, least) or (not patient and enough(slices, least)):
                break
            before = after
            if slices[-1][0] > slow:
                before = settle(cores)
                invoke()  # what another core has not in its cache
    finally:
        gc.enable()
    slices.sort(key=lambda one: one[0])
    kept: list[tuple[int, list[int]]] = []
    while not enough(kept, least):
        kept.append(slices[len(kept)])
    return kept, quickest


def timed_beside(
    reference: Callable[[], None], invoke: Callable[[], None], warmup_s: float, timed_s: float
) -> tuple[list[int], float]:
    """Nanoseconds of each call, for `timed_s` and MIN_INVOCATIONS, and how many times as long as `reference` one takes.

    The reference is timed between slices of calls. Whatever slows the core slows both, so that their ratio repeats to
    2 % where the latencies themselves differ by half.
    """
    least = int(timed_s * 1e9)
    timed_slice(invoke, int(warmup_s * 1e9))
    taken: list[int] = []
    ratios = []
    gc.collect()
    gc.disable()
    try:
        before = middle(timed_slice(reference, BESIDE_NS // 3))
        while not enough([(0, taken)], least):
            calls = timed_slice(invoke, BESIDE_NS)
            after = middle(timed_slice(reference, BESIDE_NS // 3))
            ratios.append(2 * middle(calls) / (before + after))
            taken += calls
            before = after
    finally:
        gc.enable()
    return taken, sorted(ratios)[len(ratios) // 2]


def middle(calls: list[int]) -> int:
    """The median, without the first, which finds another model's data in the cache; of two the second."""
    rest = sorted(calls[1:] or calls)
    return rest[len(rest) // 2]


def timed_slice(invoke: Callable[[], None], length: int) -> list[int]:
    """Nanoseconds of each call, for that many nanoseconds, two calls at least."""
    clock = time.perf_counter_ns
    taken: list[int] = []
    end = clock() + length
    while True:
        start = clock()
        invoke()
        stop = clock()
        taken.append(stop - start)
        if stop >= end and len(taken) > 1:
            return taken


def enough(slices: list[tuple[int, list[int]]], least: int) -> bool:
    """Whether they hold that many nanoseconds, and MIN_INVOCATIONS."""
    calls = [calls for _, calls in slices]
    return sum(map(len, calls)) >= MIN_INVOCATIONS and sum(map(sum, calls)) >= least


def infer(job: dict[str, Any]) -> dict[str, Any]:
    """The outputs for each of the job's inputs, as base64 of the raw array."""
    import numpy as np

    interpreter = loaded(interpreter_of(job["runtime"]), job["model"], threads=1)
    if len(interpreter.get_input_details()) != 1:
        raise Refusal("inference", "the model has not one input but several", reason="refused")
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    inputs = np.fromfile(job["inputs"], dtype=job["dtype"]).reshape(job["shape"])
    wanted = [int(size) for size in source["shape"]]
    if inputs.dtype != source["dtype"] or list(inputs.shape[1:]) != wanted[1:] or wanted[0] != 1:
        takes = f"{np.dtype(source['dtype'])} {wanted}"
        message = f"inputs are {inputs.dtype} {list(inputs.shape)}, the model takes {takes}, one at a time"
        raise Refusal("inference", message, reason="inputs")
    outputs = []
    for one in inputs:
        interpreter.set_tensor(source["index"], one[np.newaxis])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(target["index"])[0])
    stacked = np.ascontiguousarray(np.stack(outputs))
    data = base64.b64encode(stacked.tobytes()).decode("ascii")
    return {"dtype": stacked.dtype.str, "shape": list(stacked.shape), "data": data}


# ------------------------------------------------------------------------------------------------------- TensorRT


def tensorrt_version() -> str | None:
    """The version of trtexec, from the line that it begins with; None if it is not there or says none."""
    path = trtexec_path()
    return None if path is None else version_said_by(path)


@functools.lru_cache(maxsize=None)
def version_said_by(path: str) -> str | None:
    """Asked once: it takes seconds."""
    found = re.search(r"TensorRT v([0-9.]+)", tool([path, "--help"], most_lines=3, limit_s=TRTEXEC_S) or "")
    if found is None:
        return None
    if "." in found.group(1):  # from 11 on
        return found.group(1)
    number = int(found.group(1))  # 8502 is 8.5.2, 100300 is 10.3.0
    thousands = 1000 if number < 10000 else 10000
    return f"{number // thousands}.{number % thousands // 100}.{number % 100}"


def trtexec_path() -> str | None:
    """Where TensorRT's program is."""
    return program("trtexec")


def gpu_name() -> str:
    """Name and compute capability, or what a Jetson's device tree calls the board and its chip."""
    asked = tool(["nvidia-smi", "--query-gpu=name,compute_cap", "--format=csv,noheader"])
    return asked or (first_line("/proc/device-tree/compatible") or platform.machine()).replace("\0", ",")


def onnx_of(model: str) -> str:
    """The ONNX file of the model in a slot; of one in scratch, itself."""
    folder, name = os.path.split(model)
    return os.path.join(folder, "model.onnx") if name == "model.tflite" else model


def engine_answers(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What TensorRT answers to a job; its engines stay in job["engines"]."""
    work = os.path.join(job["engines"], "work")
    shutil.rmtree(work, ignore_errors=True)  # of a worker that was killed
    os.makedirs(work)
    if job["do"] == "time":
        for model in job["order"]:
            yield time_engine(job, work, model)
    elif job["do"] == "operators":
        yield engine_operators(engine_of(job["model"], job["engines"], work), work)
    else:
        yield infer_engine(job, work)


def trtexec(work: str, *arguments: str) -> None:
    """Run trtexec in the folder `work` to its end; refuses with its own words if it fails."""
    path, libc = trtexec_path(), None
    if sys.platform == "linux":
        import ctypes

        libc = ctypes.CDLL(None)

    def end_with_worker() -> None:
        if libc is not None:
            libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: it may be busy for minutes when the host goes away

    assert path is not None
    process = start(
        [path, *arguments],
        cwd=work,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=end_with_worker,
    )
    lines = process.communicate()[0].decode("utf-8", "replace").splitlines()
    if process.returncode != 0:
        errors = [line.strip() for line in lines if "[E]" in line] or [line.strip() for line in lines if line.strip()]
        why = " | ".join(errors[-3:]) or "it printed nothing"
        int8 = "hardware with Int8 support" in why
        hint = ": this GPU computes no int8: leave --precision out for half precision" if int8 else ""
        code = process.returncode
        how = f"of signal {-code}" if code < 0 else f"with status {code}"
        reason = "crashed" if code < 0 else "refused"
        option = arguments[0].partition("=")[0]  # without the path
        message = f"trtexec {option} ended {how}: {why}{hint}"
        raise Refusal("inference", message, reason=reason, code=code, said=why)


def engine_of(model: str, engines: str, work: str) -> str:
    """The engine of a model, built here if there is none: it runs on this GPU with this TensorRT only."""
    onnx = onnx_of(model)
    try:
        with open(onnx, "rb") as file:
            if file.read(8)[4:] == b"TFL3":
                raise Refusal("inference", "TensorRT takes ONNX models, this is a .tflite file", reason="refused")
    except FileNotFoundError:
        message = "no ONNX file came with this model: convert and install it again, with --runtime tensorrt"
        raise Refusal("inference", message, reason="refused") from None
    flags = engine_flags(onnx)
    identity = json.dumps([sha256_of(onnx), tensorrt_version(), gpu_name(), flags])
    engine = os.path.join(engines, hashlib.sha256(identity.encode()).hexdigest() + ".plan")
    if not os.path.exists(engine):
        part = os.path.join(work, "engine.part")
        # One inference: versions differ in how they are told to make none.
        few = ("--warmUp=0", "--duration=0", "--iterations=1")
        trtexec(work, "--onnx=" + onnx, *flags, "--saveEngine=" + part, *few)
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, engine)
        sync_folder(engines)
    os.utime(engine)
    kept = sorted(glob.glob(os.path.join(glob.escape(engines), "*.plan")), key=os.path.getmtime, reverse=True)
    for old in kept[ENGINES_KEPT:]:
        remove(old)
    return engine


def engine_flags(onnx: str) -> list[str]:
    """What trtexec is told of precision: half, and int8 where the model says by its own nodes what is rounded how."""
    version = tensorrt_version()
    if version is None or int(version.partition(".")[0]) >= TYPED:
        return []
    with open(onnx, "rb") as file:
        return ["--fp16", "--int8"] if b"DequantizeLinear" in file.read() else ["--fp16"]


def run_engine(engine: str, work: str, option: str, *arguments: str) -> Any:
    """What trtexec writes, by `option`, when it runs `engine`."""
    result = os.path.join(work, "result.json")
    remove(result)
    try:
        trtexec(work, "--loadEngine=" + engine, *arguments, f"{option}={result}")
        with open(result, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError) as error:
        message = f"trtexec {option} wrote nothing that can be read ({error}): this version is not supported"
        raise Refusal("inference", message, reason="refused") from error
    except Refusal:
        remove(engine)  # damaged perhaps: the next time it is built anew
        raise


def time_engine(job: dict[str, Any], work: str, model: int) -> dict[str, Any]:
    """A run of one model, by the times of trtexec: transfers to and from the GPU included; `compute` without them."""
    engine = engine_of(job["models"][model], job["engines"], work)
    warmup_ms = round(1000 * job["warmup_s"])
    # Whole seconds: older versions take no others.
    length = (f"--warmUp={warmup_ms}", f"--duration={math.ceil(job['timed_s'])}", f"--iterations={MIN_INVOCATIONS}")
    trace = run_engine(engine, work, "--exportTimes", *length)
    # Older versions write the warm-up as well.
    timed = [one for one in trace if one["startComputeMs"] >= warmup_ms] or trace
    taken = sorted(1e6 * one["latencyMs"] for one in timed)
    levels = (("min", 0.0), ("p10", 0.1), ("p50", 0.5), ("p95", 0.95), ("max", 1.0))
    run: dict[str, Any] = {name: quantile(taken, level) for name, level in levels}
    run["compute"] = quantile(sorted(1e6 * one["computeMs"] for one in timed), 0.5)
    # What other programs do to the processor says little of the GPU.
    return dict(run, model=model, n=len(taken), ram_bytes=None, waited=None, others=None, clock_mhz=None, pace=None)


def quantile(ordered: list[float], level: float) -> float:
    """As numpy's: between the two nearest values, linearly. This machine may have no numpy."""
    at = level * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])


def engine_operators(engine: str, work: str) -> dict[str, Any]:
    """[name, milliseconds] of each layer of an engine, in a run of its own: the profiler slows it down."""
    first, *layers = run_engine(engine, work, "--exportProfile", f"--iterations={MIN_INVOCATIONS}", "--duration=1")
    assert "count" in first
    return {"operators": [[layer["name"], layer["averageMs"]] for layer in layers]}


def infer_engine(job: dict[str, Any], work: str) -> dict[str, Any]:
    """The outputs for each of the job's images, which are NHWC as a .tflite file's; the ONNX model takes NCHW."""
    engine = engine_of(job["model"], job["engines"], work)
    if job["dtype"] not in ("<f4", "=f4") or len(job["shape"]) != 4:
        message = f"inputs are {job['dtype']} {job['shape']}, TensorRT takes float32 images: convert to float32"
        raise Refusal("inference", message, reason="inputs")
    count, height, width, channels = job["shape"]
    values = array.array("f")
    with open(job["inputs"], "rb") as file:
        values.frombytes(file.read())
    size, outputs = height * width * channels, array.array("f")
    for start in range(0, size * count, size):
        with open(os.path.join(work, "input.bin"), "wb") as file:
            for channel in range(channels):
                file.write(values[start + channel : start + size : channels].tobytes())
        once = ("--loadInputs=input:input.bin", "--warmUp=0", "--duration=0", "--iterations=1")
        outputs.extend(run_engine(engine, work, "--exportOutput", *once)[0]["values"])
    data = base64.b64encode(outputs.tobytes()).decode("ascii")
    return {"dtype": "<f4", "shape": [count, len(outputs) // count], "data": data}


if __name__ == "__main__":
    main()
