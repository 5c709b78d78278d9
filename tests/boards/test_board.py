# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from edgenas.boards.board import Board, list_boards
from edgenas.errors import EdgenasError, ProfileError, UsageError
from edgenas.profiles.profile import BoardProfile, ProfileKey
from edgenas.units import MINSN, MS
from firmware_tools.device import DeviceInfo
from firmware_tools.plan.footprint import footprints

KEY = ProfileKey("host", "ai-edge-litert", "2.3.0", "int8", 1, "p10")
PROFILE = BoardProfile(
    KEY, "tiny", (1, 28, 28), {"model": "features"}, 30, "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", {"sessions": 2}
)
TOML = """
id = "pi"
name = "a Pi"
kind = "linux"
device_url = "ssh://pi"
precision = "int8"
threads = 1
statistic = "p50"
processes = 3
"""


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("EDGENAS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def write_board(folder: Path, text: str = TOML) -> Path:
    folder.mkdir(parents=True)
    path = folder / "board.toml"
    path.write_text(text)
    return path


def test_the_host_ships() -> None:
    board = Board.load("host")
    assert (board.id, board.kind, board.device_url, board.statistic, board.processes) == (
        *("host", "linux", "local:", "p10"),
        5,
    )
    assert board.threads == 1
    assert board.ram_bytes == 512 * 2**20
    assert board.flash_bytes == 256 * 2**20
    assert board in list_boards()
    hash(board)


@pytest.mark.parametrize(
    ("name", "kernels", "ram_kib", "flash_kib"),
    [
        ("mps2-an385", "portable", 4096, 4096),
        ("mps2-an386", "dsp", 4096, 4096),
        ("mps2-an500", "dsp", 4096, 4096),
        ("mps2-an505", "dsp", 4096, 4096),
        ("mps3-an547", "dsp", 4096, 2048),
        ("netduinoplus2", "dsp", 128, 1024),
    ],
)
def test_emulated_microcontrollers_ship(name: str, kernels: str, ram_kib: int, flash_kib: int) -> None:
    board = Board.load(name)
    assert (board.id, board.kind, board.precision, board.facts["kernels"]) == (name, "mcu", "int8", kernels)
    assert (board.ram_bytes, board.flash_bytes) == (ram_kib * 1024, flash_kib * 1024)
    assert (board.unit, board.prior) == (MINSN, None)
    assert board.url() == f"qemu:{name}"


def test_every_board_that_ships_says_what_was_verified_and_what_it_is() -> None:
    shipped = list_boards()
    assert {board.file.parent.name for board in shipped} == {board.id for board in shipped}
    for board in shipped:
        assert board.facts["verified"]
        if board.kind == "mcu":
            assert board.ram_bytes is not None
            assert board.flash_bytes is not None
            assert board.facts["kernels"] in footprints()
            assert board.precision == "int8"
        if board.device_url.startswith("serial:"):
            assert board.facts["verified"] == "not run on hardware"
            assert board.facts["source"]
            assert board.unit is MS
            assert board.prior is not None
            assert board.prior.source
            counting = Board.load(board.prior.counted_on)
            assert (counting.unit, counting.facts["kernels"]) == (MINSN, board.facts["kernels"])


def test_a_prior_turns_instructions_into_time_until_something_was_measured() -> None:
    board = Board.load("nucleo-l4r5zi")
    assert board.prior is not None
    assert board.prior.ms_per_minsn == pytest.approx(1e3 * 1.56 / 120)
    assert str(board.prior) == "prior: 1.56 cycles per instruction, not measured"
    assert board.prior.to_json()["counted_on"] == "mps2-an386"
    assert not board.measured
    replace(PROFILE, key=replace(KEY, board="nucleo-l4r5zi-2")).save()
    assert not board.measured
    replace(PROFILE, key=replace(KEY, board="nucleo-l4r5zi")).save()
    assert board.measured


@pytest.mark.parametrize(
    ("prior", "reason"),
    [
        ("cycles_per_instruction = 0", "key 'cycles_per_instruction' is 0, not a positive number"),
        ("cycles_per_instruction = true", "key 'cycles_per_instruction' is True"),
        ('cycles_per_instruction = 1.5\ncounted_on = "mps2-an386"', "key 'clock_mhz' is None, not a positive number"),
    ],
)
def test_a_damaged_prior_names_file_and_key(prior: str, reason: str, tmp_path: Path) -> None:
    path = write_board(tmp_path / "pi", f"{TOML}\n[facts]\n[prior]\n{prior}\n")
    with pytest.raises(ProfileError, match=reason) as caught:
        Board.load(path)
    assert str(path) in caught.value.message


@pytest.mark.parametrize(
    ("device", "url"),
    [
        ("qemu:", "qemu:mps2-an500"),
        ("unicorn:", "unicorn:mps2-an500"),
        ("qemu:?root=x", "qemu:mps2-an500?root=x"),
        ("qemu:mps2-an385", "qemu:mps2-an385"),
        ("unicorn:?machine=mps2-an385", "unicorn:?machine=mps2-an385"),
        ("serial:///dev/ttyACM0", "serial:///dev/ttyACM0"),
    ],
)
def test_an_emulator_that_is_not_told_which_board_to_be_becomes_this_one(device: str, url: str) -> None:
    assert Board.load("mps2-an500").url(device) == url
    assert Board.load("nucleo-l4r5zi").url(device) == device


def device_info(
    hostname: str = "somewhere", machine: str = "x86_64", unit: Literal["ms", "Minsn"] = "ms"
) -> DeviceInfo:
    return DeviceInfo("ssh://x", hostname, machine, "a CPU", 4, "Linux", "3.11", (), None, 0, "1.0", (), unit)


def test_a_device_that_is_another_board_is_refused_in_one_line() -> None:
    board = Board.load("mps2-an386")
    board.check_device(device_info("mps2-an386", unit="Minsn"))
    with pytest.raises(UsageError, match=r"the device calls itself 'mps2-an500', .* say --board mps2-an500") as caught:
        board.check_device(device_info("mps2-an500", unit="Minsn"))
    assert caught.value.fields == {"device": "mps2-an500", "board": "mps2-an386"}
    with pytest.raises(UsageError, match="gives latencies in ms, board mps2-an386 in Minsn"):
        board.check_device(device_info("mps2-an386"))
    mine = replace(board, id="mine", facts={**board.facts, "firmware": "mps2-an386"})
    mine.check_device(device_info("mps2-an386", unit="Minsn"))


def test_a_linux_device_of_another_architecture_is_refused_in_one_line() -> None:
    board = Board.load("rpi-4b")
    board.check_device(device_info(machine="aarch64"))
    with pytest.raises(UsageError, match=r"is x86_64, board rpi-4b is aarch64: say --board linux-x86_64") as caught:
        board.check_device(device_info())
    assert caught.value.fields == {"machine": "x86_64", "board": "rpi-4b"}
    with pytest.raises(UsageError, match=r"is riscv64, board linux-armv7 is armv7l: say which board it is"):
        Board.load("linux-armv7").check_device(device_info(machine="riscv64"))
    Board.load("host").check_device(device_info(machine="anything"))


LINUX_BOARDS = {
    *("rpi-zero-2w", "rpi-3b-plus", "rpi-4b", "rpi-5", "jetson-nano", "jetson-xavier-nx", "jetson-agx-xavier"),
    *("jetson-orin-nano", "coral-dev-board", "beagleplay", "linux-aarch64", "linux-armv7", "linux-x86_64"),
}


def test_linux_boards_ship_with_the_timing_protocol_and_say_that_none_was_run() -> None:
    boards = {board.id: board for board in list_boards() if board.device_url.startswith("ssh://")}
    assert set(boards) == LINUX_BOARDS
    for board in boards.values():
        assert (board.kind, board.precision, board.unit) == ("linux", "int8", MS)
        assert (board.statistic, board.processes, board.threads) == ("p10", 5, 1)
        assert board.facts["machine"] in ("aarch64", "armv7l", "x86_64")
        assert set(board.facts["runtimes"]) <= {"litert", "tflite", "tensorrt"}
        assert board.facts["verified"] == "not run on hardware"
        assert board.facts["source"]
        assert board.flash_bytes is None
    assert boards["rpi-zero-2w"].ram_bytes == 512 * 2**20
    assert boards["rpi-4b"].ram_bytes is None


def test_a_board_is_where_its_file_says_unless_the_caller_knows_better() -> None:
    assert Board.load("host").url() == "local:"
    assert Board.load("host").url("local:?root=x") == "local:?root=x"


def test_look_up_order_is_path_then_home_then_shipped(home: Path, tmp_path: Path) -> None:
    shipped = Board.load("host")
    write_board(home / "boards" / "host", TOML.replace('"pi"', '"host"'))
    mine = Board.load("host")
    assert mine.name == "a Pi"
    assert mine.file != shipped.file
    folder = tmp_path / "elsewhere" / "host"
    path = write_board(folder, TOML.replace("a Pi", "another"))
    assert Board.load(path).name == Board.load(folder).name == Board.load(str(folder)).name == "another"
    assert [board.name for board in list_boards() if board.file.parent.name == "host"] == ["a Pi"]


def test_a_folder_of_the_working_directory_does_not_shadow_a_board(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_board(tmp_path / "host")
    monkeypatch.chdir(tmp_path)
    assert Board.load("host").name == "this computer"
    assert Board.load("./host").name == "a Pi"


def test_limits_are_optional(tmp_path: Path) -> None:
    board = Board.load(write_board(tmp_path / "pi"))
    assert board.ram_bytes is None
    assert board.flash_bytes is None


def test_an_unknown_board_lists_near_names_and_all_known(home: Path) -> None:
    write_board(home / "boards" / "pi4")
    with pytest.raises(
        UsageError, match=r"unknown board 'hosst': did you mean host\? `edgenas boards` lists all \d\d$"
    ) as caught:
        Board.load("hosst")
    assert caught.value.exit_code == 2
    assert {"host", "pi4"} < set(caught.value.fields["known"])
    with pytest.raises(UsageError, match="unknown board 'zzz': `edgenas boards` lists all"):
        Board.load("zzz")


def test_a_path_without_a_board_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no board at .*: name a folder that holds board\.toml"):
        Board.load(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('kind = "linux"\n', "", "key 'kind' is missing"),
        ('kind = "linux"', 'kind = "toaster"', "key 'kind' is 'toaster', not one of linux, mcu"),
        ("processes = 3", "processes = true", "key 'processes' is True, not an int"),
        ("processes = 3", "processes = 1", "key 'processes' is 1, which must be at least 2"),
        ("processes = 3", 'processes = 3\nunit = "cycles"', "key 'unit' is 'cycles', not one of ms, Minsn"),
        ('"p50"', '"mean"', "key 'statistic' is 'mean', not one of min"),
        ("processes = 3", "processes = 3\n[limits]\nram_bytes = -1", "key 'ram_bytes' is -1"),
        ("processes = 3", "processes = 3\n[limits]\nram_bytes = '1 GB'", "key 'ram_bytes' is '1 GB', not an int"),
        ('id = "pi"', 'id = "My Pi"', "key 'id' is 'My Pi', not small letters"),
        ('id = "pi"', 'id = "pi', "not valid TOML"),
    ],
)
def test_a_damaged_board_names_file_and_key(tmp_path: Path, old: str, new: str, reason: str) -> None:
    path = write_board(tmp_path / "pi", TOML.replace(old, new))
    with pytest.raises(ProfileError) as caught:
        Board.load(path)
    assert caught.value.message.startswith(f"{path}: ")
    assert reason in caught.value.message
    assert "\n" not in caught.value.message


def test_a_profile_comes_back_as_it_was_saved(home: Path) -> None:
    assert BoardProfile.load(KEY) is None
    assert not home.exists()
    path = PROFILE.save()
    assert path == home / "profiles" / "host+ai-edge-litert+2.3.0+int8+t1+p10.json"
    assert BoardProfile.load(KEY) == PROFILE
    assert BoardProfile.load(replace(KEY, threads=2)) is None


def test_slugs_of_different_keys_differ_and_are_plain_file_names() -> None:
    keys = [
        KEY,
        replace(KEY, board="a+b", runtime="c"),
        replace(KEY, board="a", runtime="b+c"),
        replace(KEY, board="a/b"),
        replace(KEY, board="a_b"),
        replace(KEY, runtime_version="2.3 (x)"),
        replace(KEY, setting="performance-1500MHz"),
    ]
    slugs = {key.slug for key in keys}
    assert len(slugs) == len(keys)
    assert not any(set(slug) & set("/\\ :*?\"<>|()'") for slug in slugs)
    assert str(KEY) == "host, ai-edge-litert 2.3.0, int8, 1 thread, p10"
    assert str(replace(KEY, setting="MAXN")) == "host, ai-edge-litert 2.3.0, int8, 1 thread, p10, MAXN"


def test_a_profile_of_the_schema_before_is_read() -> None:
    path = PROFILE.save()
    table = json.loads(path.read_text())
    assert table["key"].pop("setting") == ""
    path.write_text(json.dumps({**table, "schema": 1}))
    assert BoardProfile.load(KEY) == PROFILE
    path.write_text(json.dumps({**table, "schema": 3}))
    with pytest.raises(ProfileError, match="version 3, this edgenas reads up to version 2; update edgenas"):
        BoardProfile.load(KEY)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"latency": None}, "key 'latency' is None, not a dict"),
        ({"measurements": "30"}, "key 'measurements' is '30', not an int"),
        ({"schema": 0}, "key 'schema' is version 0, this edgenas reads up to version 2"),
        ({"input_shape": [28, 28]}, "key 'input_shape' is [28, 28], not three"),
        ({"key": {"board": "other"}}, "key 'key' is {'board': 'other'}, not that of the file's name"),
    ],
)
def test_a_damaged_profile_names_file_key_and_next_step(change: dict[str, Any], reason: str) -> None:
    path = PROFILE.save()
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    assert_damaged(path, reason)


@pytest.mark.parametrize("key", ["schema", "key", "space_name", "input_shape", "latency", "created_utc", "provenance"])
def test_a_key_missing_from_a_profile_is_named(key: str) -> None:
    path = PROFILE.save()
    table = json.loads(path.read_text())
    del table[key]
    path.write_text(json.dumps(table))
    assert_damaged(path, f"key '{key}' is missing")


@pytest.mark.parametrize(
    ("content", "reason"), [(b"{", "not valid JSON"), (b"\xff", "not UTF-8"), (b"[]", "not hold an object")]
)
def test_a_profile_that_is_no_json_object(content: bytes, reason: str) -> None:
    path = PROFILE.save()
    path.write_bytes(content)
    assert_damaged(path, reason)


def test_a_profile_that_cannot_be_written_says_where(home: Path) -> None:
    home.mkdir()
    (home / "profiles").write_text("a file where the folder should be")
    with pytest.raises(EdgenasError, match=r"profiles.*cannot be written"):
        PROFILE.save()


def assert_damaged(path: Path, reason: str) -> None:
    with pytest.raises(ProfileError) as caught:
        BoardProfile.load(KEY)
    assert caught.value.message.startswith(f"{path}: ")
    assert reason in caught.value.message
    assert "delete the file and run `edgenas profile`" in caught.value.message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("local:?python=./payload", "python=./payload"),
        ("local:?runtime=litert&root=/etc", "root=/etc"),
        ("qemu:mps2-an386?root=../x", "root=../x"),
        ("qemu:mps2-an386%2C-chardev", "machine=mps2-an386,-chardev"),
        ("unicorn:?root=x", "root=x"),
        ("ssh://pi@board?python=./x", "python=./x"),
        ("ssh://pi@board?root=x", "root=x"),
        ("ssh://pi@$(touch x)", "address=//pi@$(touch x)"),
        ("ssh://-oProxyCommand=x", "address=//-oProxyCommand=x"),
        ("serial:///home/me/.ssh/id_rsa", "port=///home/me/.ssh/id_rsa"),
        ("serial:///dev/../etc/passwd", "port=///dev/../etc/passwd"),
        ("serial:///dev/ttyACM0?baud=1e9", "baud=1e9"),
    ],
)
def test_a_file_may_not_say_what_starts_a_program_or_leaves_its_folder(home: Path, url: str, said: str) -> None:
    write_board(home / "boards" / "mine", re.sub('device_url = ".*"', f'device_url = "{url}"', TOML))
    board = Board.load("mine")  # whoever says --device can use it
    with pytest.raises(ProfileError, match="a board's file is data; if you trust it, say where") as caught:
        board.url()
    assert f"key 'device_url' may not say {said}: " in caught.value.message
    assert board.url(url) == url


@pytest.mark.parametrize(
    "url", ["local:", "local:?runtime=tflite", "qemu:mps2-an386", "serial:", "serial:///dev/serial/by-id/usb-ST_x-if02",
            "serial:COM3", "serial:///dev/cu.usbmodem1?baud=9600", "ssh://pi@10.0.0.7:2222", "ssh://[fe80::1]:22"]
)  # fmt: skip
def test_a_file_says_where_a_board_is(home: Path, url: str) -> None:
    write_board(home / "boards" / "mine", re.sub('device_url = ".*"', f'device_url = "{url}"', TOML))
    assert Board.load("mine").url() == url


def test_a_machine_of_the_facts_brings_no_options_along(home: Path) -> None:
    board = replace(Board.load("mps2-an386"), facts={"machine": "mps2-an386?root=/etc"})
    assert board.url("qemu:") == "qemu:mps2-an386%3Froot%3D%2Fetc"


def test_every_board_that_ships_says_only_what_it_may() -> None:
    for board in list_boards():
        assert board.url()
