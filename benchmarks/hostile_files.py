# SPDX-License-Identifier: Apache-2.0
"""Files that strangers wrote, changed at random, through what reads them: only errors that are meant, and no memory.

python benchmarks/hostile_files.py [KIND ..] [--minutes N] [--seed N]

Kinds: board, space, inventory, profile, artifact, data, image, model. Tries are numbered: one that fails is done again
by `--again "board 0 123"`.

A failure is an exception that is no error raised on purpose, memory that grows by more than 512 MB, or a file in the
working folder.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import random
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from report import ROOT, commit

sys.path.insert(0, str(ROOT / "tests"))  # what is recorded there is what is changed here

from helpers.plan.refusal_cases import CASES, conv
from helpers.recorded import KEY, taken

from edgenas.artifacts.artifact import Artifact, Tensor, read_model
from edgenas.boards import inventory
from edgenas.boards.board import Board
from edgenas.errors import EdgenasError
from edgenas.measuring.artifact_record import network_of
from edgenas.profiles import exchange
from edgenas.profiles.measurement import blocks_of
from edgenas.profiles.refine import refine
from edgenas.profiles.store import Store
from edgenas.spaces import catalogue
from edgenas.spaces.space import SearchSpace
from edgenas.tasks import load
from edgenas.workflows.plan import plan
from edgenas.workflows.profiles import export_profile, import_profile
from firmware_tools.errors import DeviceError

MOST_BYTES = 512 << 20
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, 0.0, -0.5, 1e308, float("inf"), float("nan"), "", "a" * 5000),
    *("\x1b[2J", "\u202e", "../../x", "/etc/passwd", "-rf", "%s{}$(id)\n", [], [[]], {}, {"a": {"b": [1]}}, [0] * 1000),
)
TOML_VALUES = ("0", "-1", "1e400", "nan", "true", '""', '"\\u001b[2J"', '"../x"', "[]", "[[1]]", "{}", "9" * 400)

FORMATS = ("png", "jpg", "gif", "bmp", "tif", "webp", "ppm", "tga", "ico", "jp2", "pcx", "sgi", "icns", "dds")
Try = Callable[[random.Random, Path], None]


def changed_bytes(chance: random.Random, data: bytes) -> bytes:
    """Some bytes others, cut, or doubled."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8, 64))):
        at = chance.randrange(len(changed)) if changed else 0
        if chance.random() < 0.7 and changed:
            changed[at] = chance.randrange(256)
        elif chance.random() < 0.5:
            del changed[at : at + chance.choice((1, 4, 1000))]
        else:
            changed[at:at] = changed[at : at + chance.choice((1, 16, 500))] * chance.choice((1, 3))
    return bytes(changed)


def changed_json(chance: random.Random, table: Any) -> Any:
    """The same value with some others in its place, at any depth."""
    table = json.loads(json.dumps(table))
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        place: Any = table
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = chance.choice(keys)
            if isinstance(place[key], dict | list) and place[key] and chance.random() < 0.85:
                place = place[key]
                continue
            if chance.random() < 0.15:
                del place[key]
            else:
                place[key] = copy.deepcopy(chance.choice(VALUES))
            break
    return table


def changed_toml(chance: random.Random, text: str) -> bytes:
    """Lines left out or doubled, values others; or bytes."""
    if chance.random() < 0.2:
        return changed_bytes(chance, text.encode())
    lines = text.splitlines()
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.randrange(len(lines))
        if chance.random() < 0.7:
            lines[at] = re.sub(r"=.*", lambda _: f"= {chance.choice(TOML_VALUES)}", lines[at])
        elif chance.random() < 0.5:
            lines.insert(at, lines[chance.randrange(len(lines))])
        else:
            lines[at] = ""
    return "\n".join(lines).encode()


def written(path: Path, data: bytes) -> Path:
    """The file, its folder made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def board(chance: random.Random, folder: Path) -> None:
    """A board's file, its facts asked for."""
    source = chance.choice(sorted((ROOT / "boards").glob("*/board.toml")))
    loaded = Board.load(written(folder / "board.toml", changed_toml(chance, source.read_text())))
    loaded.url()
    exchange.facts_sha256(loaded)


def space(chance: random.Random, folder: Path) -> None:
    """A search space, one of its networks built."""
    text = (ROOT / chance.choice(("models/tiny.toml", "tests/helpers/small.toml"))).read_text()
    found = SearchSpace.load(written(folder / "space.toml", changed_toml(chance, text)), (1, 28, 28), 10)
    catalogue.to_table(found)


def devices(chance: random.Random, folder: Path) -> None:
    """An inventory, which is in the home."""
    one = '[[device]]\nname = "b{0}"\nurl = "ssh://pi@b{0}"\nboard = "rpi-4b"\ntags = ["a"]'
    text = "\n".join(one.format(i) for i in range(3))
    written(folder / "home" / "devices.toml", changed_toml(chance, text))
    for entry in inventory.entries():
        inventory.resolve(None, entry.name)


def profile(chance: random.Random, folder: Path) -> None:
    """A file of `profile export`, as a whole or not at all."""
    file = folder / "exported.json"
    if not file.exists():
        mine = [taken(i) for i in range(8)]
        with Store() as store:
            store.append(mine)
        refine(None, KEY, mine, lambda m: blocks_of(m) or ()).save()
        export_profile("host", out=file)
    table = changed_json(chance, json.loads(file.read_text()))
    if isinstance(table, dict) and chance.random() < 0.9:
        table["sha256"] = exchange.digest(table)
    data = json.dumps(table).encode()
    import_profile(written(folder / "changed.json", data if chance.random() < 0.9 else changed_bytes(chance, data)))


def artifact(chance: random.Random, folder: Path) -> None:
    """An artifact's folder: its manifest, its model, its golden vectors."""
    inputs, outputs = np.zeros((5, 4, 4, 1), np.int8), np.zeros((5, 3), np.int8)
    built = Artifact.build(
        name="a", tflite=b"\x1c\0\0\0TFL3" + bytes(64), precision="int8", golden_inputs=inputs, golden_outputs=outputs,
        input=Tensor((1, 4, 4, 1), "int8", 0.1, 0), output=Tensor((1, 3), "int8", 0.1, 0),
        architecture="stem-8s2/plain-16x1/plain-16x1/plain-32x1", space=_space_entry(chance), task="images",
    )  # fmt: skip
    built.save(folder / "artifact")
    if chance.random() < 0.5:
        golden = changed_bytes(chance, built.golden)
        Artifact(built.tflite, built.manifest, golden).golden_vectors()
    data = json.dumps(changed_json(chance, built.manifest)).encode()
    written(folder / "artifact" / "manifest.json", data if chance.random() < 0.8 else changed_bytes(chance, data))
    read = Artifact.load(folder / "artifact")
    assert read.guesses in (True, False)
    read.golden_vectors()
    found, architecture = network_of(read.manifest)
    assert found.blocks(architecture)


def _space_entry(chance: random.Random) -> dict[str, Any]:
    """A space as an artifact's manifest has it, shipped or a user's own."""
    if chance.random() < 0.3:
        return {"name": "tiny", "table": None}
    table = catalogue.to_table(SearchSpace.load("tiny", (1, 4, 4), 3))
    return {"name": "mine", "table": {**table, "name": "mine"}}


def data(chance: random.Random, folder: Path) -> None:
    """An .npz data set."""
    path = folder / "set.npz"
    np.savez_compressed(path, x=np.arange(20 * 64, dtype=np.uint8).reshape(20, 8, 8), y=np.arange(20) % 2)
    path.write_bytes(changed_bytes(chance, path.read_bytes()))
    load(str(path))


def image(chance: random.Random, folder: Path) -> None:
    """An image file of any format that is read, among others."""
    photos = folder / "photos"
    pixels = np.random.default_rng(0).integers(0, 255, (24, 24, 3), np.uint8)
    for label in ("cats", "dogs"):
        (photos / label).mkdir(parents=True, exist_ok=True)
        for number in range(5):
            Image.fromarray(pixels).save(photos / label / f"{number}.png")
    suffix = chance.choice(FORMATS)
    for old in photos.glob("cats/odd.*"):
        old.unlink()
    file = photos / "cats" / f"odd.{suffix}"
    Image.fromarray(pixels).save(file)
    file.write_bytes(changed_bytes(chance, file.read_bytes()))
    load(str(photos), size=16)


def model(chance: random.Random, folder: Path) -> None:
    """A .tflite file that is planned."""
    source, true = folder / "model.tflite", CASES[chance.choice(sorted(CASES))][0] if chance.random() < 0.2 else conv()
    read_model(written(source, changed_bytes(chance, true)))
    plan(source, board="rpi-pico")


KINDS: dict[str, Try] = {
    **{"board": board, "space": space, "inventory": devices, "profile": profile, "artifact": artifact},
    **{"data": data, "image": image, "model": model},
}


def once(kind: str, seed: int, number: int, folder: Path) -> bool:
    """Whether try `number` was refused. Raises what is no error on purpose."""
    try:
        KINDS[kind](random.Random(f"{kind} {seed} {number}"), folder)
    except (EdgenasError, DeviceError):
        return True
    return False


def run(kind: str, seconds: float, seed: int) -> str:
    """One line about a kind. Raises SystemExit naming the try that failed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["EDGENAS_HOME"] = str(folder / "home")
        os.chdir(written(folder / "here" / "file", b"").parent)
        end, number, refused, before = time.monotonic() + seconds, 0, 0, 0
        while time.monotonic() < end:
            try:
                refused += once(kind, seed, number, folder)
            except BaseException as error:
                message = f'{kind}: {type(error).__name__}: {error!s:.200}; again by --again "{kind} {seed} {number}"'
                raise SystemExit(message) from error
            now = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
            before = before or now
            if now - before > MOST_BYTES:
                raise SystemExit(f'{kind}: {now - before} bytes more; again by --again "{kind} {seed} {number}"')
            number += 1
        left = [path for path in Path().iterdir() if path.name != "file"]
        assert not left, f"files in the working folder: {left}"
        os.chdir(ROOT)
    grown = (now - before) >> 20
    return f"{kind:10}{number:10,} tries, {refused:,} refused, {grown} MB more"


def main() -> None:
    """Run the kinds one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--again", help="a try that failed")
    options = parser.parse_args()
    if unknown := set(options.kinds) - KINDS.keys():
        parser.error(f"unknown kind {min(unknown)}")
    if options.again:
        kind, seed, number = options.again.split()
        with tempfile.TemporaryDirectory() as folder:
            os.environ["EDGENAS_HOME"] = str(Path(folder) / "home")
            print("refused" if once(kind, int(seed), int(number), Path(folder)) else "taken")
        return
    print(f"commit {commit()}, seed {options.seed}, {options.minutes:g} minutes each")
    for kind in options.kinds or KINDS:
        print(run(kind, 60 * options.minutes, options.seed), flush=True)


if __name__ == "__main__":
    main()
