# SPDX-License-Identifier: Apache-2.0
"""A board behind a real SSH server, from the first contact to a rollback, and what its folders and names may hold."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.ssh.ssh_models import SHORT, active_model, fully_connected, sha256
from helpers.ssh_server import SshServer

from firmware_tools.connect import connect
from firmware_tools.device import Device
from firmware_tools.errors import DeviceBusyError, DeviceError, DeviceFullError, DeviceUrlError
from firmware_tools.linux.ssh_connection import Connection, Target

HOSTILE = [
    "two words",
    "-rf",
    "it's",
    'a"b',
    "a;touch pwned;b",
    "$(touch pwned)",
    "`touch pwned`",
    "a&b|c>d",
    "ü 木\tx",
]


def opened(server: SshServer, root: Path | str, **options: str) -> Device:
    return connect(server.url(str(root), **{"python": sys.executable, **options}), home=Path("/nowhere"))


def test_from_the_first_contact_to_a_rollback(server: SshServer, root: Path, models: list[bytes]) -> None:
    (root / "agent-0123456789abcdef.py").parent.mkdir()
    (root / "agent-0123456789abcdef.py").write_text("of an earlier release")
    with opened(server, root) as device:
        info = device.info()
        assert info.runtimes[0].name == "litert"
        assert device.time(models[:2], SHORT)[1].sha256 == sha256(models[1])
        device.stage(models[0], {"name": "first"})
        assert device.time_staged(SHORT).latency_ms > 0
        assert device.infer_staged(np.ones((2, 16), np.int8)).shape == (2, 8)
        device.commit()
        assert active_model(root) == models[0]
        device.stage(models[1], {})
        device.commit()
        assert active_model(root) == models[1]
    agent = [path.name for path in root.glob("agent-*")]
    assert len(agent) == 1
    assert agent != ["agent-0123456789abcdef.py"]
    written = (root / agent[0]).stat().st_mtime_ns
    with opened(server, root) as device:
        device.rollback()
        device.close()
        device.close()
    assert active_model(root) == models[0]
    assert (root / agent[0]).stat().st_mtime_ns == written  # pushed once
    assert list((root / "scratch").iterdir()) == []


def test_the_folder_is_in_the_home_and_python_in_its_environment(server: SshServer, models: list[bytes]) -> None:
    venv = server.home / ".edgenas" / "venv" / "bin"
    venv.mkdir(parents=True)
    (venv / "python").write_text(f'#!/bin/sh\necho used >"{server.home}/used"\nexec {sys.executable} "$@"\n')
    (venv / "python").chmod(0o755)
    with connect(server.url(), home=Path("/nowhere")) as device:
        device.stage(models[0], {})
    assert (server.home / "used").exists()
    assert (server.home / ".edgenas" / "slots").is_dir()


def test_no_name_is_taken_for_a_command_or_an_option(server: SshServer, tmp_path: Path) -> None:
    with Connection.open(Target.parse(server.url())) as connection:
        for name in HOSTILE:
            done = connection.run(["printf", "%s/%s", "--", name], b"")
            assert done.stdout == f"--/{name}".encode()
            folder = tmp_path / name
            folder.mkdir()
            connection.upload(b"first", f"{folder}/{name}")
            connection.upload(b"first, second", f"{folder}/{name}", offset=5)
            assert (folder / name).read_bytes() == b"first, second"
            connection.upload(b"anew", f"{folder}/{name}")
            assert (folder / name).read_bytes() == b"anew"
    assert not list(tmp_path.glob("**/pwned"))


@pytest.mark.parametrize("name", ["-a 'b\" ;touch pwned; $(touch pwned) ü木", "~/in home/-x"])
def test_a_folder_of_any_name(server: SshServer, models: list[bytes], name: str) -> None:
    python = server.home / "a python;-"
    python.unlink(missing_ok=True)
    python.symlink_to(sys.executable)
    # Relative ones lie in the home folder. A link loses its environment, so only the slots are tried.
    with connect(server.url(name, python="./a python;-"), home=Path("/nowhere")) as device:
        device.stage(models[0], {})
        device.commit()
    assert active_model(server.home / name.replace("~/", "")) == models[0]
    assert not list(server.home.glob("**/pwned"))


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ssh:", "did you mean ssh://USER@HOST?"),
        ("ssh://", "no address of a board"),
        ("ssh://user@", "no address of a board"),
        ("ssh://-oProxyCommand=touch%20pwned", "cannot be a host"),
        ("ssh://host%20name", "cannot be a host"),
        ("ssh://a%3Btouch%20pwned", "cannot be a host"),
        ("ssh://-l@host", "cannot be a user"),
        ("ssh://$(id)@host", "cannot be a user"),
        ("ssh://host:0", "port 0"),
        ("ssh://host:99999", "port 99999"),
        ("ssh://host:22x", "no address of a board"),
        ("ssh://host?rot=x", "did you mean root?"),
        ("ssh://127.0.0.1:1?root=%00", "NUL"),
    ],
)
def test_an_address_that_cannot_be_meant(url: str, says: str, server: SshServer) -> None:
    url = url.replace("127.0.0.1:1", f"{server.user}@127.0.0.1:{server.port}")
    with pytest.raises(DeviceUrlError) as caught:
        connect(url, home=Path("/nowhere"))
    assert says in caught.value.message
    assert caught.value.exit_code == 2


def test_a_password_in_a_url_is_not_repeated() -> None:
    with pytest.raises(DeviceUrlError, match="a password in a URL") as caught:
        connect("ssh://pi:secret@host?rot=x", home=Path("/nowhere"))
    assert "secret" not in caught.value.message
    with pytest.raises(DeviceUrlError, match="a password in a URL") as caught:
        Target.parse("ssh://pi:secret@host")
    assert "secret" not in caught.value.message


def test_addresses_of_every_form() -> None:
    assert Target.parse("ssh://pi@board.local:2222?root=/x@y:1") == Target("board.local", 2222, "pi")
    assert Target.parse("ssh://[fe80::1%25eth0]:22") == Target("fe80::1%eth0", 22)
    assert Target.parse("ssh://a%40b@h/") == Target("h", None, "a@b")
    assert str(Target("fe80::1", 22, "pi")) == "pi@[fe80::1]:22"


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo 3.6", "is Python 3.6, the agent needs 3.7 or newer"),
        ("echo cannot load libpython >&2; exit 3", "is no Python on the board (cannot load libpython)"),
        (None, "is no Python on the board"),
    ],
)
def test_a_python_that_is_missing_or_too_old(
    server: SshServer, root: Path, tmp_path: Path, script: str | None, says: str
) -> None:
    python = tmp_path / "old python"
    if script is not None:
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)
    with pytest.raises(DeviceError) as caught:
        opened(server, root, python=str(python))
    assert says in caught.value.message
    assert "?python=PATH" in caught.value.message
    assert "\n" not in caught.value.message


def test_a_second_host_is_refused_and_the_first_goes_on(server: SshServer, root: Path, models: list[bytes]) -> None:
    with opened(server, root) as device:
        with pytest.raises(DeviceBusyError, match="uses the device"):
            opened(server, root)
        device.stage(models[0], {})
        device.commit()
    with opened(server, root) as device:
        active = device.status().active
        assert active is not None
        assert active.valid


def test_a_full_disk_leaves_the_active_model_and_no_part(
    server: SshServer, models: list[bytes], disk: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = disk("size=1m") / "root"
    with opened(server, root) as device:
        device.stage(models[0], {})
        device.commit()
        large = fully_connected(1, 1024, 2048)
        with pytest.raises(DeviceFullError, match="bytes needed"):  # the agent sees it beforehand
            device.stage(large, {})
        # Others fill the disk after that look: the upload itself runs full.
        monkeypatch.setattr(type(device), "_have", lambda *_: 0)
        with pytest.raises(DeviceFullError, match=r"no space on the board for .*; free some"):
            device.stage(large, {})
        assert list((root / "scratch").iterdir()) == []
        monkeypatch.undo()
        device.stage(models[1], {})
        device.commit()
    assert active_model(root) == models[1]


def test_a_disk_that_is_read_only(server: SshServer, models: list[bytes], disk: Callable[[str], Path]) -> None:
    root = disk("size=1m") / "root"
    with opened(server, root) as device:
        device.stage(models[0], {})
        device.commit()
    disk("remount,ro")
    for folder in (root, root.parent / "other"):
        with pytest.raises(DeviceError, match="Read-only file system") as caught:
            opened(server, folder)
        assert "\n" not in caught.value.message
    with Connection.open(Target.parse(server.url())) as connection:
        with pytest.raises(DeviceError, match=r"cannot be written on the board \(.*Read-only file system"):
            connection.upload(random.randbytes(1 << 20), f"{root}/scratch/x")
        assert connection.run(["cat", f"{root}/active/model.tflite"]).stdout == models[0]
