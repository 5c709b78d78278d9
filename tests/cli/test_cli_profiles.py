# SPDX-License-Identifier: Apache-2.0
"""A board's profile handed on: exported here, imported there, looked at; and a home that lacks nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.cli.cli_program import Program

pytestmark = pytest.mark.xdist_group("deployed by the program")


def test_a_profile_goes_from_one_home_to_another(profiled: Program, tmp_path: Path) -> None:
    file, folder = tmp_path / "host.json", tmp_path / "folder"
    folder.mkdir()
    made = profiled.run("profile", "export", "-o", file, "--by", "Ann", "--json").json()
    assert made["measurements"] >= 12
    other = Program(tmp_path / "home", folder)
    done = other.run("profile", "import", file)
    assert done.code == 0
    assert f"{made['measurements']} new, 0 known already" in done.stdout
    shown = other.run("profile", "show", "--plot", "drawn.svg", "--json").json()
    (profile,) = shown["profiles"]
    assert profile["measurements"] == made["measurements"]
    assert profile["sessions"][0]["imported"] is True
    assert (folder / "drawn.svg").read_text().startswith("<?xml")
    for text in ("90 % interval", "operator", "imported"):
        assert text in other.run("profile", "show").stdout
    refused = other.run("profile", "import", folder / "drawn.svg")
    assert (refused.code, refused.stdout) == (2, "")
    assert "not JSON, or cut off" in refused.message


def test_doctor_is_silent_about_a_complete_installation(profiled: Program) -> None:
    done = profiled.run("doctor", "--quiet")
    assert (done.code, done.stdout, done.stderr) == (0, "", "")
    assert profiled.run("doctor", "--json").json()["ok"] is True
