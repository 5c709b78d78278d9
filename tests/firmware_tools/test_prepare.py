# SPDX-License-Identifier: Apache-2.0
"""`edgenas board prepare` on this computer behind its own SSH server: what goes wrong, then the real thing."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.foreign_index import foreign_index
from helpers.ssh_server import Proxy, SshServer, at_home

import edgenas
from edgenas.measuring.resolve import runtime_of
from firmware_tools.connect import connect
from firmware_tools.errors import (
    DeviceBusyError,
    DeviceError,
    DeviceFullError,
    DeviceLostError,
    RuntimeMissingError,
)
from firmware_tools.linux.prepare import plan
from firmware_tools.linux.runtimes import RUNTIMES
from firmware_tools.linux.survey import Facts
from firmware_tools.linux.wheels import _RECEIVED

_PYTHON = Path(sys.base_prefix) / "bin" / "python3"
_BOARD = Facts(
    "/usr/bin/python3", (3, 11), "aarch64", (2, 36), (23, 0), None, "/home/pi/.edgenas", (), None, None, False, 1 << 34
)
_ARMV7 = replace(_BOARD, machine="armv7l", numpy="1.24.2")

# A Python whose environments hold another script in the place of their Python.
_FAKE_PYTHON = """#!/bin/bash
if [ "$1 $2" = "-Im venv" ]; then mkdir -p "${{!#}}/bin" && cp "$0.inner" "${{!#}}/bin/python"; exit; fi
exec -a "$0" {python} "$@"
"""
_NO_NETWORK = """WARNING: Retrying after connection broken by 'NewConnectionError(Temporary failure in name resolution)'
ERROR: No matching distribution found for ai-edge-litert==2.3.0"""


def _plan(facts: Facts, runtime: str | None = None, offline: bool = False) -> list[str]:
    return [str(step) for step in plan(facts, "ssh://pi@pi", runtime, offline).steps]


def test_a_new_board_gets_an_environment_that_is_switched_to_last() -> None:
    whats = [step.partition(":")[0] for step in _plan(_BOARD)]
    assert whats == [
        *("copy the list of packages", "make an environment", "put pip into it"),
        *("install ai-edge-litert 2.3.0", "load it", "put it in service", "remove what is not needed any more"),
    ]
    assert "/home/pi/.edgenas/venv-litert-2.3.0-py3.11/bin/python -Im pip install" in _plan(_BOARD)[3]


@pytest.mark.parametrize("offline", [False, True])
def test_pip_takes_only_what_a_list_has_the_hash_of(offline: bool) -> None:
    board = replace(_BOARD, version=(3, 8), glibc=(2, 31), pip=(19, 2))
    steps = plan(board, "ssh://pi@pi", None, offline).steps
    installs = [step.command for step in steps if "pip" in step.command]
    assert len(installs) == (3 if offline else 2), "pip itself is renewed"
    for command in installs:
        assert {"--require-hashes", "--no-deps", "--only-binary=:all:", "-r"} <= set(command)
        assert not {"pip", "numpy", "tflite-runtime"} & set(command[4:])
    (copied,) = (step.files for step in steps if step.where == "copy")
    assert [path.name for path in copied] == ["pip.lock", "tflite-runtime-2.13.0-py3.8-aarch64.lock"]


def test_a_ready_board_is_left_alone_and_another_runtime_is_another_environment() -> None:
    ready = replace(_BOARD, made=("venv-litert-2.3.0-py3.11",), current="venv-litert-2.3.0-py3.11")
    assert _plan(ready) == []
    assert _plan(ready, "tflite")[-1].endswith("sh /home/pi/.edgenas/wheels /home/pi/.edgenas/venv-litert-2.3.0-py3.11")
    assert len(_plan(replace(ready, version=(3, 12)))) > 1, "the system's Python was renewed"


def test_what_an_interrupted_run_left_goes_and_its_name_is_not_used_again() -> None:
    steps = _plan(replace(_BOARD, made=("venv-litert-2.3.0-py3.11",)))
    assert steps[0].endswith("sh /home/pi/.edgenas/venv-litert-2.3.0-py3.11")
    assert steps[2].endswith("-Im venv --without-pip /home/pi/.edgenas/venv-litert-2.3.0-py3.11+2")


def test_wheels_are_kept_for_the_run_that_wants_them() -> None:
    left = replace(_BOARD, made=("wheels",))
    assert _plan(left, offline=True)[0].startswith("download the wheels")
    assert _plan(left)[0].endswith("sh /home/pi/.edgenas/wheels")
    (step,) = _plan(replace(left, made=("venv-litert-2.3.0-py3.11", "wheels"), current="venv-litert-2.3.0-py3.11"))
    assert step.endswith("sh /home/pi/.edgenas/wheels")


def test_offline_wheels_are_those_of_the_board() -> None:
    download, copy = _plan(replace(_BOARD, version=(3, 7), glibc=(2, 28), pip=(18, 1)), offline=True)[:2]
    assert "--python-version 3.7 --abi cp37m --platform manylinux2014_aarch64 " in download
    assert "/pip.lock -r " in download
    assert download.endswith("/tflite-runtime-2.11.0-py3.7-aarch64.lock")
    assert copy == "copy the wheels: to /home/pi/.edgenas/wheels on the board"


def test_armv7_takes_the_systems_numpy() -> None:
    download, _, make, _, install, *_ = _plan(_ARMV7, offline=True)
    listed = Path(download.rpartition(" -r ")[2])
    assert listed.name == "tflite-runtime-2.14.0-py3.11-armv7l.lock"
    assert "numpy" not in listed.read_text()
    assert "--system-site-packages" in make
    assert "--no-deps" in install


@pytest.mark.parametrize(
    ("facts", "error", "said"),
    [
        (replace(_BOARD, version=(3, 6)), DeviceError, "is Python 3.6, at least 3.7 is needed"),
        (replace(_BOARD, pip=None), DeviceError, "sudo apt-get install python3-venv"),
        (replace(_BOARD, pip=None, python="/usr/bin/python3.11"), DeviceError, "apt-get install python3.11-venv"),
        (replace(_BOARD, machine="riscv64"), RuntimeMissingError, "ssh://pi@pi: no runtime for riscv64"),
        (replace(_ARMV7, numpy=None), DeviceError, "numpy is missing, tflite-runtime needs numpy<2"),
        (replace(_ARMV7, numpy="2.1.0"), DeviceError, "numpy is 2.1.0, "),
        (replace(_BOARD, free_bytes=100 << 20), DeviceFullError, "100 MiB free on the board at /home/pi/.edgenas, 300"),
        (replace(_BOARD, foreign=True), DeviceError, "/home/pi/.edgenas/venv on the board was not made by this"),
    ],
)
def test_what_can_be_seen_beforehand_is_one_line(facts: Facts, error: type[DeviceError], said: str) -> None:
    with pytest.raises(error) as raised:
        plan(facts, "ssh://pi@pi")
    assert said in raised.value.message
    assert "\n" not in raised.value.message


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with SshServer(tmp_path_factory.mktemp("prepare")) as server, at_home(server):
        yield server


@pytest.mark.parametrize(
    ("inner", "error", "said"),
    [
        ("echo 'ERROR: [Errno 28] No space left on device' >&2; exit 1", DeviceFullError, "the board's disk is full"),
        (f'echo "{_NO_NETWORK}" >&2; exit 1', DeviceError, "does not reach its package index: give it a network, or"),
        ("echo CERTIFICATE_VERIFY_FAILED >&2; exit 1", DeviceError, "set the board's clock"),
        (
            "echo 'ERROR: x-aarch64.whl is not a supported wheel on this platform.' >&2; exit 1",
            RuntimeMissingError,
            "(x-aarch64.whl is not a supported wheel on this platform.): ",
        ),
        ("[ $2 = pip ] || kill -ILL $$", RuntimeMissingError, "does not load on the board (it crashes of SIGILL): "),
        (
            "[ $2 = pip ] || { echo 'ImportError: wrong ELF class' >&2; exit 1; }",
            RuntimeMissingError,
            "does not load on the board (ImportError: wrong ELF class): ",
        ),
    ],
    ids=["full", "network", "clock", "architecture", "crash", "library"],
)
def test_what_fails_on_the_board_is_one_line_and_nothing_is_put_in_service(
    server: SshServer, inner: str, error: type[DeviceError], said: str
) -> None:
    python = server.home / "fake python"
    python.write_text(_FAKE_PYTHON.format(python=_PYTHON))
    Path(f"{python}.inner").write_text(f'#!/bin/sh\n[ "$2" != ensurepip ] || exit 0\n{inner}\n')
    for path in (python, Path(f"{python}.inner")):
        path.chmod(0o755)
    with pytest.raises(error) as raised:
        edgenas.prepare(server.url(root="faults", python="./fake python"))
    assert said in raised.value.message
    assert "\n" not in raised.value.message
    assert not (server.home / "faults" / "venv").exists()


@pytest.mark.parametrize("offline", [True, False], ids=["this computer's index", "the board's index"])
def test_another_wheel_of_a_pinned_name_is_refused_before_it_runs(
    server: SshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: bool
) -> None:
    machine, python, litert = platform.machine(), sys.version_info[:2], RUNTIMES[0]
    if (machine, python) not in litert.rows():
        pytest.skip("no runtime for this computer")
    ran, root = tmp_path / "ran", server.home / f"foreign-{offline}"
    index = foreign_index(tmp_path / "index", [litert.lock(machine, python)], ran)
    settings = server.home / ".config" / "pip" / "pip.conf"
    for name, value in index.items():
        if offline:
            monkeypatch.setenv(name, value)
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(f"[global]\nindex-url = {index['PIP_INDEX_URL']}\nextra-index-url =\nfind-links =\n")
    serving = root / "venv-old"
    (serving / "bin").mkdir(parents=True)
    (serving / "bin" / "python").symlink_to(sys.executable)
    (root / "venv").symlink_to("venv-old")
    with pytest.raises(DeviceError) as raised:
        edgenas.prepare(server.url(root.name, python=str(_PYTHON)), runtime="litert", offline=offline)
    settings.unlink()
    assert "ai-edge-litert==2.3.0 is refused, the index offers another file" in raised.value.message
    assert "pip.conf" in raised.value.message
    assert (root / "venv").readlink() == Path("venv-old")
    assert serving.exists()
    assert not ran.exists()
    assert not list(root.rglob("ai_edge_litert*"))
    assert not offline or not (root / "wheels").exists(), "nothing is sent"


def test_another_file_of_a_wheels_name_on_the_board_is_not_taken_for_it(tmp_path: Path) -> None:
    (tmp_path / "x.whl").write_bytes(b"other")
    facts = ["x.whl", "9", hashlib.sha256(b"published").hexdigest()]
    done = subprocess.run([sys.executable, "-c", _RECEIVED, tmp_path, *facts], capture_output=True, check=True)
    assert json.loads(done.stdout) == {"have": [0]}
    assert not (tmp_path / "x.whl").exists()


def test_a_board_without_a_runtime_asks_to_be_prepared(server: SshServer, tmp_path: Path) -> None:
    url = server.url("bare", python=str(_PYTHON))
    with pytest.raises(RuntimeMissingError) as raised:
        connect(url, home=tmp_path, runtime="litert")
    assert raised.value.message.endswith(f"run edgenas board prepare --runtime litert --device '{url}'")
    with connect(url, home=tmp_path) as device, pytest.raises(RuntimeMissingError) as raised:
        runtime_of(device.info())
    assert raised.value.message.endswith(f"run edgenas board prepare --device '{url}'")


def test_a_board_is_named_by_the_inventory(server: SshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGENAS_HOME", str(tmp_path))
    url = server.url("named", python=str(_PYTHON))
    (tmp_path / "devices.toml").write_text(f'[[device]]\nname = "kitchen"\nurl = "{url}"\n')
    made = edgenas.prepare("kitchen", dry_run=True)
    assert made.device == server.url("named")
    assert not (server.home / "named").exists()


def test_no_python_is_one_line(server: SshServer) -> None:
    with pytest.raises(DeviceError, match=r"python9 is no Python on the board .*not found.*: apt-get install python3"):
        edgenas.prepare(server.url(python="python9"), dry_run=True)


@pytest.mark.slow
def test_a_cut_run_is_taken_up_and_ends_in_a_board_that_measures(server: SshServer, tmp_path: Path) -> None:
    """Root with a quote and a space; tflite-runtime, the smaller one, where this Python has it."""
    runtime = "tflite" if sys.version_info < (3, 12) else "litert"
    root = server.home / "it's here"
    with Proxy(server.port) as proxy:
        server.trust(proxy.port)
        url = server.url("it's here", port=proxy.port, python=str(_PYTHON))
        proxy.cut_after = 4 << 20
        with pytest.raises(DeviceLostError):
            edgenas.prepare(url, runtime=runtime, offline=True)
    arrived = sum(path.stat().st_size for path in (root / "wheels").iterdir())
    assert arrived > 1 << 20
    assert not (root / "venv").exists()

    url = server.url("it's here", python=str(_PYTHON))
    made = edgenas.prepare(url, runtime=runtime, offline=True)
    assert made.device == server.url("it's here")
    assert [found["name"] for found in made.to_json()["agent"]["runtimes"]] == [runtime]
    assert sorted(path.name for path in root.iterdir() if path.name.startswith(("venv", "wheels"))) == [
        "venv",
        (root / "venv").readlink().name,
    ]
    assert edgenas.prepare(url, runtime=runtime).to_json()["steps"] == []
    with connect(made.device, home=tmp_path) as device:
        assert [found.name for found in device.info().runtimes] == [runtime]
        with pytest.raises(DeviceBusyError):
            edgenas.prepare(url, runtime="litert")
