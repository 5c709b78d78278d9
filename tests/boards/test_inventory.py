# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from edgenas.boards import inventory
from edgenas.boards.inventory import Entry, resolve
from edgenas.errors import ProfileError, UsageError

KITCHEN = """
[[device]]
name = "kitchen"
url = "serial:///dev/ttyACM7"
board = "nucleo-f401re"
tags = ["ground floor", "field"]

[[device]]
name = "bare"
url = "unicorn:"
"""


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("EDGENAS_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def write(text: str) -> Path:
    inventory.file().write_text(text, encoding="utf-8")
    return inventory.file()


def test_no_file_is_no_device() -> None:
    assert inventory.entries() == ()


def test_entries_in_the_files_order(home: Path) -> None:
    assert write(KITCHEN) == home / "devices.toml"
    kitchen = Entry("kitchen", "serial:///dev/ttyACM7", "nucleo-f401re", ("ground floor", "field"))
    assert inventory.entries() == (kitchen, Entry("bare", "unicorn:"))


@pytest.mark.parametrize(
    ("text", "key", "reason"),
    [
        ("[[device]", None, "not valid TOML"),
        ("[[devices]]\nname = 'x'", "devices", "key 'devices' is unknown: every device is a table [[device]]"),
        ("device = 'x'", "device", "key 'device' is no list of tables"),
        ("[device]\nname = 'x'", "device", "key 'device' is no list of tables"),
        ("[[device]]\nurl = 'local:'", "name", "device 1: key 'name' is missing"),
        ("[[device]]\nname = 'my pi'\nurl = 'local:'", "name", "device 1: key 'name' is 'my pi', not letters"),
        ("[[device]]\nname = 'ssh:pi'\nurl = 'local:'", "name", "key 'name' is 'ssh:pi'"),
        ("[[device]]\nname = '-x'\nurl = 'local:'", "name", "key 'name' is '-x'"),
        ("[[device]]\nname = 'x'", "url", "device 'x': key 'url' is None, not a URL like local:"),
        ("[[device]]\nname = 'x'\nurl = 'pi@x.local'", "url", "key 'url' is 'pi@x.local'"),
        ("[[device]]\nname = 'x'\nurl = 'ssh://pi:secret@x'", "url", "key 'url' holds a password: leave it out"),
        ("[[device]]\nname = 'x'\nurl = 'local:'\nbaord = 'host'", "baord", "key 'baord' is unknown, known are name"),
        ("[[device]]\nname = 'x'\nurl = 'local:'\nboard = 4", "board", "device 'x': key 'board' is 4, not a name"),
        ("[[device]]\nname = 'x'\nurl = 'local:'\ntags = 'a'", "tags", "key 'tags' is 'a', not a list of names"),
        (KITCHEN.replace("bare", "kitchen"), "name", "key 'name' is 'kitchen' for 2 devices"),
    ],
)
def test_a_damaged_file_is_one_line_with_file_and_key(text: str, key: str | None, reason: str) -> None:
    path = write(text)
    with pytest.raises(ProfileError) as caught:
        inventory.entries()
    message = caught.value.message
    assert message.startswith(f"{path}: ")
    assert reason in message
    assert "\n" not in message
    assert "secret" not in message
    assert caught.value.fields["key"] == key
    assert caught.value.exit_code == 2


def test_a_board_that_is_not_known_names_file_and_key() -> None:
    path = write(KITCHEN.replace("nucleo-f401re", "nucleo-f401"))
    with pytest.raises(ProfileError, match="device 'kitchen': key 'board': unknown board 'nucleo-f401': did you mean"):
        resolve(None, "kitchen")
    with pytest.raises(ProfileError, match=str(path)):
        resolve("nucleo-f401re", "kitchen")


def test_a_name_stands_for_url_and_board() -> None:
    write(KITCHEN)
    for asked in (None, "nucleo-f401re"):
        board, url = resolve(asked, "kitchen")
        assert (board.id, url) == ("nucleo-f401re", "serial:///dev/ttyACM7")
    board, url = resolve("mps2-an386", "bare")  # an emulator is told which board to be
    assert (board.id, url) == ("mps2-an386", "unicorn:mps2-an386")


def test_without_the_inventory_a_board_is_where_it_was() -> None:
    for board, device, expected in (
        (None, None, ("host", "local:")),
        ("host", None, ("host", "local:")),
        (None, "local:?root=x", ("host", "local:?root=x")),
        (None, "nowhere:x", ("host", "nowhere:x")),  # refused by who connects
        ("mps2-an386", "qemu:", ("mps2-an386", "qemu:mps2-an386")),
    ):
        found, url = resolve(board, device)
        assert (found.id, url) == expected


@pytest.mark.parametrize(
    ("board", "device", "reason"),
    [
        ("rpi-4b", "kitchen", r"device 'kitchen' is board nucleo-f401re in .*, --board says rpi-4b: leave --board out"),
        (None, "bare", r"device 'bare' has no board in .*: say --board NAME, or write it there"),
        (None, "kitchn", r"unknown device 'kitchn': did you mean kitchen\? .* has bare, kitchen; a URL is like local:"),
        (None, "local", r"unknown device 'local': did you mean local:\?"),
        (None, "", "unknown device ''"),
        (None, "serial:///dev/ttyACM0", "--device names no board: say which one it is with --board"),
        ("hots", "kitchen", "unknown board 'hots': did you mean host"),
    ],
)
def test_what_does_not_fit_together_is_a_usage_error(board: str | None, device: str, reason: str) -> None:
    write(KITCHEN)
    with pytest.raises(UsageError, match=reason) as caught:
        resolve(board, device)
    assert "\n" not in caught.value.message
    assert caught.value.exit_code == 2


def test_an_unknown_name_without_a_file_says_where_names_are(home: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown device 'zzz': no device is named in .*devices\.toml"):
        resolve(None, "zzz")
