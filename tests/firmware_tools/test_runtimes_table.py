# SPDX-License-Identifier: Apache-2.0
"""Which runtime is chosen for which board, and what is said where none fits."""

from __future__ import annotations

import pytest

from firmware_tools.errors import RuntimeMissingError
from firmware_tools.linux.runtimes import Version, choose


@pytest.mark.parametrize(
    ("machine", "python", "glibc", "wanted", "chosen"),
    [
        ("aarch64", (3, 11), (2, 36), None, "ai-edge-litert 2.3.0"),  # Raspberry Pi OS 12, 64 bits
        ("aarch64", (3, 13), (2, 41), None, "ai-edge-litert 2.3.0"),  # Raspberry Pi OS 13
        ("aarch64", (3, 10), (2, 35), None, "ai-edge-litert 2.3.0"),  # JetPack 6
        ("aarch64", (3, 11), (2, 36), "tflite", "tflite-runtime 2.14.0"),
        ("aarch64", (3, 9), (2, 31), None, "tflite-runtime 2.13.0"),  # Debian 11
        ("aarch64", (3, 8), (2, 27), None, "tflite-runtime 2.13.0"),  # JetPack 4 with python3.8
        ("aarch64", (3, 7), (2, 28), None, "tflite-runtime 2.11.0"),  # Debian 10
        ("armv7l", (3, 11), (2, 36), None, "tflite-runtime 2.14.0"),  # Raspberry Pi OS 12, 32 bits
        ("armv7l", (3, 9), (2, 31), None, "tflite-runtime 2.13.0"),
        ("x86_64", (3, 14), (2, 42), None, "ai-edge-litert 2.3.0"),
        ("x86_64", (3, 8), (2, 26), None, "tflite-runtime 2.14.0"),
    ],
)
def test_the_best_that_fits(machine: str, python: Version, glibc: Version, wanted: str | None, chosen: str) -> None:
    runtime = choose(machine, python, glibc, wanted)
    assert f"{runtime.package} {runtime.version}" == chosen
    assert runtime.numpy == (">=1.23.2" if runtime.name == "litert" else "<2")
    assert runtime.lock(machine, python).is_file()


@pytest.mark.parametrize(
    ("machine", "python", "glibc", "wanted", "said"),
    [
        ("armv6l", (3, 11), (2, 36), None, "for armv6l with Python 3.11 and glibc 2.36: there are some for aarch64, "),
        ("armv7l", (3, 13), (2, 41), None, "tflite-runtime 2.14.0 needs Python 3.8 to 3.11 and glibc 2.34, "),
        (
            "armv7l",
            (3, 11),
            (2, 36),
            "litert",
            "no runtime litert for armv7l with Python 3.11 and glibc 2.36: take --r",
        ),
        ("aarch64", (3, 13), (2, 41), "tflite", "take --runtime litert"),
        ("aarch64", (3, 6), (2, 27), None, "install a Python or a system that fits, and name the Python by ?python="),
        ("aarch64", (3, 12), None, None, "a C library that is not glibc"),
    ],
)
def test_where_none_fits_the_line_says_what_would(
    machine: str, python: Version, glibc: Version | None, wanted: str | None, said: str
) -> None:
    with pytest.raises(RuntimeMissingError) as raised:
        choose(machine, python, glibc, wanted)
    assert said in raised.value.message
    assert "\n" not in raised.value.message


def test_an_unknown_name_is_the_callers_bug() -> None:
    with pytest.raises(ValueError, match="'tensorrt' is not one of litert, tflite"):
        choose("aarch64", (3, 11), (2, 36), "tensorrt")
