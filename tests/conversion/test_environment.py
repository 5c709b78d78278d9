# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from helpers.foreign_index import foreign_index

from edgenas.conversion import environment
from edgenas.errors import ConversionError, UsageError
from edgenas.workflows.doctor import doctor


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGENAS_HOME", str(tmp_path))
    return tmp_path


def test_the_real_one_is_ready_and_reused(python: Path) -> None:
    assert environment.check() is None
    made = python.parent.parent.stat().st_mtime_ns
    assert environment.ensure() == python
    assert python.parent.parent.stat().st_mtime_ns == made


def test_check_says_what_is_missing(home: Path) -> None:
    folder = environment.folder()
    assert folder.parent == home / "converter"
    assert "not installed" in str(environment.check())
    folder.mkdir(parents=True)
    assert "incomplete" in str(environment.check())
    (folder / "ready.json").write_text("{")
    assert "incomplete" in str(environment.check())
    (folder / "ready.json").write_text('{"verified": true}')
    assert "damaged" in str(environment.check())
    environment.python().parent.mkdir()
    environment.python().touch()
    assert environment.check() is None
    assert sorted(path.name for path in home.iterdir()) == ["converter"]


def _fake_build(monkeypatch: pytest.MonkeyPatch, until: threading.Event | None = None) -> list[str]:
    """Replace the 15 seconds of installing, or as long as `until`; what decides to install, and when, stays real."""
    commands: list[str] = []

    def run(_command: list[str], what: str, _next_step: str) -> None:
        if until is not None:
            until.wait(30)
        environment.python().parent.mkdir(parents=True, exist_ok=True)
        environment.python().touch()
        commands.append(what)

    monkeypatch.setattr(environment, "_run", run)
    monkeypatch.setattr(environment, "_verify", lambda: commands.append("verify"))
    return commands


def test_half_built_is_rebuilt_from_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = _fake_build(monkeypatch)
    left = environment.folder() / "lib" / "half"
    left.mkdir(parents=True)
    said: list[str] = []
    assert environment.ensure(said.append) == environment.python()
    assert commands == ["python -m venv", "pip install", "verify"]
    assert not left.exists()
    assert len(said) == 3
    assert json.loads((environment.folder() / "ready.json").read_text())["verified"] is True
    environment.ensure()
    assert len(commands) == 3


def test_failed_verification_is_not_ready(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fake_build(monkeypatch)

    def broken() -> None:
        raise ConversionError("no", check="conversion")

    monkeypatch.setattr(environment, "_verify", broken)
    with pytest.raises(ConversionError):
        environment.ensure()
    assert "incomplete" in str(environment.check())


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="file locks are POSIX only")
def test_two_at_once_build_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    waiting = threading.Event()

    def progress(line: str) -> None:
        said.append(line)
        if "waiting" in line:
            waiting.set()

    commands = _fake_build(monkeypatch, until=waiting)
    threads = [threading.Thread(target=environment.ensure, args=(progress,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert commands == ["python -m venv", "pip install", "verify"]
    assert any("waiting" in line for line in said)


def test_without_the_package_index(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "empty"))
    with pytest.raises(ConversionError, match="pip install failed: ERROR: No matching distribution") as caught:
        environment.ensure()
    assert caught.value.fields["check"] == "environment"
    assert "\n" not in caught.value.message
    assert "then run the same command again" in caught.value.message
    assert "incomplete" in str(environment.check())


def test_another_wheel_of_a_pinned_name_is_refused_before_it_runs(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    for name, value in foreign_index(tmp_path / "index", [environment.LOCK], ran).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(
        ConversionError, match=r": ai-edge-litert==[\d.]+ is refused, the index offers another"
    ) as caught:
        environment.ensure()
    assert "PIP_INDEX_URL" in caught.value.message
    assert len(caught.value.message) < 200
    assert not ran.exists()
    assert not list(environment.folder().rglob("onnx2tf*"))
    assert "ai-edge-litert" in str(environment.check())
    (converter,) = (check for check in doctor() if check.name == "converter")
    assert not converter.ok
    assert "is refused, the index offers another file" in converter.found


def test_home_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("EDGENAS_HOME", str(tmp_path / "file"))
    with pytest.raises(UsageError, match=r"EDGENAS_HOME is .*file, which cannot be used"):
        environment.ensure()


def test_no_room_is_told_before_anything_is_installed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = _fake_build(monkeypatch)
    # As on a disk that is too small: more than any has.
    monkeypatch.setattr(environment, "_INSTALLED_BYTES", 10**18)
    with pytest.raises(
        ConversionError, match=r"it needs \d{10,} MB in .*converter, \d+ MB are free: .*EDGENAS_HOME"
    ) as caught:
        environment.ensure()
    assert commands == []
    assert caught.value.fields["free_bytes"] < caught.value.fields["needed_bytes"]
    monkeypatch.setattr(environment, "_INSTALLED_BYTES", 1)
    environment.ensure()
    assert commands == ["python -m venv", "pip install", "verify"]


@pytest.mark.parametrize(
    ("said", "step"),
    [
        (
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
            "free some disk space",
        ),
        ("ERROR: Could not install packages due to an OSError: [Errno 13] Permission denied: '/x'", "mend the folder"),
        ("ERROR: No matching distribution found for onnx==1.20.1", "check the network or the package index"),
        ("ERROR: onnx-1.20.1-cp311-manylinux.whl is not a supported wheel on this platform.", "see "),
    ],
)
def test_the_network_is_named_only_where_it_was_the_network(home: Path, said: str, step: str) -> None:
    (home / "converter").mkdir()
    with pytest.raises(ConversionError) as caught:
        environment._run(["sh", "-c", 'echo "$0" >&2; exit 1', said], "pip install", None)
    assert f": {step}" in caught.value.message
    assert ("check the network" in caught.value.message) == step.startswith("check the network")
    logs = [path.read_text() for path in (home / "converter").glob("*.log")]
    assert logs == ([f"{said}\n".strip()] if step == "see " else [])
