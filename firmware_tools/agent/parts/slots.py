# SPDX-License-Identifier: Apache-2.0
"""The device's folder: two slots, the one that is active, the trial of a model that was just activated."""

from __future__ import annotations

import errno
import os
import re
import shutil
from typing import Any, Callable

from .files import read_json, remove, require_own, sha256_of, sync_folder, write_json
from .onnx_files import onnx_of
from .refusal import Refusal
from .system import boot_id

TRIES = 3  # boots after which a model that no host has confirmed gives way to the previous one


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
        trial = {"slot": staged, "boot_id": boot_id(), "tries": 0}
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
        trial, boot = self._state()["trial"], boot_id()
        if trial is None or boot is None or boot == trial.get("boot_id"):
            return
        tries = trial["tries"] + 1
        try:
            if tries < TRIES:
                self._save(trial=dict(trial, boot_id=boot, tries=tries))
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
