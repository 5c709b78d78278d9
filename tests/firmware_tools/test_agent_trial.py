# SPDX-License-Identifier: Apache-2.0
"""From activate to confirm: kills at every step, boots in between, state files of before."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from helpers.firmware_tools.raw_agent import active_model

from firmware_tools.agent.parts import slots, system
from firmware_tools.agent.parts.refusal import Refusal
from firmware_tools.agent.parts.slots import Store
from firmware_tools.connect import connect
from firmware_tools.device import Device
from firmware_tools.errors import DeviceError, TransferError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="symlinks")

OLD, NEW = b"the old model", b"the new model, which is longer"


def opened(root: Path) -> Store:
    return Store(str(root), lambda text: None)


def staged(store: Store, model: bytes) -> str:
    sha256 = hashlib.sha256(model).hexdigest()
    store.put(sha256, len(model), 0, model)
    store.stage(sha256, {})
    return sha256


def installed(store: Store, model: bytes) -> None:
    sha256 = staged(store, model)
    store.activate()
    store.confirm(sha256)


@pytest.fixture
def boot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Another boot of the computer."""
    path = tmp_path / "boot_id"
    monkeypatch.setattr(system, "BOOT_ID", str(path))

    def start(name: str) -> None:
        path.write_text(name + "\n")

    start("first")
    return start


class Killed(BaseException):
    """What nothing in the agent catches."""


@contextmanager
def killed_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Nothing that changes the disk happens from the call number `step` on; the names of the calls before."""
    done: list[str] = []

    def call(name: str, real: Callable[..., Any], *given: Any) -> Any:
        if len(done) == step:
            raise Killed
        done.append(name)
        return real(*given)

    with monkeypatch.context() as patch:
        for name in ("replace", "symlink", "unlink", "fsync"):
            patch.setattr(os, name, partial(call, name, getattr(os, name)))
        try:
            yield done
        except Killed:
            done.append("killed")


@pytest.mark.parametrize("what", ["activate", "confirm", "rollback", "boot", "stage"])
def test_a_kill_at_every_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, boot: Callable[[str], None], what: str
) -> None:
    """An application sees one of the two whole models, and the next installation works, after a boot and without."""
    start = tmp_path / "start"
    store = opened(start)
    installed(store, OLD)
    new = staged(store, NEW)
    if what != "activate":
        store.activate()
    third = hashlib.sha256(b"third").hexdigest()
    store.put(third, 5, 0, b"third")
    for name in ("second", "third"):
        if what == "boot":
            boot(name)
            opened(start)
    do: dict[str, Callable[[Store], object]] = {
        "activate": lambda store: store.activate(),
        "confirm": lambda store: store.confirm(new),
        "rollback": lambda store: store.rollback(),
        "boot": lambda store: opened(Path(store.root)),
        "stage": lambda store: store.stage(third, {}),  # which takes the unconfirmed model back first
    }
    seen = set()
    for step in range(100):
        root = tmp_path / str(step)
        shutil.copytree(start, root, symlinks=True)
        store = opened(root)
        if what == "boot":
            boot("fourth")
        with killed_at(step, monkeypatch) as done:
            do[what](store)
        seen.add(active_model(root))
        before = opened(root).status()
        boot("third")
        for name in ("previous", "staged"):
            assert before[name] is None or (before[name]["valid"] and not before[name]["active"])
        assert before["trial"] is None or active_model(root) == NEW
        installed(opened(root), b"the next")
        assert active_model(root) == b"the next"
        if "killed" not in done:
            break
    assert step >= 3
    assert seen == ({NEW} if what == "confirm" else {OLD, NEW})


@pytest.mark.parametrize(("step", "failed"), [(0, "activate"), (1, None), (2, "confirm")])
def test_a_disk_that_is_full_at_every_step(
    root: Path, monkeypatch: pytest.MonkeyPatch, step: int, failed: str | None
) -> None:
    store = opened(root)
    installed(store, OLD)
    new = staged(store, NEW)
    writes, real = iter(range(4)), slots.write_json

    def full(path: str, value: object) -> None:
        if next(writes) == step:
            raise OSError(errno.ENOSPC, "no space")
        real(path, value)

    at: str | None = None
    with monkeypatch.context() as patch, suppress(OSError):
        patch.setattr(slots, "write_json", full)
        at = "activate"
        store.activate()
        at = "confirm"
        store.confirm(new)
        at = None
    assert at == failed
    assert active_model(root) == (OLD if failed == "activate" else NEW)
    if failed == "confirm":
        opened(root).rollback()
        assert active_model(root) == OLD


def test_the_third_boot_without_a_confirmation_takes_the_model_back(root: Path, boot: Callable[[str], None]) -> None:
    store = opened(root)
    installed(store, OLD)
    new = staged(store, NEW)
    assert store.activate()["trial"] == {"tries": 0}
    for name, tries in (("first", 0), ("second", 1), ("second", 1), ("third", 2)):
        boot(name)
        assert opened(root).status()["trial"] == {"tries": tries}
        assert active_model(root) == NEW
    boot("fourth")
    status = opened(root).status()
    assert active_model(root) == OLD
    assert (status["trial"], status["previous"], status["staged"]) == (None, None, None)
    assert (status["commits"], status["rollbacks"]) == (1, 1)
    with pytest.raises(Refusal, match="not the active one"):
        opened(root).confirm(new)


def test_a_confirmed_model_outlives_any_number_of_boots(root: Path, boot: Callable[[str], None]) -> None:
    store = opened(root)
    installed(store, OLD)
    new = staged(store, NEW)
    store.activate()
    for name in ("second", "third"):
        boot(name)
        store = opened(root)
    assert store.confirm(new) == store.confirm(new)
    for name in ("fourth", "fifth", "sixth"):
        boot(name)
        assert opened(root).status()["commits"] == 2
    assert active_model(root) == NEW


def test_an_unconfirmed_first_model_leaves_none(root: Path, boot: Callable[[str], None]) -> None:
    store = opened(root)
    staged(store, NEW)
    store.activate()
    assert store.rollback()["active"] is None
    assert not (root / "active").exists()
    installed(store, OLD)
    assert active_model(root) == OLD


def test_a_damaged_previous_model_is_not_returned_to(root: Path, boot: Callable[[str], None]) -> None:
    store = opened(root)
    installed(store, OLD)
    staged(store, NEW)
    store.activate()
    (root / "slots" / "a" / "model.tflite").write_bytes(b"rot")
    for name in ("second", "third", "fourth"):
        boot(name)
        opened(root)
    assert active_model(root) == NEW
    assert opened(root).status()["trial"] is None


def test_a_state_file_of_before_there_were_trials(root: Path, boot: Callable[[str], None]) -> None:
    store = opened(root)
    installed(store, OLD)
    installed(store, NEW)
    state = json.loads((root / "state.json").read_text())
    del state["trial"]
    (root / "state.json").write_text(json.dumps({**state, "commits": 7}))
    boot("second")
    status = opened(root).status()
    assert (status["trial"], status["commits"], status["previous"]["valid"]) == (None, 7, True)
    assert opened(root).rollback()["rollbacks"] == 1
    assert active_model(root) == OLD


def test_a_commit_looks_before_it_confirms(
    device: Device, root: Path, models: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    device.stage(models[0], {})
    assert device.commit().confirmed
    device.stage(models[1], {})
    session = device._session  # type: ignore[attr-defined]
    request = session.request

    def rotting(do: str, **fields: object) -> Any:
        answer = request(do, **fields)
        return replace(answer, active=replace(answer.active, valid=False)) if do == "activate" else answer

    monkeypatch.setattr(session, "request", rotting)
    with pytest.raises(TransferError, match="the previous model is active again"):
        device.commit()
    assert active_model(root) == models[0]


def test_an_agent_of_another_release_is_refused_in_one_line(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "python"
    other.write_text(f'#!{sys.executable}\ninput()\nprint(\'{{"id": 1, "ok": {{"protocol": 1}}}}\', flush=True)\n')
    other.chmod(0o755)
    with pytest.raises(DeviceError, match=r"speaks protocol 1, this host 2: install the same release$"):
        connect(f"local:?root={root}&python={other}", home=root)
