# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from pathlib import Path

import pytest
from helpers.firmware_tools.raw_agent import SHORT, sha256

from firmware_tools.connect import connect
from firmware_tools.errors import DeviceError, DeviceLostError, DeviceUrlError, RuntimeMissingError


@pytest.mark.parametrize(
    ("url", "value", "says"),
    [
        ("locl:", "locl", "did you mean local?"),
        ("local", "local", "write local: or"),
        ("", "", "Known: local"),
        ("local:?pyton=/x", "pyton", "did you mean python?"),
        ("local:?python", "python", "has no value"),
        ("local:/dev/x", "/dev/x", "takes no"),
        ("local:?runtime=tflight", "tflight", "did you mean tflite?"),
    ],
)
def test_a_url_that_is_not_understood_names_the_near_ones(url: str, value: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(DeviceUrlError, match=says.replace("?", r"\?")) as caught:
        connect(url, home=tmp_path)
    assert caught.value.exit_code == 2
    assert caught.value.fields["value"] == value
    assert "\n" not in caught.value.message
    assert not list(tmp_path.iterdir())


def test_an_interpreter_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="cannot start /nowhere/python") as caught:
        connect("local:?python=/nowhere/python", home=tmp_path)
    assert caught.value.exit_code == 4


@pytest.mark.skipif(os.name != "posix", reason="a shell script stands for a broken interpreter")
@pytest.mark.parametrize("name", ["./python3", "bin/python3"])
def test_an_interpreter_by_a_relative_path_is_that_of_the_working_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    program = tmp_path / name
    program.parent.mkdir(exist_ok=True)
    program.write_text("#!/bin/sh\necho it is this one >&2\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(DeviceLostError, match="it is this one"):
        connect(f"local:?python={name}", home=tmp_path)


def test_what_a_broken_interpreter_says_is_in_the_message(tmp_path: Path) -> None:
    broken = tmp_path / "a python"
    broken.write_text("#!/bin/sh\necho first >&2\necho 'cannot load libpython' >&2\nexit 3\n")
    broken.chmod(0o755)
    with pytest.raises(DeviceLostError, match=r"cannot load libpython.*run the command again") as caught:
        connect(f"local:?python={tmp_path}/a%20python", home=tmp_path)
    assert "\n" not in caught.value.message


def test_the_default_root_lies_under_home(tmp_path: Path) -> None:
    with connect("local:", home=tmp_path) as device:
        assert device.url == "local:"
        assert device.info().runtimes[0].name == "litert"
    assert (tmp_path / "devices" / "local" / "slots").is_dir()


def test_without_a_runtime_slots_still_work_and_timing_says_the_pip_command(
    tmp_path: Path, bare_python: Path, models: list[bytes]
) -> None:
    url = f"local:?python={bare_python}"
    with connect(url, home=tmp_path) as device:
        assert device.info().runtimes == ()
        device.stage(models[0], {})
        for call in (lambda: device.time(models[:1], SHORT), lambda: device.time_staged(SHORT)):
            with pytest.raises(RuntimeMissingError, match=f"{bare_python} -m pip install"):
                call()
        active = device.commit().active
        assert active is not None
        assert active.sha256 == sha256(models[0])
    with pytest.raises(RuntimeMissingError, match=r"no runtime tflite, it has none: run .*tflite-runtime 'numpy<2'"):
        connect(f"{url}&runtime=tflite", home=tmp_path)


def test_tflite_runtime_beside_numpy_2_is_passed_over_with_a_note(
    tmp_path: Path, models: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The two cannot be installed together on purpose; an empty package of that name is what the agent would find.
    package = tmp_path / "packages" / "tflite_runtime"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("__version__ = '2.14.0'\n")
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    with connect("local:", home=tmp_path) as device:
        info = device.info()
    assert "tflite" not in [runtime.name for runtime in info.runtimes]
    assert info.runtimes[0].name == "litert"
    assert "tflite_runtime passed over: it needs numpy below 2" in info.notes[0]


def test_tflite_runtime_in_an_environment_of_its_own(tmp_path: Path, models: list[bytes]) -> None:
    python = Path(__file__).parents[2] / ".venv-tflite" / "bin" / "python"
    if not python.exists():
        pytest.skip("no .venv-tflite with tflite-runtime beside the checkout")
    with connect(f"local:?python={python}&runtime=tflite", home=tmp_path) as device:
        timing = device.time(models[:1], SHORT)[0]
        assert timing.conditions.runtime == "tflite"
        assert timing.latency_ms > 0
