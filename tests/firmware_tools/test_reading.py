# SPDX-License-Identifier: Apache-2.0
"""What somebody else has written: bounded before it is parsed."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_tools import reading
from firmware_tools.reading import UnreadableError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_parses_what_json_writes(value):
    assert reading.parse_json(json.dumps(value)) == value
    assert reading.parse_json(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a": -Infinity}', "{", "", "[1,]", "\ud800", "9" * 5000])
def test_refuses_what_is_no_json(text):
    with pytest.raises(UnreadableError):
        reading.parse_json(text)


@pytest.mark.parametrize("text", ["[" * 1_000_000, '{"a":' * 200_000, "[" * 33 + "]" * 33])
def test_refuses_deep_json_at_once(text):
    with pytest.raises(UnreadableError, match="nested more than 32 deep"):
        reading.parse_json(text)


def test_brackets_in_strings_do_not_count():
    for value in (["[" * 100, '"' + "{" * 100], ["\\", "[" * 100], ['\\"', "[" * 100]):
        assert reading.parse_json(json.dumps(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        "a = '# \"' # '\nb = " + "[" * 100_000,
        "a = " + "[" * 100_000,
        ".".join(["a"] * 20_000) + " = 1",
        "[" + ". ".join(['"a"'] * 20_000) + "]",
        "a = { b = " * 40,
        "[[" + ".".join("a" * 40) + "]]",
    ],
)
def test_refuses_deep_toml_at_once(text):
    with pytest.raises(UnreadableError, match="nested more than 32 deep"):
        reading.parse_toml(text)


def test_parses_toml_with_many_tables_and_dots():
    text = "\n".join(f'[[table]]\nname = "a.b.c.d"\nvalue.{i}.x = [[1.5], [2.5]]' for i in range(100))
    assert len(reading.parse_toml(text)["table"]) == 100
    assert reading.parse_toml(f'a = "{"x." * 100}"') == {"a": "x." * 100}


def test_reads_a_file_of_the_most_bytes_and_no_larger_one(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"x" * 10)
    assert reading.read_bytes(file, 10) == b"x" * 10
    with pytest.raises(UnreadableError, match="larger than 9 bytes"):
        reading.read_bytes(file, 9)


@pytest.mark.skipif(os.name != "posix", reason="named pipes and devices of POSIX systems")
def test_never_waits_for_what_is_no_regular_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(UnreadableError, match="no regular file"):
            reading.read_bytes(path)
    with pytest.raises(IsADirectoryError):
        reading.read_bytes(tmp_path)
    with pytest.raises(FileNotFoundError):
        reading.read_bytes(tmp_path / "absent")


HARD = ['"' + '\\"' * 500_000, "[" + '"' * 999_999, "'" * 999_999, "'\n" * 400_000, '"""' + "\\" * 999_999]


@pytest.mark.parametrize("text", HARD, ids=range(len(HARD)))
def test_looks_at_no_text_twice(text):  # or it takes hours
    for parse in (reading.parse_json, reading.parse_toml):
        with pytest.raises(UnreadableError):
            parse(text)
