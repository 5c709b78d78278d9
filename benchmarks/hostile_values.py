# SPDX-License-Identifier: Apache-2.0
"""Files as somebody would write them who means harm: true ones, changed at random."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

LONG = "x" * 100_000
TEXTS = (
    *("", " ", ".", "..", "-", "--help", "-c", "@", "~", "/dev/zero", "/dev/stdin", "/dev/null", "NUL", "con", LONG),
    *("../outside/written", "../../outside/written", "OUTSIDE/written", "./PAYLOAD", "PAYLOAD", "$(PAYLOAD)"),
    *("local:?python=PAYLOAD", "local:?root=OUTSIDE/root", "qemu:../outside/x", "qemu:mps2-an386?root=OUTSIDE/q"),
    *("ssh://-oProxyCommand=PAYLOAD@host", "ssh://a:secret@host", "serial:///dev/zero", "local:"),
    *("interface/../../outside/x.cfg", "OUTSIDE/x.cfg", "-x", "a;PAYLOAD", "a\nPAYLOAD", "[exec PAYLOAD]"),
    *(
        "\x1b]0;title\x07",
        "\x1b[2J\x1b[H",
        "\x9b31m",
        "\u202ereversed",
        "\r hidden",
        "\b\b",
        "a\0b",
        "\u200b",
        "\u2028",
    ),
    *("%s%n%x", "{0}", "{__class__}", "[bold]", "[link=x]y[/link]", "[/", "\U000e0041", "é", "名"),
)
NUMBERS = (0, -0.0, -1, 1, 2, 3, 0.5, 1e-300, 1e300, -1e300, 1 << 31, 1 << 63, -(1 << 63), 1 << 200, 10**400)
_INSERTS = (b"[" * 100_000, b"{" * 100, b"a." * 50_000, b'"', b"\xff\xfe", b"\0" * 8)
OTHERS = (None, True, False, [], {}, [[]], {"": ""}, [None], float("nan"), float("inf"), -float("inf"))


def changed(value: Any, rng: random.Random, changes: int = 1) -> Any:
    """A copy of a value of JSON's types with `changes` places of it changed."""
    for _ in range(changes):
        value = _changed(json.loads(json.dumps(value)), rng)  # a copy: a change may use a part twice
    return value


def _changed(value: Any, rng: random.Random) -> Any:
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        return _in_table(value, key, rng)
    if isinstance(value, list) and value and rng.random() < 0.85:
        return _in_list(value, rng.randrange(len(value)), rng)
    return _other(value, rng)


def _in_table(table: dict[str, Any], key: str, rng: random.Random) -> dict[str, Any]:
    what = rng.random()
    if what < 0.1:
        del table[key]
    elif what < 0.2:
        table[rng.choice(TEXTS)] = table[key]
    elif what < 0.25:
        table[f"{key}_of_a_newer_release"] = _other(table[key], rng)
    else:
        table[key] = _changed(table[key], rng)
    return table


def _in_list(items: list[Any], at: int, rng: random.Random) -> list[Any]:
    what = rng.random()
    if what < 0.1:
        del items[at]
    elif what < 0.2:
        items[at:at] = [items[at]] * rng.choice((1, 2, 50, 2000))
    else:
        items[at] = _changed(items[at], rng)
    return items


def _other(value: Any, rng: random.Random) -> Any:
    what = rng.random()
    if isinstance(value, str) and what < 0.3:
        at = rng.randrange(len(value) + 1)
        return value[:at] + rng.choice(TEXTS) + value[at:]
    if isinstance(value, int | float) and not isinstance(value, bool) and what < 0.6:
        return rng.choice((*NUMBERS, -value, value * 1000, str(value)[:20]))
    return rng.choice((rng.choice(TEXTS), rng.choice(NUMBERS), rng.choice(OTHERS), [value] * 3, {"value": value}))


def changed_bytes(data: bytes, rng: random.Random) -> bytes:
    """A copy of a file with some bytes changed, cut off, repeated or put in."""
    what = rng.random()
    at = rng.randrange(len(data) + 1)
    if what < 0.2:
        return data[:at]
    if what < 0.3:
        return data[:at] + data[at : at + rng.randrange(1, 200)] * rng.choice((2, 50)) + data[at:]
    if what < 0.4:
        return (
            data[:at]
            + rng.choice((b"[" * 100_000, b"{" * 100, b"a." * 50_000, b'"', b"\xff\xfe", b"\0" * 8))
            + data[at:]
        )
    copy = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        if copy:
            copy[rng.randrange(len(copy))] = rng.choice((0, 255, 127, 128, rng.randrange(256)))
    return bytes(copy)


def placed(text: str, outside: str, payload: str) -> str:
    """`text` with OUTSIDE and PAYLOAD replaced by the paths of a folder and of a program."""
    return text.replace("OUTSIDE", outside).replace("PAYLOAD", payload)


def to_toml(table: Mapping[str, Any]) -> str:
    """A TOML file of values of JSON's types, all in inline tables; None is left out, as TOML has none."""
    return "".join(f"{_key(key)} = {_value(value)}\n" for key, value in table.items() if value is not None)


def _key(key: str) -> str:
    return json.dumps(key)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items() if v is not None) + "}"
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, Sequence):
        return "[" + ", ".join(_value(item) for item in value if item is not None) + "]"
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):
        return {"nan": "nan", "inf": "inf", "-inf": "-inf"}[repr(value)]
    return json.dumps(value)
