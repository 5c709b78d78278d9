# SPDX-License-Identifier: Apache-2.0
"""Somebody who edits exported profiles, and signs what they did: files that pass the check of their sha256.

Whatever comes of it, `edgenas` may refuse it with an error of its own, or take it; nothing else.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgenas import latency
from edgenas.errors import EdgenasError
from edgenas.profiles import exchange
from edgenas.profiles.measurement import Measurement, blocks_of
from edgenas.profiles.profile import BoardProfile, ProfileKey
from edgenas.profiles.refine import refine
from edgenas.profiles.store import Store
from edgenas.spaces import catalogue
from edgenas.spaces.architecture import Architecture
from edgenas.spaces.space import SearchSpace
from edgenas.workflows.profile_forget import forget_profile
from edgenas.workflows.profile_show import show_profile
from edgenas.workflows.profiles import export_profile, import_profile, merge_profiles
from helpers.recorded import KEY, taken

HOSTILE: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 10**400, -(10**400), 0.0, -0.0, 1e-308, 1e308, -1e308, 1e-9, 3e6),
    *("", " ", "\x1b[2J\x1b]0;x\x07", "a\nb", "\u202e", "\ud800", "\0", "..", "../../x", "/etc/passwd", "x" * 300),
    *("x" * 100_000, "nan", "1e999", "tiny", "transfer", "auto", "mlp", "gp", "engine", "2026-01-01\x1b00:00:00+00:00"),
    *([], {}, [[]], [None], ["x"], [0] * 3, [1e308] * 3, {"": ""}, {"model": "transfer"}, [[1.0] * 50] * 50),
)


def made(folder: Path, count: int = 6) -> tuple[Path, dict[str, Any]]:
    """A true export of two keys, a profile and a space of somebody's own, made in the present home."""
    fast = ProfileKey(**{**KEY.__dict__, "setting": "performance"})
    own = SearchSpace.load("tiny", (1, 28, 28), 10)
    catalogue.remember(SearchSpace(**{**own.__dict__, "name": "somebody's own"}))
    odd = Measurement(**{**taken(1).__dict__, "space": "somebody's own"})
    found = [*(taken(i, session="t") for i in range(count)), odd]
    with Store() as store:
        store.append([*found, taken(2, key=fast)])
    refine(None, KEY, found, lambda m: blocks_of(m) or ()).save()
    file = folder / "export.json"
    export_profile("host", out=file, by="Ann")
    return file, json.loads(file.read_text())


def changed(table: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """The table of an export with a few changes, signed."""
    table = copy.deepcopy(table)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        if _places(table):  # something is left of it
            rng.choice(_CHANGES)(table, rng)
    return signed(table)


def signed(table: dict[str, Any]) -> dict[str, Any]:
    """With the sha256 of what is there."""
    return {**table, "sha256": exchange.digest(table)}


def tried(content: bytes, folder: Path, rng: random.Random) -> str:
    """Do with a file all that profile commands do, and return what came of it: "taken" or "refused"."""
    file = folder / "hostile.json"
    file.write_bytes(content)
    try:
        import_profile(file, accept=rng.random() < 0.7)
    except EdgenasError as error:
        _check_line(error)
        return "refused"
    for use in (lambda: show_profile("host"), lambda: export_profile("host", out=folder / "out.json")):
        _used(use)
    _used(lambda: merge_profiles([folder / "out.json", file], folder / "merged.json"))
    for name in ("out.json", "merged.json"):
        (folder / name).unlink(missing_ok=True)
    _used(lambda: forget_profile(file))
    return "taken"


def planted(table: Any, rng: random.Random) -> str:
    """Use a profile's file that somebody has put into the user's home: "taken" or "refused"."""
    found = [taken(i) for i in range(rng.choice((1, 3, 9)))]
    try:
        profile = BoardProfile.from_json(table, KEY)
        model = latency.load(profile.latency)
        model.predict([blocks(m) for m in found])
        refine(profile, KEY, found, blocks)
    except EdgenasError as error:
        _check_line(error)
        return "refused"
    except ValueError as error:
        if "only after fit" not in str(error) and "timed alone" not in str(error):
            raise
        return "refused"
    return "taken"


def blocks(m: Measurement) -> Any:
    """The blocks of a measurement of the tiny space."""
    return SearchSpace.load("tiny", m.input_shape, m.classes).blocks(Architecture.parse(m.architecture))


def _used(use: Callable[[], object]) -> None:
    try:
        use()
    except EdgenasError as error:
        _check_line(error)


def _check_line(error: EdgenasError) -> None:
    """A message is a line that can be printed, and no longer than one that people read."""
    if not error.message.isprintable() or len(error.message) > 700:
        raise AssertionError(f"a message that cannot be printed: {error.message!a:.900}")


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every container with each of its keys or indices, at all depths."""
    found: list[tuple[Any, Any]] = []
    items = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    for key, item in items:
        found.append((value, key))
        found += _places(item)
    return found


def _replace(table: Any, rng: random.Random) -> None:
    container, key = rng.choice(_places(table))
    container[key] = copy.deepcopy(rng.choice(HOSTILE))


def _remove(table: Any, rng: random.Random) -> None:
    container, key = rng.choice(_places(table))
    del container[key]


def _swap(table: Any, rng: random.Random) -> None:
    (one, a), (two, b) = rng.choice(_places(table)), rng.choice(_places(table))
    one[a] = copy.deepcopy(two[b])


def _add(table: Any, rng: random.Random) -> None:
    container, key = rng.choice(_places(table))
    value = copy.deepcopy(rng.choice(HOSTILE))
    if isinstance(container, dict):
        container[rng.choice(("x", "", "\x1b", "x" * 5000, "imported", "origin", str(key)))] = value
    else:
        most = 3 if len(repr(value)[:10_000]) == 10_000 else 300  # the file is to be refused, not this program
        container += [copy.deepcopy(value) for _ in range(rng.choice((1, 3, most)))]


def _nest(table: Any, rng: random.Random) -> None:
    container, key = rng.choice(_places(table))
    for _ in range(rng.choice((2, 10, 25))):
        container[key] = [container[key]] if rng.random() < 0.5 else {"x": container[key]}


def _number(table: Any, rng: random.Random) -> None:
    """One of the numbers, by orders of magnitude."""
    numbers = [(c, k) for c, k in _places(table) if type(c[k]) in (int, float) and abs(c[k]) < 1e300]
    if numbers:
        container, key = rng.choice(numbers)
        container[key] *= rng.choice((0, -1, 1e-12, 1e-3, 0.2, 5, 1e3, 1e9, 1e17))


def _measurements(table: Any, rng: random.Random) -> None:
    """Many more measurements, of networks as odd as they may be."""
    keys = table.get("keys")
    entries = [e for e in keys if isinstance(e, dict)] if isinstance(keys, list) else []
    lists = [e["measurements"] for e in entries if isinstance(e.get("measurements"), list)]
    found = [m for each in lists for m in each if isinstance(m, dict)]
    if not found:
        return
    target = rng.choice(found)
    for place in range(rng.choice((1, 10, 200))):
        m = {**target, "session": f"s{rng.randrange(9)}", "latency_ms": 10 ** rng.uniform(-6, 6.5)}
        stages = "/".join(f"plain-{rng.randrange(1, 70_000)}x{rng.choice((1, 2, 40))}" for _ in range(3))
        if place % 2:
            m["architecture"] = f"stem-{rng.randrange(1, 70_000)}s{rng.randrange(1, 300)}/{stages}"
        rng.choice(lists).append(m)


_CHANGES = (_replace, _replace, _replace, _remove, _swap, _add, _nest, _number, _number, _measurements)
